// A real browser plays the demo's stream through the node over HTTP/1.1, HTTP/2 and HTTP/3, low latency on, and once
// straight from the origin for comparison; then the origin's other kinds of stream: parts as byte ranges, no parts, and
// transport streams, each over one protocol, or over all with PLAY_ALL=1. PLAY_SECONDS (20) of playing must pass without a
// stall.
//
// A machine that is busy with other things can starve the browser itself: what concerns time alone (stalls, dropped
// frames, latency, a player that gave up or fell so far behind that what it asks for has gone) may be tried again, and
// the line says so. What is late each time fails where the same page, straight
// from the origin, is on time at that moment; where that is late too, the machine is at fault, and nothing was judged.
import { chromium } from 'playwright-core';
import { isOfPlayer, startDemo, within } from './demo.mjs';

const seconds = Number(process.env.PLAY_SECONDS || 20);
const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];
const LATENCY_MARGIN = 1; // seconds beyond the direct connection
const SEGMENTS_LATENCY = 12; // seconds: three segments of two, and as much again
const UNNAMED = 0.05; // of the requests: the browser files their protocol after the page has looked
const TRIES = 3;

// It was too slow: no more is wrong.
class Late extends Error {}

// Whatever hangs, this ends; what was started ends with it.
const limit = (TRIES + 1) * 13 * (seconds * 2 + 60);
setTimeout(() => { console.log(`FAILED not done within ${limit} s`); process.exit(1); }, limit * 1000).unref();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

const demo = await startDemo();
const secure = new URL(demo.page_https);
const trust = [`--ignore-certificate-errors-spki-list=${demo.spki}`];
const direct = {
  name: 'direct to the origin', page: `${demo.page}?src=${encodeURIComponent(demo.origin_stream)}`,
  flags: ['--disable-quic'], protocol: 'http/1.1',
};
const ways = [
  direct,
  { name: 'HTTP/1.1', page: demo.page, flags: ['--disable-quic'], protocol: 'http/1.1' },
  { name: 'HTTP/2', page: demo.page_https, flags: ['--disable-quic', ...trust], protocol: 'h2' },
  { name: 'HTTP/3', page: demo.page_https, flags: [`--origin-to-force-quic-on=${secure.host}`, ...trust], protocol: 'h3' },
];

// What an origin without parts and blocking reloads publishes is played as far from its edge as HLS always was.
const others = { br: 'low latency', plain: 'segments', ts: 'segments' };
const through = { 'HTTP/1.1': ways[1], 'HTTP/2': ways[2], 'HTTP/3': ways[3] };
for (const [index, [mode, kind]] of Object.entries(others).entries()) {
  for (const [protocol, way] of Object.entries(through)) {
    if (!process.env.PLAY_ALL && protocol !== Object.keys(through)[2 - index]) continue;
    const source = new URL(`/${mode}/master.m3u8`, way.page);
    ways.push({ ...way, name: `${mode} over ${protocol}`, page: `${way.page}?src=${encodeURIComponent(source)}`, mode, kind });
  }
}

