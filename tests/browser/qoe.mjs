// Players that report by CMCD (in queries, in fields, in batches of events), over HTTP/1.1, HTTP/2 and HTTP/3: what the
// node says of them agrees with what each player knows of itself. A stall is made by taking the network away.
// Two things are judged. What the node says is what follows from the very reports that the page sent, made again here from
// what left the browser: where it is not, the run fails at once. And what the player reported is what a second observer on
// the page's own clock saw: a starved page sees one event twice at different times, so that this is tried again, and fails
// after the third time.
import { chromium } from 'playwright-core';
import { existsSync } from 'node:fs';
import { failures, ofEvents, ofRequests } from './reports.mjs';
import { resolve } from 'node:path';
import { startDemo, within } from './demo.mjs';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];
const STARTUP_MS = 50, REBUFFER_MS = 100; // of what was reported, beside what the page's own clock measured
const ABOUT_MS = 600; // of what is estimated from requests, beside the same
const ROUNDED_MS = 1; // of what the node says, beside what follows from the reports
const TRIES = 3;
const OFFLINE_MS = 5_000, PLAYED = 6;

setTimeout(() => { console.log('FAILED not done in time'); process.exit(1); }, 900_000).unref();
const demo = await startDemo();
const secure = new URL(demo.page_https);
const trust = [`--ignore-certificate-errors-spki-list=${demo.spki}`];
const ways = {
  'HTTP/1.1': { site: new URL(demo.page).origin, flags: ['--disable-quic'] },
  'HTTP/2': { site: secure.origin, flags: ['--disable-quic', ...trust] },
  'HTTP/3': { site: secure.origin, flags: [`--origin-to-force-quic-on=${secure.host}`, ...trust] },
};
const players = {
  'hls.js': { script: 'node_modules/hls.js/dist/hls.min.js', play: playWithHls, tells: 'states' },
  // It tells no states, and now and then an error without its code, which is no record.
  'Shaka Player': { script: 'node_modules/shaka-player/dist/shaka-player.compiled.js', play: playWithShaka },
};
const modes = {
  query: { version: 1 },
  fields: { version: 1, useHeaders: true },
  'query of version 2': { version: 2 },
  'fields of version 2': { version: 2, useHeaders: true },
  events: { version: 2, hasEvents: true },
};

let passed = 0, failed = 0, number = 0;
for (const [player, { script, play, tells }] of Object.entries(players)) {
  if (!existsSync(script)) { console.log(`skip   ${player} is not installed`); continue; }
  for (const [name, mode] of Object.entries(modes)) {
    // Every mode of each player over one protocol, and all of them over each with PLAY_ALL.
    for (const [protocol, way] of Object.entries(ways)) {
      if (!process.env.PLAY_ALL && Object.keys(ways)[number % 3] !== protocol) continue;
      await judged(`${player}, ${name}, ${protocol}`, () => watch(way, [script, play], mode, tells));
    }
    number += 1;
  }
}
const code = await demo.stop().catch(error => error.message);
if (code !== 0) { failed += 1; console.log(`FAILED the demo ended with ${code} on Ctrl-C`); }
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

// Where the page's clocks disagree with each other it may be tried again; what is wrong may not.
async function judged(name, attempt) {
  for (let left = TRIES; left > 0; left -= 1) {
    const { told = '', wrong = [], late = [] } = await attempt().catch(error => ({ wrong: [String(error).split('\n')[0]] }));
    const again = wrong.length === 0 && late.length > 0 && left > 1;
    const word = again ? 'again ' : wrong.length + late.length > 0 ? 'FAILED' : 'ok    ';
    console.log(`${word} ${name}: ${[told, ...wrong, ...late].filter(Boolean).join('; ')}`);
    if (!again) { if (word === 'FAILED') failed += 1; else passed += 1; return; }
  }
}

