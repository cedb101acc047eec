// A real browser at the demo's paywall, over HTTP/1.1, 2 and 3: the working link plays and goes on playing, the others are
// refused and say why, and what is taken back stops. Then Shaka plays with a token in a field of its first request, and all
// that it asks for after that has none. SCREENSHOT=PREFIX keeps what it looks like.
import { chromium } from 'playwright-core';
import { isOfPlayer, startDemo, within } from './demo.mjs';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];
const LIMIT_MS = 900_000;
const REVOKED_MS = 30_000; // the player asks at least once a second; the rest is a busy machine, and what it took is printed

setTimeout(() => { console.log(`FAILED not done within ${LIMIT_MS / 1000} s`); process.exit(1); }, LIMIT_MS).unref();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

const demo = await startDemo('--gated');
const secure = new URL(demo.page_https);
const trust = [`--ignore-certificate-errors-spki-list=${demo.spki}`];
const ways = [
  { name: 'HTTP/1.1', page: demo.page, flags: ['--disable-quic'] },
  { name: 'HTTP/2', page: demo.page_https, flags: ['--disable-quic', ...trust] },
  { name: 'HTTP/3', page: demo.page_https, flags: [`--origin-to-force-quic-on=${secure.host}`, ...trust] },
];

let failed = 0;
for (const way of ways) {
  const said = await visit(way).catch(error => { failed += 1; return `FAILED ${way.name}: ${error.message}`; });
  console.log(said);
}
const code = await demo.stop().catch(error => error.message);
if (code !== 0) { failed += 1; console.log(`FAILED the demo ended with ${code} on Ctrl-C`); }
console.log(`${ways.length + 1 - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

async function visit({ name, page: url, flags }) {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...flags], timeout: 60_000 });
  try {
    const page = await browser.newPage({ viewport: { width: 1240, height: 900 } });
    const faults = [];
    // What a player stumbles over within itself is its own, as long as it plays on.
    page.on('pageerror', error => { if (!isOfPlayer(error.stack || '')) faults.push(error.stack || String(error)); });
    const until = (what, holds, ms = 30_000) => page.waitForFunction(holds, null, { timeout: ms })
      .catch(async () => { throw new Error(`${what}: ${JSON.stringify(await page.evaluate(() => ({ ...window.weir, words: document.getElementById('words').textContent })))}`); });
    const picture = async what => {
      if (process.env.SCREENSHOT) await page.screenshot({ path: `${process.env.SCREENSHOT}-${name.replaceAll(/\W+/g, '-')}-${what}.png` });
    };
    await page.goto(url, { timeout: 30_000 });
    await picture('begin');
    for (const [kind, reason] of [['expired', 'token-expired'], ['elsewhere', 'uri-out-of-scope'], ['spoiled', 'signature-bad']]) {
      await page.click(`[data-kind=${kind}]`);
      await page.waitForFunction(reason => window.weir.refusal === reason, reason, { timeout: 20_000 })
        .catch(async () => { throw new Error(`${kind} is not refused with ${reason}: ${JSON.stringify(await page.evaluate(() => window.weir))}`); });
      const shown = await page.textContent('#json');
      if (!shown.includes(reason)) throw new Error(`the page does not show ${reason}: ${shown}`);
      if (kind === 'expired') await picture('expired');
    }
    await page.click('[data-kind=good]');
    await until('the working link does not play', () => window.weir.started > 0 && window.weir.standing === 'living', 60_000);
    const from = await page.evaluate(() => document.getElementById('video').currentTime);
    await page.waitForFunction(from => document.getElementById('video').currentTime > from + 3, from, { timeout: 30_000 });
    const session = await page.evaluate(() => window.weir.session);
    if (!/^[0-9a-f]{24}$/.test(session)) throw new Error(`no session: ${session}`);
    await picture('playing');
    const asked = Date.now();
    await page.click('#revoke');
    await until('what is taken back goes on', () => window.weir.refusal === 'revoked', REVOKED_MS);
    const took = Date.now() - asked;
    await picture('revoked');
    await page.click('[data-kind=good]');
    await until('a new link does not play', () => window.weir.started > 0 && window.weir.refusal === null, 60_000);
    const shaka = await shakaPlays(page);
    if (faults.length) throw new Error(faults.join('; '));
    return `ok     ${name}: three links refused, one played, taken back after ${took} ms, played again; Shaka: ${shaka}`;
  } finally {
    await within(20_000, 'the browser does not close', browser.close()).catch(error => console.log(`       ${error.message}`));
  }
}

// Shaka with its own networking: the token goes with the first request alone.
async function shakaPlays(page) {
  await page.addScriptTag({ path: 'node_modules/shaka-player/dist/shaka-player.compiled.js' });
  const played = await page.evaluate(async seconds => {
    window.hls?.destroy();
    const reply = await fetch('/issuer/link', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ viewer: 'shaka', kind: 'good' }),
    });
    const token = (await reply.json()).link.split('/')[3];
    shaka.polyfill.installAll();
    const video = Object.assign(document.createElement('video'), { muted: true });
    document.body.append(video);
    const player = new shaka.Player();
    await player.attach(video);
    const errors = [], asked = [];
    // What has no code is thrown by the player itself.
    player.addEventListener('error', event => errors.push(event.detail.code ?? String(event.detail.stack)));
    player.getNetworkingEngine().registerRequestFilter((_, request) => {
      if (asked.length === 0) request.headers.Authorization = `Bearer ${token}`;
      asked.push(request.uris[0]);
    });
    await player.load('/live/master.m3u8');
    await video.play();
    const from = video.currentTime, end = Date.now() + 90_000;
    while (video.currentTime < from + seconds && Date.now() < end) await new Promise(resolve => setTimeout(resolve, 250));
    const at = video.currentTime - from;
    await player.destroy();
    return { at, errors, asked: asked.length, outside: asked.slice(1).filter(uri => !uri.includes('/.weir/s/')) };
  }, 3);
  const errors = played.errors.filter(error => !isOfPlayer(String(error)));
  if (played.at < 3 || errors.length || played.outside.length) throw new Error(`Shaka: ${JSON.stringify(played)}`);
  return `${played.asked} requests, one with a token`;
}
