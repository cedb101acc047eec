// The dashboard, while a player plays: who is watching is shown within five seconds, the session is found by the support
// code that the player's page shows, and its story is drawn; on a phone too. SCREENSHOT=path keeps what was seen.
import { chromium } from 'playwright-core';
import { startDemo, within } from './demo.mjs';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 900 };

setTimeout(() => { console.log('FAILED not done in time'); process.exit(1); }, 300_000).unref();
const demo = await startDemo();
const browser = await chromium.launch({ executablePath, args: flags, timeout: 60_000 });
const faults = [];
let passed = 0;
const check = (what, holds, found = '') => {
  if (holds) passed += 1; else faults.push(`${what}${found === '' ? '' : `: ${found}`}`);
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}${holds || found === '' ? '' : `: ${found}`}`);
};

try {
  const player = await browser.newPage();
  await player.goto(demo.page, { timeout: 30_000 });
  await player.waitForFunction(() => window.weir.started > 0 && window.weir.support, null, { timeout: 60_000 });
  const code = await player.evaluate(() => window.weir.support);
  check('the player page shows a support code', /^[0-9A-Z]{4}-[0-9A-Z]{4}$/.test(code), code);

  const page = await browser.newPage({ viewport: DESK });
  const said = [];
  // What a browser prints of an answer that says "unknown" is no fault of the page.
  const isUnknown = text => text.includes('status of 404 ');
  page.on('console', message => { if (message.type() === 'error' && !isUnknown(message.text())) said.push(message.text()); });
  page.on('pageerror', error => said.push(String(error)));
  await page.goto(`${demo.admin}/`, { timeout: 30_000 });
  const shows = (name, what) => page.waitForFunction(
    ([name, what]) => [...document.querySelectorAll('.tile')].some(tile => tile.firstChild.textContent === name && new RegExp(what).test(tile.children[1].textContent)),
    [name, what], { timeout: 30_000 });
  await shows('Viewers now', '^1$');
  check('one viewer is shown', true);
  await shows('Startup', 'm?s$');
  check('how fast it started is shown', true);
  await shows('Bit rate', 'bit/s$');
  check('the bit rate is shown', true);
  check('the stream is listed', (await page.locator('#streams td').first().textContent()) === 'live', await page.locator('#streams').textContent());
  check('the origin is listed', (await page.locator('#origins').textContent()).includes('well'));

  await page.fill('#query', code);
  await page.click('#find button');
  await page.waitForSelector('#story:not([hidden])', { timeout: 60_000 });
  const headline = await page.textContent('#headline');
  check('the story has a first sentence', headline.length > 10, headline);
  check('it is the story of that code', (await page.textContent('#who')).includes(code));
  check('its lines are told', await page.locator('#lines li').count() > 2);
  check('it is drawn on a time axis', await page.locator('#axis rect').count() > 2);
  check('on a desk nothing is cut off', await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await picture(page, 'desk');

  await page.setViewportSize(PHONE);
  check('on a phone nothing is cut off', await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await picture(page, 'phone');

  await page.fill('#query', 'ZZZZ-ZZZZ');
  await page.click('#find button');
  await page.waitForFunction(() => document.getElementById('found').textContent.length > 0, null, { timeout: 60_000 });
  check('a code that nobody has is said to be unknown', (await page.textContent('#found')).includes('No session'), await page.textContent('#found'));

  // A listener that asks for a token, and a link with a code: it is searched for once the token is typed.
  const asks = await browser.newPage({ viewport: DESK });
  const SECRET = 'Bearer 0123456789abcdef';
  for (const path of ['/live', '/sessions?**', '/sessions/**']) {
    await asks.route(`${demo.admin}${path}`, async route => {
      const { authorization, ...headers } = route.request().headers();
      if (authorization !== SECRET) return route.fulfill({ status: 401, contentType: 'application/json', body: '{"detail":"a token is asked for"}' });
      return route.continue({ headers });
    });
  }
  await asks.goto(`${demo.admin}/?session=${code}`, { timeout: 30_000 });
  await asks.waitForSelector('#key:not([hidden])', { timeout: 10_000 });
  await asks.fill('#token', SECRET.slice('Bearer '.length));
  await asks.click('#key button');
  await asks.waitForSelector('#story:not([hidden])', { timeout: 10_000 });
  check('a link opens its story once a token is typed', (await asks.textContent('#who')).includes(code));
  await asks.close();

  // Two stories one after the other, of which the first hears late how many others had the same.
  const hurries = await browser.newPage({ viewport: DESK });
  const answers = [];
  await hurries.route(`${demo.admin}/sessions/*/story`, async route => {
    const answer = await route.fetch();
    return route.fulfill({ response: answer, json: { ...await answer.json(), fault: 'origin', cause: 'origin-slow' } });
  });
  await hurries.route(`${demo.admin}/sessions/*/others`, route => { answers.push(many => route.fulfill({ json: { sessions: many } })); });
  await hurries.goto(`${demo.admin}/`, { timeout: 30_000 });
  const until = async holds => { for (let looks = 0; looks < 200 && !holds(); looks += 1) await new Promise(done => setTimeout(done, 50)); };
  for (const asked of [1, 2]) {
    await hurries.fill('#query', code);
    await hurries.click('#find button');
    await until(() => answers.length === asked);
  }
  await answers[1](1);
  await hurries.waitForFunction(() => document.getElementById('others').textContent !== '', null, { timeout: 10_000 });
  const heard = hurries.waitForResponse(response => response.url().endsWith('/others'));
  await answers[0](7);
  await (await heard).finished();
  const others = await hurries.textContent('#others');
  check('a late answer is not told of another story', others.startsWith('1 other session '), others);
  await hurries.close();

  await player.close();
  await page.waitForFunction(() => document.getElementById('state').textContent === 'serving', null, { timeout: 60_000 });
  check('the console is silent', said.length === 0, said.slice(0, 3).join(' | '));
} catch (error) {
  check('nothing is waited for in vain', false, String(error).split('\n')[0]);
} finally {
  await within(20_000, 'the browser does not close', browser.close()).catch(error => console.log(`       ${error.message}`));
}
const ended = await demo.stop().catch(error => error.message);
check('the demo ends on Ctrl-C', ended === 0, ended);
console.log(`${passed} passed, ${faults.length} failed`);
process.exit(faults.length ? 1 : 0);

async function picture(page, name) {
  if (process.env.SCREENSHOT) await page.screenshot({ path: `${process.env.SCREENSHOT}-${name}.png`, fullPage: true });
}
