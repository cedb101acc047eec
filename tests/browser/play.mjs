// A real browser plays the demo's stream through the node over HTTP/1.1, HTTP/2 and HTTP/3, low latency on, and once
// straight from the origin for comparison. PLAY_SECONDS (20) of playing must pass without a stall.
import { chromium } from 'playwright-core';
import { startDemo } from './demo.mjs';

const seconds = Number(process.env.PLAY_SECONDS || 20);
const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const quiet = [
  '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];

const demo = await startDemo();
const secure = new URL(demo.page_https);
const trust = [`--ignore-certificate-errors-spki-list=${demo.spki}`];
const ways = [
  { name: 'direct to the origin', page: `${demo.page}?src=${encodeURIComponent(demo.origin_stream)}`, flags: ['--disable-quic'], protocol: 'http/1.1' },
  { name: 'HTTP/1.1', page: demo.page, flags: ['--disable-quic'], protocol: 'http/1.1' },
  { name: 'HTTP/2', page: demo.page_https, flags: ['--disable-quic', ...trust], protocol: 'h2' },
  { name: 'HTTP/3', page: demo.page_https, flags: [`--origin-to-force-quic-on=${secure.host}`, ...trust], protocol: 'h3' },
];

let direct;
let failed = 0;
for (const way of ways) {
  const result = await watch(way).catch(error => ({ error }));
  direct ??= result;
  const faults = result.error ? [String(result.error)] : judge(way, result, direct);
  failed += faults.length > 0;
  console.log(`${faults.length ? 'FAILED' : 'ok    '} ${way.name}${result.error ? '' : describe(result)}`);
  for (const fault of faults) console.log(`       ${fault}`);
}
const code = await demo.stop();
if (code !== 0) { failed += 1; console.log(`FAILED the demo ended with ${code} on Ctrl-C`); }
console.log(`${ways.length + 1 - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

async function watch({ page: url, flags }) {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...flags] });
  try {
    const page = await browser.newPage();
    const console_ = [];
    page.on('console', message => { if (message.type() === 'error') console_.push(message.text()); });
    page.on('pageerror', error => console_.push(String(error)));
    await page.goto(url, { timeout: 30_000 });
    await page.waitForFunction(() => window.weir && window.weir.started > 0, null, { timeout: 60_000 });
    const from = await page.evaluate(() => document.getElementById('video').currentTime);
    await page.waitForFunction(
      ([from, seconds]) => document.getElementById('video').currentTime >= from + seconds,
      [from, seconds], { timeout: (seconds * 3 + 60) * 1000 });
    if (process.env.SCREENSHOT) await page.screenshot({ path: `${process.env.SCREENSHOT}-${new URL(url).protocol.slice(0, -1)}.png` });
    return { ...await page.evaluate(() => window.weir), console: console_ };
  } finally {
    await browser.close();
  }
}

function describe(result) {
  return `: first frame ${Math.round(result.started)} ms, latency ${result.latency?.toFixed(2)} s, ${result.frames} frames, `
    + `${result.dropped} dropped, ${result.stalls} stalls, over ${JSON.stringify(result.protocols)}`;
}

function judge({ protocol }, result, direct) {
  const faults = [];
  const must = (holds, fault) => { if (!holds) faults.push(fault); };
  must(result.stalls === 0, `${result.stalls} stalls`);
  must(result.dropped <= result.frames / 10, `${result.dropped} of ${result.frames} frames dropped`);
  must(result.latency !== null && result.latency <= direct.latency + 1, `latency ${result.latency}, direct ${direct.latency}`);
  must(!result.errors.some(error => error.fatal), `player errors: ${JSON.stringify(result.errors)}`);
  must(result.requests.some(request => /part/.test(request.url)), 'no part was asked for: low latency is off');
  const elsewhere = result.requests.filter(request => request.protocol !== protocol && request.protocol !== '');
  must(elsewhere.length === 0, `not over ${protocol}: ${JSON.stringify(elsewhere.slice(0, 3))}`);
  must(result.requests.some(request => request.protocol === protocol), `nothing over ${protocol}`);
  must(result.console.length === 0, `the browser's console: ${result.console.slice(0, 3).join(' | ')}`);
  return faults;
}