async function watch({ site, flags }, [script, play], mode, tells) {
  const browser = await chromium.launch({ executablePath, args: [...quiet, ...flags], timeout: 60_000 });
  try {
    // A session of an open route is an address and a User-Agent: each run has one of its own.
    const context = await browser.newContext({ userAgent: `Mozilla/5.0 Chrome/140.0 run/${Date.now()}`, ignoreHTTPSErrors: false });
    const page = await context.newPage();
    let session = null;
    const sent = { bodies: [], requests: [], answers: new Set() };
    page.on('response', response => {
      session ??= response.headers()['weir-session'] ?? null;
      // What the browser's cache answers bears the identifier of an earlier answer, and did not reach the node.
      const id = response.headers()['x-request-id'];
      if (id === undefined || !sent.answers.has(id)) noteSent(sent, response.request(), response.status());
      sent.answers.add(id);
    });
    // It may have reached the node, or not.
    page.on('requestfailed', request => noteSent(sent, request, null));
    await page.goto(`${site}/.weir/live`, { timeout: 30_000 });
    await page.setContent('<video id="video" muted playsinline></video>');
    await page.addScriptTag({ path: resolve(script) });
    await page.evaluate(observe);
    await page.evaluate(play, { url: `${site}/live/master.m3u8`, collector: `${site}/.weir/cmcd`, mode });
    const played = seconds => page.waitForFunction(at => window.own.playedTo() >= at, seconds, { timeout: 120_000 });
    await played(PLAYED);
    await context.setOffline(true);
    await page.waitForFunction(() => window.own.stalls.length > 0, null, { timeout: 60_000 });
    await page.waitForTimeout(1_000);
    await context.setOffline(false);
    await page.waitForFunction(() => window.own.stalls.at(-1)?.to, null, { timeout: 60_000 });
    await played(PLAYED + 6);
    const own = await page.evaluate(() => window.own.figures());
    await page.evaluate(() => window.own.leave());
    return judge([mode, tells], own, await figures(session), sent);
  } finally {
    await within(20_000, 'the browser does not close', browser.close()).catch(error => console.log(`       ${error.message}`));
  }
}

// The view's figures, once nothing changes in them any more.
async function figures(session) {
  if (!session) throw new Error('no session was named');
  let before = '';
  for (let looks = 0; looks < 40; looks += 1) {
    await new Promise(done => setTimeout(done, 500));
    const answer = await fetch(`${demo.admin}/sessions/${session}`);
    const text = JSON.stringify((await answer.json()).figures?.views ?? null);
    if (text === before && text !== 'null') return JSON.parse(text);
    before = text;
  }
  throw new Error('its figures do not come to rest');
}

// What left the browser, and what was answered; no status: nobody knows.
function noteSent(sent, request, status) {
  const url = new URL(request.url());
  if (url.pathname === '/.weir/cmcd') {
    if (request.method() === 'POST') sent.bodies.push({ text: request.postData(), status });
    return;
  }
  const fields = Object.entries(request.headers()).filter(([name]) => name.startsWith('cmcd-')).map(([, value]) => value);
  const text = fields.length ? fields.join(',') : url.searchParams.get('CMCD');
  // What a cache of the browser's own answers again is asked for again by name only.
  if (text !== null && !request.redirectedFrom()) sent.requests.push({ text, status });
}

function judge([mode, tells], own, views, sent) {
  const wrong = failures(sent.bodies), late = [];
  if (views.length !== 1) return { wrong: [...wrong, `${views.length} views in place of one`] };
  const [{ reported, inferred, received }] = views;
  const of = { events: ofEvents(sent.bodies), requests: ofRequests(sent.requests) };
  const seen = mode.hasEvents ? reported : inferred;
  const near = (list, what, [theirs, ours], margin) => {
    if (theirs == null && ours == null) return;
    if (theirs == null || ours == null || Math.abs(theirs - ours) > margin) list.push(`${what} ${theirs ?? 'unsaid'} beside ${ours == null ? 'none' : Math.round(ours)}`);
  };
  if (received.reports === 0) wrong.push('nothing was reported');
  const told = [`startup ${seen.startup_ms} of ${Math.round(own.startup)} ms`, `rebuffering ${seen.rebuffer_ms ?? '–'} of ${Math.round(own.stalled)} ms`,
    `${(seen.bit_rate_kbps ?? inferred.bit_rate_kbps)?.toFixed(0)} kbit/s of ${own.rates.join(', ')}`, `${received.reports} reports`].join(', ');
  if (mode.hasEvents) {
    // A body of which nobody knows whether it arrived makes figures of which nobody knows either.
    if (of.events.isKnown) {
      near(wrong, 'startup beside the reports:', [reported.startup_ms, of.events.startup], ROUNDED_MS);
      near(wrong, 'rebuffering beside the reports:', [reported.rebuffer_ms, of.events.rebuffering], ROUNDED_MS);
      near(wrong, 'rebufferings beside the reports:', [reported.rebuffers, of.events.rebuffers], 0);
    } else late.push('a body was sent of which nobody knows whether it came');
    near(late, 'startup', [reported.startup_ms, own.startup], STARTUP_MS);
    if (tells === 'states') {
      near(late, 'rebuffering', [reported.rebuffer_ms, own.stalled], REBUFFER_MS);
      if (reported.rebuffers !== own.stalls) late.push(`${reported.rebuffers} rebufferings beside ${own.stalls}`);
    }
  } else {
    // Requests tell of a stall by a mark on the next one, and how long it was is estimated from those around it.
    const { starved, perhaps, startup } = of.requests;
    if (seen.rebuffers < starved || seen.rebuffers > starved + perhaps) wrong.push(`${seen.rebuffers} rebufferings beside ${starved} marked requests`);
    if (seen.startup_ms != null && seen.startup_estimated !== (startup === null)) wrong.push(`the startup is marked as estimated: ${seen.startup_estimated}`);
    if (startup !== null) near(wrong, 'startup beside the requests:', [seen.startup_ms, startup], 0);
    if (startup !== null) near(late, 'startup', [seen.startup_ms, own.startup], STARTUP_MS);
    // Who says when it is in need is estimated well.
    else if (tells === 'states') near(late, 'startup, about', [seen.startup_ms, own.startup], ABOUT_MS);
    if (tells === 'states') near(late, 'rebuffering, about', [seen.rebuffer_ms, own.stalled], ABOUT_MS);
  }
  // Of one rendition the rate is known to the last bit; of several their mean lies between them.
  const [least, most] = [Math.min(...own.rates), Math.max(...own.rates)];
  const rate = seen.bit_rate_kbps ?? inferred.bit_rate_kbps;
  if (rate == null || rate < least - .5 || rate > most + .5) wrong.push(`bit rate ${rate} beside ${own.rates.join(', ')}`);
  return { told, wrong, late };
}