let failed = 0;
for (const way of ways) failed += !await passes(way);
const code = await demo.stop().catch(error => error.message);
if (code !== 0) { failed += 1; console.log(`FAILED the demo ended with ${code} on Ctrl-C`); }
console.log(`${ways.length + 1 - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

async function passes(way) {
  for (let left = TRIES; left > 0; left -= 1) {
    const { result, broken, late } = await attempt(way);
    if (way === direct) direct.latency = result.latency ?? direct.latency;
    const word = broken.length > 0 ? 'FAILED' : late.length === 0 ? 'ok    ' : left > 1 ? 'again ' : 'late  ';
    tell(word, way, result, [...broken, ...late]);
    if (broken.length + late.length === 0) return true;
    if (broken.length > 0) return false;
  }
  if (way === direct) return machineIsBusy(way);
  const { result, broken, late } = await attempt(direct);
  tell(broken.length > 0 ? 'FAILED' : late.length > 0 ? 'late  ' : 'ok    ', direct, result, [...broken, ...late]);
  if (broken.length === 0 && late.length > 0) return machineIsBusy(way);
  console.log(`FAILED ${way.name}: late ${TRIES} times, and straight from the origin it is not`);
  return false;
}

function machineIsBusy(way) {
  console.log(`busy   ${way.name}: this machine is too busy to judge time; all else was right`);
  return true;
}

async function attempt(way) {
  const result = await watch(way).catch(error => ({ error }));
  if (!result.error) return { result, ...judge(way, result) };
  const isLate = result.error instanceof Late || result.error.name === 'TimeoutError';
  const fault = String(result.error).split('\n')[0];
  return { result, broken: isLate ? [] : [fault], late: isLate ? [fault] : [] };
}

function tell(word, way, result, faults) {
  console.log(`${word} ${way.name}${result.error ? '' : describe(result)}`);
  for (const fault of faults) console.log(`       ${fault}`);
  for (const line of (result.console ?? []).filter(isOfPlayer)) console.log(`       hls.js: ${line.split('\n')[0]}`);
}

async function watch({ page: url, flags, name }) {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...flags], timeout: 60_000 });
  try {
    const page = await browser.newPage();
    const said = [];
    page.on('console', message => { if (message.type() === 'error') said.push(message.text()); });
    page.on('pageerror', error => said.push(error.stack || String(error)));
    await page.goto(url, { timeout: 30_000 });
    await page.waitForFunction(() => window.weir && window.weir.started > 0, null, { timeout: 60_000 });
    const latencies = await play(page);
    if (process.env.SCREENSHOT) await page.screenshot({ path: `${process.env.SCREENSHOT}-${name.replaceAll(/\W+/g, '-')}.png` });
    const state = await page.evaluate(() => window.weir);
    return { ...state, latency: median(latencies), console: said };
  } finally {
    await within(20_000, 'the browser does not close', browser.close()).catch(error => console.log(`       ${error.message}`));
  }
}

// Lets it play for the time asked for, and looks at its latency twice a second.
async function play(page) {
  const look = () => page.evaluate(() => ({ at: document.getElementById('video').currentTime, latency: window.weir.latency }));
  const latencies = [];
  const end = Date.now() + (seconds * 2 + 30) * 1000;
  const { at: from } = await look();
  for (;;) {
    const { at, latency } = await look();
    if (latency !== null) latencies.push(latency);
    if (at >= from + seconds) return latencies;
    if (Date.now() > end) throw new Late(`played ${(at - from).toFixed(1)} s of ${seconds} s only`);
    await page.waitForTimeout(500);
  }
}

function median(values) {
  return values.length ? [...values].sort((a, b) => a - b)[values.length >> 1] : null;
}

function describe(result) {
  return `: first frame ${Math.round(result.started)} ms, latency ${result.latency?.toFixed(2)} s, `
    + `${result.frames} frames, ${result.dropped} dropped, ${result.stalls} stalls, over ${JSON.stringify(result.protocols)}`;
}

// What the browser says where something has gone before it was asked for, or was waited for too long.
function isGone(line) {
  return /the server responded with a status of (404|503|504)\b/.test(line);
}

// What is wrong, and what is only late.
function judge(way, result) {
  const broken = [], late = [];
  const must = (list, holds, fault) => { if (!holds) list.push(fault); };
  must(late, result.stalls === 0, `${result.stalls} stalls`);
  must(late, result.dropped <= result.frames / 10, `${result.dropped} of ${result.frames} frames dropped`);
  if (way.kind === 'segments') {
    must(late, result.latency <= SEGMENTS_LATENCY, `latency ${result.latency} of a stream without parts`);
  } else if (way !== direct) {
    must(late, result.latency <= direct.latency + LATENCY_MARGIN, `latency ${result.latency}, direct ${direct.latency}`);
  }
  must(broken, result.latency !== null, 'no latency is known');
  must(late, !result.errors.some(error => error.fatal), `player errors: ${JSON.stringify(result.errors)}`);
  if (!way.mode) must(broken, result.requests.some(request => /part/.test(request.url)), 'no part was asked for: low latency is off');
  // Every request, not a sample: the page counts them by protocol.
  const { [way.protocol]: right = 0, '': unnamed = 0, ...elsewhere } = result.protocols;
  must(broken, right > 0, `nothing over ${way.protocol}`);
  must(broken, unnamed <= UNNAMED * right, `${unnamed} requests without a protocol beside ${right}`);
  must(broken, Object.keys(elsewhere).length === 0, `not over ${way.protocol}: ${JSON.stringify(elsewhere)}`);
  // A page may not read another site's Cache-Status, and the browser says so each time. What hls.js stumbles over
  // within itself is its own, as long as it plays on.
  const said = result.console.filter(line => !(way === direct && line.includes('unsafe header')) && !isOfPlayer(line));
  const gone = said.filter(isGone), other = said.filter(line => !isGone(line));
  must(late, gone.length === 0, `the browser's console: ${gone.slice(0, 3).join(' | ')}`);
  must(broken, other.length === 0, `the browser's console: ${other.slice(0, 3).join(' | ')}`);
  return { broken, late };
}
