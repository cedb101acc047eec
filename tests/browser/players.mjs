// hls.js, and Shaka Player where it is installed, play a gated stream: they are given one link with a token, and nothing
// is configured in them. GATED_SECONDS (10) of playing must pass; every request but the first must be of the session. A
// player that a busy machine starves may find that what it asks for has gone: that is tried again. A refusal is not.
import { chromium } from 'playwright-core';
import { createHmac } from 'node:crypto';
import { spawn, execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { within } from './demo.mjs';

const binaries = process.env.WEIR_BINARIES || 'target/debug';
const seconds = Number(process.env.GATED_SECONDS || 10);
const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const TRIES = 3;
const REFUSALS = [400, 401, 403, 410];
const SECRET = 'a secret of thirty-two octets, or more of them';
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];

const folder = mkdtempSync(join(tmpdir(), 'weir-gated-'));
const children = [];
process.on('exit', () => { children.forEach(child => child.kill('SIGKILL')); rmSync(folder, { recursive: true, force: true }); });
setTimeout(() => { console.log('FAILED not done in time'); process.exit(1); }, 1_800_000).unref();

const origin = (await firstLine(start('weir-origin', '--http', '127.0.0.1:0', '--control', '127.0.0.1:0'))).split(/\s+/)[1];
writeFileSync(join(folder, 'issuer.secret'), SECRET, { mode: 0o600 });
writeFileSync(join(folder, 'edge.toml'), `
[listen]
http = ["127.0.0.1:0"]
admin = "unix:${folder}/admin.sock"
[origins.main]
url = "${new URL(origin).origin}"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
[[route]]
name = "gated"
path = "/live/"
origins = ["main"]
access = "members"
`);
start('weir', 'serve', '--config', join(folder, 'edge.toml'));
const node = await listening();

const players = {
  'hls.js': { script: 'node_modules/hls.js/dist/hls.min.js', play: playWithHls },
  'Shaka Player': { script: 'node_modules/shaka-player/dist/shaka-player.compiled.js', play: playWithShaka },
};
const links = {
  query: token => `/live/master.m3u8?token=${token}`,
  path: token => `/.weir/t/${token}/live/master.m3u8`,
};
let failed = 0, passed = 0;
for (const [player, { script, play }] of Object.entries(players)) {
  if (!existsSync(script)) { console.log(`skip   ${player} is not installed`); continue; }
  for (const [carrier, link] of Object.entries(links)) {
    const name = `${player}, token in the ${carrier}`;
    const fault = await faultOf(name, () => watch(script, play, link(mint(`${player} by ${carrier}`))));
    console.log(fault ? `FAILED ${name}: ${fault}` : `ok     ${name}`);
    if (fault) failed += 1; else passed += 1;
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

// What is wrong, or was late each time.
async function faultOf(name, attempt) {
  for (let left = TRIES; ; left -= 1) {
    const { wrong, late } = await attempt().catch(error => (
      error.name === 'TimeoutError' ? { late: String(error).split('\n')[0] } : { wrong: String(error) }));
    if (wrong || !late || left === 1) return wrong ?? late;
    console.log(`again  ${name}: ${late}`);
  }
}

async function watch(script, play, path) {
  const browser = await chromium.launch({ executablePath, args: flags, timeout: 60_000 });
  try {
    const page = await browser.newPage();
    const asked = [], refused = [], gone = [];
    page.on('response', response => {
      const url = new URL(response.url());
      if (url.protocol !== 'http:' || url.origin !== node || url.pathname === '/.weir/live') return;
      asked.push(url.pathname);
      const status = response.status();
      if (status >= 400) (REFUSALS.includes(status) ? refused : gone).push(`${status} ${url.pathname}`);
    });
    await page.goto(`${node}/.weir/live`, { timeout: 30_000 });
    await page.setContent('<video id="video" muted autoplay playsinline></video>');
    await page.addScriptTag({ path: resolve(script) });
    await page.evaluate(play, `${node}${path}`);
    const until = wanted => page.waitForFunction(at => document.getElementById('video').currentTime >= at, wanted,
      { timeout: (seconds * 3 + 60) * 1000 });
    await until(0.1);
    const from = await page.evaluate(() => document.getElementById('video').currentTime);
    await until(from + seconds);
    const outside = asked.slice(1).filter(path => !path.startsWith('/.weir/s/'));
    // A player may ask for the link itself once more.
    const strange = outside.filter(path => !path.endsWith('/master.m3u8'));
    if (refused.length) return { wrong: `refused: ${refused.slice(0, 3).join(', ')}` };
    if (strange.length) return { wrong: `outside of the session: ${strange.slice(0, 3).join(', ')}` };
    if (gone.length) return { late: `gone: ${gone.slice(0, 3).join(', ')}` };
    return asked.length > 10 ? {} : { late: `only ${asked.length} requests` };
  } finally {
    await within(20_000, 'the browser does not close', browser.close()).catch(error => console.log(`       ${error.message}`));
  }
}

function playWithHls(url) {
  const hls = new Hls({ lowLatencyMode: true });
  hls.loadSource(url);
  hls.attachMedia(document.getElementById('video'));
}

async function playWithShaka(url) {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(document.getElementById('video'));
  await player.load(url);
}

function mint(subject) {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: 'https://issuer.test', sub: subject, jti: subject, exp: Math.floor(Date.now() / 1000) + 300, path: '/live' };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

function start(name, ...args) {
  const child = spawn(`${binaries}/${name}`, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, WEIR_LOG: 'warn' } });
  children.push(child);
  return child;
}

function firstLine(child) {
  return within(60_000, 'a process says nothing', new Promise(done => createInterface({ input: child.stdout }).once('line', done)));
}

async function listening() {
  for (;;) {
    try {
      const text = execFileSync(`${binaries}/weir`, ['status', '--json', '--admin', `unix:${folder}/admin.sock`], { stdio: ['ignore', 'pipe', 'ignore'] });
      const http = JSON.parse(text).listeners.find(listener => listener.kind === 'http');
      return `http://${http.address}`;
    } catch {
      await new Promise(done => setTimeout(done, 200));
    }
  }
}