// What the player's own page sees, put into it before either player: when it starts counting is each player's word.
function observe() {
  const video = document.getElementById('video');
  let started = null;
  const own = window.own = {
    stalls: [], startup: null, rates: new Set(),
    begins: () => { started ??= performance.now(); },
    playedTo: () => [...Array(video.played.length).keys()].reduce((sum, at) => sum + video.played.end(at) - video.played.start(at), 0),
    figures: () => ({ startup: own.startup, stalls: own.stalls.length, rates: [...own.rates],
      stalled: own.stalls.reduce((sum, stall) => sum + stall.to - stall.from, 0) }),
  };
  video.addEventListener('playing', () => {
    own.startup ??= performance.now() - started;
    const last = own.stalls.at(-1);
    if (last && !last.to) last.to = performance.now();
  });
  video.addEventListener('waiting', () => { if (own.startup !== null && !video.seeking) own.stalls.push({ from: performance.now() }); });
}

function playWithHls({ url, collector, mode }) {
  const video = document.getElementById('video');
  // It has started when it was told to play (CTA-5004-B: `sta=s`).
  video.addEventListener('play', own.begins);
  own.leave = () => own.hls.destroy();
  const targets = [{ url: collector, events: ['ps', 'e', 't', 'bc'], interval: 5 }];
  const { version, useHeaders = false, hasEvents } = mode;
  const cmcd = { version, useHeaders, ...(hasEvents ? { eventTargets: targets } : {}) };
  // One rendition: its rate is known to the last bit.
  const hls = own.hls = new Hls({ lowLatencyMode: true, cmcd, startLevel: 0 });
  hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.currentLevel = 0; });
  hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => own.rates.add(Math.round(hls.levels[level].bitrate / 1000)));
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play();
}

async function playWithShaka({ url, collector, mode }) {
  shaka.polyfill.installAll();
  const video = document.getElementById('video');
  own.leave = () => own.player.destroy();
  const player = own.player = new shaka.Player();
  await player.attach(video);
  const targets = [{ enabled: true, url: collector, events: ['ps', 'e', 't', 'bc'], timeInterval: 5, interval: 5 }];
  const { version, useHeaders = false, hasEvents } = mode;
  player.configure({
    abr: { enabled: false },
    cmcd: { enabled: true, version, useHeaders, ...(hasEvents ? { eventTargets: targets } : {}) },
  });
  const note = () => { const now = player.getVariantTracks().find(track => track.active); if (now) own.rates.add(Math.round(now.bandwidth / 1000)); };
  player.addEventListener('adaptation', note);
  player.addEventListener('variantchanged', note);
  // It counts from where it was told what to load.
  own.begins();
  await player.load(url);
  note();
  video.play();
}
