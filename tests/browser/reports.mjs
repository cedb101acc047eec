// What follows from reports of players (CTA-5004-B), made from the text that left the browser and from nothing of the
// node's: a second reading of the same records, as short as may be.

// The pairs of one record: a dictionary of structured fields (RFC 9651 §3.2) of which numbers and texts are read.
export function pairs(text) {
  const value = /"(?:[^"\\]|\\.)*"|\((?:[^()"]|"(?:[^"\\]|\\.)*")*\)(?:;[^,]*)?|[^,]*/.source;
  const found = [...text.matchAll(new RegExp(`\\s*([A-Za-z0-9_.*-]+)(?:=(${value}))?\\s*(?:,|$)`, 'g'))];
  return Object.fromEntries(found.map(([, key, text]) => [key, read(text)]));
}
function read(text) {
  if (text === undefined) return true;
  if (/^-?[\d.]+$/.test(text)) return Number(text);
  if (text.startsWith('(')) return [...text.matchAll(/[\s(](-?\d+)/g)].map(([, number]) => Number(number));
  return text.replace(/^"|"$/g, '');
}

// The records of a body that have what their event must say (B §2.2, §5.12).
const NEEDS = { ps: 'sta', e: 'ec', rr: 'url', ce: 'cen' };
export function records(body) {
  const all = body.split('\n').map(line => line.trim()).filter(line => line);
  return all.filter(line => {
    const record = pairs(line);
    return record.v === 2 && record.e !== undefined && record.ts !== undefined && (NEEDS[record.e] === undefined || record[NEEDS[record.e]] !== undefined);
  });
}

// What is wrong with the answers to bodies: those with anything right in them are received, the others are not.
export function failures(bodies) {
  return bodies.filter(({ status }) => status !== null).flatMap(({ text, status }) => {
    if (text === null) return ['a body was sent that cannot be seen'];
    const expected = records(text).length > 0 ? 204 : 400;
    return status === expected ? [] : [`a body was answered with ${status} in place of ${expected}: ${text.slice(0, 200)}`];
  });
}

// The figures of one view from its batches. `isKnown`: each batch was answered, or came again and was answered then.
export function ofEvents(bodies) {
  const came = new Set(bodies.filter(({ status }) => status === 204).flatMap(({ text }) => records(text ?? '')));
  const isKnown = bodies.filter(({ status }) => status === null).every(({ text }) => records(text ?? '').every(line => came.has(line)));
  const all = [...came].map(pairs).sort((one, other) => one.ts - other.ts || (one.sn ?? 0) - (other.sn ?? 0));
  const states = all.filter(({ sta }) => sta !== undefined);
  const first = state => states.find(({ sta }) => sta === state)?.ts;
  const line = along(states);
  const largest = key => all.flatMap(record => record[key] ?? []).reduce((most, value) => Math.max(most ?? 0, value), null);
  const sum = key => all.flatMap(record => (record[key] === undefined ? [] : [Math.max(...[record[key]].flat())])).reduce((sum, value) => (sum ?? 0) + value, null);
  const [began, played] = [first('s'), first('p')];
  return {
    isKnown,
    startup: all.find(({ msd }) => msd !== undefined)?.msd ?? (began === undefined || played === undefined ? null : Math.max(0, played - began)),
    rebuffering: states.length ? line.rebuffering : largest('bsda') ?? sum('bsd'),
    rebuffers: states.length ? line.rebuffers : largest('bsa'),
  };
}

// Time in rebuffering and how often it began: before the first picture it is starting, after a seek it is seeking.
function along(states) {
  let doing = null, since = 0, hasPlayed = false, rebuffering = 0, rebuffers = 0;
  for (const { sta, ts } of states) {
    if (doing === 'r') rebuffering += ts - since;
    const next = sta !== 'r' ? sta : !hasPlayed ? 's' : doing === 'k' ? 'k' : 'r';
    if (doing === 'p' && next === 'r') rebuffers += 1;
    hasPlayed ||= sta === 'p';
    [doing, since] = [next, ts];
  }
  return { rebuffering, rebuffers };
}

// How many requests said that the buffer had run dry: those that came, and those of which nobody knows. And the startup,
// where one that came says it.
export function ofRequests(requests) {
  const startup = requests.filter(({ status }) => status !== null).map(({ text }) => pairs(text).msd).find(msd => msd !== undefined) ?? null;
  const starved = requests.filter(({ text }) => pairs(text).bs === true);
  return { starved: starved.filter(({ status }) => status !== null).length, perhaps: starved.filter(({ status }) => status === null).length, startup };
}
