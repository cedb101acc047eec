'use strict';
// Draws what the feed says, once a second. What comes from elsewhere is only ever set as text.
const $ = id => document.getElementById(id);
const KEPT = 600; // seconds of viewers that are remembered
const SVG = 'http://www.w3.org/2000/svg';
let token = null, history = [], last = null, previous = null;

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const shape = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const fill = (id, ...children) => $(id).replaceChildren(...children);
const count = value => Number(value ?? 0).toLocaleString('en');
const size = octets => {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (octets < 1024) return `${octets < 10 && unit !== 'B' ? octets.toFixed(1) : Math.round(octets)} ${unit}`;
    octets /= 1024;
  }
  return `${octets.toFixed(1)} TiB`;
};
const seconds = ms => ms == null ? '–' : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
const rate = kbps => kbps == null ? '–' : kbps < 1000 ? `${Math.round(kbps)} kbit/s` : `${(kbps / 1000).toFixed(2)} Mbit/s`;
const percent = share => share == null ? '–' : `${(100 * share).toFixed(share > 0 && share < .1 ? 2 : 1)} %`;
const span = total => {
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(total)} s`;
};
const clock = at => new Date(at).toISOString().slice(11, 23);

// The feed. A reader with a token cannot use EventSource, which sends no fields of ours.
async function listen() {
  for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
    try {
      const answer = await ask('/live');
      if (answer.status === 401 || answer.status === 403) return wantsToken(answer.status);
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ''; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
          draw(JSON.parse(text.slice('data: '.length, end)));
          pause = 500;
        }
      }
    } catch (error) { console.debug(error); }
    say('not reached', 'bad');
    await new Promise(done => setTimeout(done, pause));
  }
}
const ask = path => fetch(path, token ? { headers: { authorization: `Bearer ${token}` } } : {});
const say = (text, mood) => { $('state').textContent = text; $('state').className = `pill ${mood}`; };

function wantsToken(status) {
  say(status === 403 ? 'the role view is missing' : 'a token is asked for', 'warn');
  $('key').hidden = false; $('main').hidden = true;
  $('token').focus();
}
$('key').addEventListener('submit', event => {
  event.preventDefault();
  token = $('token').value.trim();
  $('token').value = ''; $('key').hidden = true; $('main').hidden = false;
  listen();
  search(); // What was asked for without the token was not answered.
});

function draw(now) {
  previous = last; last = now;
  $('node').textContent = now.node;
  document.title = `${now.viewers.viewers} viewers · ${now.node}`;
  $('about').textContent = `Weir ${now.release}, up ${span(now.uptime_seconds)}`;
  const sick = now.origins.filter(origin => !origin.healthy).length;
  if (now.draining) say('draining', 'warn');
  else if (sick) say(`${sick} origin${sick > 1 ? 's' : ''} not well`, 'bad');
  else say('serving', 'good');
  history.push([Date.now(), now.viewers.viewers]);
  history = history.filter(([at]) => at > Date.now() - KEPT * 1000);
  tiles(now); chart(); streams(now); answers(now); origins(now); protocols(now); refusals(now); facts(now);
}

// A figure that players report goes first; what the node infers stands in only where nobody reports, and is called so.
function told(sources, name) {
  const [reported, inferred] = [sources.reported[name], sources.inferred[name]];
  if (reported != null) return { value: reported, from: `reported, n\u00a0=\u00a0${count(sources.reported.views)}` };
  if (inferred != null) return { value: inferred, from: `inferred, n\u00a0=\u00a0${count(sources.inferred.views)}` };
  return { value: null, from: 'nothing yet' };
}
function tiles(now) {
  const recent = now.viewers.all.recent;
  const startup = told(recent, 'startup_ms'), rebuffer = told(recent, 'rebuffer_ratio');
  const bits = told(recent, 'bit_rate_kbps'), latency = told(recent, 'latency_ms');
  const hits = sum(now.traffic.answers, ['hit', 'stale', 'joined']), all = hits + sum(now.traffic.answers, ['revalidated', 'miss', 'pass']);
  const tile = (name, value, below, mood = '') =>
    element('div', { className: `tile ${mood}` }, element('span', { textContent: name }), element('b', { textContent: value }), element('span', { textContent: below }));
  const judged = (value, good, bad) => value == null ? '' : value <= good ? 'good' : value <= bad ? 'warn' : 'bad';
  fill('tiles',
    tile('Viewers now', count(now.viewers.viewers), `${count(sumOf(now.connections))} connections`),
    tile('Startup', seconds(startup.value?.p50), startup.value ? `p95 ${seconds(startup.value.p95)} · ${startup.from}` : startup.from, judged(startup.value?.p50, 2000, 4000)),
    tile('Rebuffering', percent(rebuffer.value), rebuffer.from, judged(rebuffer.value, .005, .02)),
    tile('Bit rate', rate(bits.value), bits.from),
    tile('Behind live', seconds(latency.value?.p50), latency.value ? `p95 ${seconds(latency.value.p95)} · ${latency.from}` : latency.from),
    tile('Hit ratio', all ? percent(hits / all) : '–', `of ${count(all)} answers`, all ? judged(1 - hits / all, .1, .4) : ''));
}
const sum = (of, names) => names.reduce((total, name) => total + (of[name] ?? 0), 0);
const sumOf = of => Object.values(of).reduce((total, value) => total + (typeof value === 'number' ? value : 0), 0);

function chart() {
  const most = Math.max(4, ...history.map(([, viewers]) => viewers)), end = Date.now();
  const length = Math.max(60_000, end - history[0][0]);
  $('h-viewers').textContent = `Viewers, last ${length > 90_000 ? `${Math.round(length / 60_000)} minutes` : 'minute'}`;
  const x = at => (1000 * (1 - (end - at) / length)).toFixed(1), y = viewers => (96 - 90 * viewers / most).toFixed(1);
  const points = history.map(([at, viewers]) => `${x(at)},${y(viewers)}`).join(' ');
  $('chart').setAttribute('viewBox', '0 0 1000 100');
  fill('chart', shape('polygon', { class: 'area', points: `${x(history[0][0])},98 ${points} 1000,98` }), shape('polyline', { class: 'curve', points }));
  $('chart').setAttribute('aria-label', `Viewers over time: now ${history.at(-1)[1]}, at most ${Math.max(...history.map(([, viewers]) => viewers))}`);
}

function table(id, head, rows, none) {
  if (!rows.length) return fill(id, element('caption', { className: 'none', textContent: none }));
  const cells = (kind, values) => values.map(value => {
    const isNumber = /^(–|[\d.,]+( ?(%|ms|s|B|[KMGT]iB|[kM]bit\/s))?)$/.test(value);
    return element(kind, { textContent: value, className: isNumber ? 'number' : '' });
  });
  const heads = cells('th', head);
  const body = rows.map(row => element('tr', {}, ...cells('td', row)));
  [...body[0].children].forEach((cell, at) => { heads[at].className = cell.className; });
  fill(id, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...body));
}
function streams(now) {
  const rows = now.viewers.streams.filter(stream => stream.viewers || stream.total.reported.views || stream.total.inferred.views);
  table('streams', ['Stream', 'Viewers', 'Startup', 'Rebuffering', 'Bit rate', 'Behind live'], rows.slice(0, 50).map(stream => [
    stream.label, count(stream.viewers), seconds(told(stream.recent, 'startup_ms').value?.p50), percent(told(stream.recent, 'rebuffer_ratio').value),
    rate(told(stream.recent, 'bit_rate_kbps').value), seconds(told(stream.recent, 'latency_ms').value?.p50)]), 'Nobody is watching.');
}
function bars(id, values, none, mood = () => '') {
  const rows = values.filter(([, value]) => value > 0).sort((one, other) => other[1] - one[1]).slice(0, 12);
  if (!rows.length) return fill(id, element('p', { className: 'none', textContent: none }));
  const all = rows.reduce((total, [, value]) => total + value, 0);
  fill(id, ...rows.map(([name, value]) => element('div', { className: `bar ${mood(name)}` }, element('span', { textContent: name }),
    element('progress', { max: all, value, ariaLabel: name }), element('output', { textContent: count(value) }))));
}
function answers(now) {
  const moods = { hit: 'good', joined: 'good', stale: 'warn', revalidated: 'warn', miss: 'warn', refused: 'bad' };
  bars('answers', Object.entries(now.traffic.answers), 'Nothing was asked for yet.', name => moods[name] ?? '');
  bars('causes', Object.entries(now.viewers.causes ?? {}), 'It was not asked for a viewer yet.', () => 'warn');
}
function origins(now) {
  table('origins', ['Origin', 'State', 'Requests', 'Failed', 'In flight', 'Streams'], now.origins.map(origin => [
    origin.name, [origin.standing, origin.why].filter(Boolean).join(', '), count(origin.requests), count(origin.errors),
    count(origin.in_flight + origin.waiting), count(origin.streams)]), 'There is none.');
}
function protocols(now) { bars('protocols', Object.entries(now.traffic.protocols), 'Nothing was asked for yet.'); }
function refusals(now) { bars('refusals', Object.entries(now.traffic.refusals), 'Nobody was refused.', () => 'bad'); }
function facts(now) {
  const since = previous ? now.traffic.octets - previous.traffic.octets : 0;
  const facts = [
    ['Sending', `${rate(since * 8 / 1000)}`], ['Requests', count(sumOf(now.traffic.answers))], ['Bodies in memory', `${size(now.memory.bodies ?? 0)} of ${size(now.memory.ceiling ?? 0)}`],
    ['Resident', now.resident ? size(now.resident.bytes) : '–'], ['Held reloads', count(now.live.held)], ['Playlists', count(now.live.playlists)],
    ['Sessions known', count(now.viewers.sessions)], ['Reports', count(now.viewers.received.reports)],
    ...(now.journal ? [['Journal', now.journal.durable === false ? 'memory only' : size(now.journal.bytes ?? 0)]] : []),
    ...now.sinks.map(sink => [`Sink ${sink.name}`, `${sink.health}, ${count(sink.behind_records)} behind`]),
  ];
  fill('facts', ...facts.map(([name, value]) => element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value }))));
}

// Sessions and their stories.
$('find').addEventListener('submit', event => { event.preventDefault(); search(); });
let wanted = 0; // An answer that comes when something else is wanted is late, and nothing is made of it.
function search() { find($('query').value.trim(), $('access').value.trim()); }
async function find(query, access) {
  if (!query) return;
  const mine = wanted += 1;
  const parameters = new URLSearchParams({ search: query, ...(access ? { access } : {}) });
  const answer = await ask(`/sessions?${parameters}`);
  const body = await answer.json().catch(() => ({}));
  if (mine !== wanted) return;
  const found = body.found ?? [];
  $('story').hidden = true;
  if (!answer.ok) return fill('found', element('p', { className: 'none', textContent: body.detail ?? 'The node did not answer.' }));
  if (found.length === 1) { fill('found'); return tell(found[0].session); }
  if (!found.length) return fill('found', element('p', { className: 'none', textContent: 'No session of that name is known here.' }));
  const row = session => element('tr', {},
    element('td', {}, element('button', { type: 'button', textContent: session.support_code, onclick: () => tell(session.session) })),
    ...[session.stream ?? '–', clock(session.ended), session.headline].map(text => element('td', { textContent: text })));
  fill('found', element('table', {}, element('tbody', {}, ...found.map(row))));
}
async function tell(id) {
  const mine = wanted += 1;
  const answer = await ask(`/sessions/${encodeURIComponent(id)}/story`);
  const story = await answer.json().catch(() => ({}));
  if (mine !== wanted) return;
  if (!answer.ok) return fill('found', element('p', { className: 'none', textContent: story.detail ?? 'The node did not answer.' }));
  $('story').hidden = false;
  $('headline').textContent = story.headline;
  $('headline').className = story.fault === 'none' ? 'good' : story.fault === 'viewer' || story.fault === 'unknown' ? 'warn' : 'bad';
  $('who').textContent = [story.support_code, story.stream, story.access && `access ${story.access}`, story.player ?? story.device, story.country,
    story.protocols.join(', '), story.nodes.join(', '), `${clock(story.began)} to ${clock(story.ended)} UTC`].filter(Boolean).join(' · ');
  fill('evidence', ...story.evidence.map(text => element('li', { textContent: text })));
  axis(story);
  const figure = story.figures;
  const facts = [['Startup', seconds(figure.startup_ms)], ['Stalls', `${figure.stalls}, ${seconds(figure.stalled_ms)}`], ['Bit rate', rate(figure.kbps)],
    ['Behind live', seconds(figure.latency_ms)], ['Requests', `${count(figure.requests)}, ${count(figure.hits)} from memory`], ['Refused', count(figure.refused)],
    ['Sent', size(figure.bytes)], ['Longest origin wait', seconds(figure.origin_wait_ms)], ['Round trip', figure.rtt_ms == null ? '–' : `${figure.rtt_ms.toFixed(1)} ms`]];
  fill('story-figures', ...facts.map(([name, value]) => element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value }))));
  fill('lines', ...story.lines.map(line => element('li', {}, element('time', { textContent: clock(line.at) }),
    element('span', { className: 'from', textContent: line.source }), element('span', { className: line.severity, textContent: line.text }))));
  others(story, mine);
}
async function others(story, mine) {
  $('others').textContent = '';
  if (story.fault === 'none') return;
  const answer = await ask(`/sessions/${encodeURIComponent(story.session)}/others`);
  if (!answer.ok) return;
  const { sessions: many } = await answer.json();
  if (mine !== wanted) return;
  $('others').textContent = many ? `${count(many)} other session${many > 1 ? 's' : ''} had this (${story.cause}).` : 'Nobody else had this.';
}

// One lane for each voice; a mark for each line, and a band for each state of the player.
const LANES = [['Player', ['state', 'report']], ['Requests', ['request', 'served']], ['Origin', ['fetch']], ['Token', ['session', 'token']], ['Node, path', ['change', 'path', 'lost']]];
function axis(story) {
  const width = 1000, left = 90, height = 30, from = story.began, length = Math.max(1000, story.ended - story.began);
  const x = at => left + (width - left - 10) * Math.min(1, Math.max(0, (at - from) / length));
  const drawn = [];
  const ticks = 6;
  for (let tick = 0; tick <= ticks; tick += 1) {
    const at = from + length * tick / ticks;
    drawn.push(shape('line', { class: 'grid', x1: x(at), x2: x(at), y1: 0, y2: LANES.length * height }),
      shape('text', { x: x(at), y: LANES.length * height + 16, 'text-anchor': tick === 0 ? 'start' : tick === ticks ? 'end' : 'middle' }, clock(at).slice(0, length < 10000 ? 12 : 8)));
  }
  LANES.forEach(([name, kinds], lane) => {
    const middle = lane * height + height / 2;
    drawn.push(shape('text', { x: 0, y: middle + 4 }, name));
    const lines = story.lines.filter(line => kinds.includes(line.kind));
    const states = lines.filter(line => line.kind === 'state');
    states.forEach((line, at) => {
      const until = states[at + 1]?.at ?? story.ended;
      const band = shape('rect', { class: line.severity === 'info' ? 'calm' : line.severity, x: x(line.at), y: middle - 9, width: Math.max(2, x(until) - x(line.at)), height: 18, rx: 3 });
      band.append(shape('title', {}, `${clock(line.at)} ${line.text}`));
      drawn.push(band);
    });
    for (const line of lines.filter(line => line.kind !== 'state')) {
      const mark = shape('rect', { class: line.severity, x: x(line.at) - 1.5, y: middle - (line.severity === 'info' ? 5 : 9), width: 3, height: line.severity === 'info' ? 10 : 18, rx: 1.5 });
      mark.append(shape('title', {}, `${clock(line.at)} ${line.text}`));
      drawn.push(mark);
    }
  });
  $('axis').setAttribute('viewBox', `0 0 ${width} ${LANES.length * height + 24}`);
  fill('axis', ...drawn);
}

$('query').value = new URLSearchParams(location.search).get('session') ?? '';
search();
listen();
