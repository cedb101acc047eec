// Makes jose.json: tokens by the npm library `jose`. The keys are made anew at every run, and nothing private of them is
// written, but the shared secrets, which open nothing but this table.
// Run: npm install jose, then node tests/tokens/make.mjs

import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// `jose` may lie where the command was given, and need not be a dependency of the checkout.
const jose = await import(pathToFileURL(createRequire(`${process.cwd()}/`).resolve('jose')))

const NOW = 1720000000
const ISSUER = 'https://issuer.test'
const AUDIENCE = 'weir-edge'
const text = (value) => new TextEncoder().encode(value)
const b64 = jose.base64url.encode

const ASYMMETRIC = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
const pairs = {}
for (const alg of [...ASYMMETRIC, 'RS384', 'PS512', 'ES512']) {
  pairs[alg] = await jose.generateKeyPair(alg, { extractable: true })
}
const secrets = {}
for (const alg of ['HS256', 'HS384', 'HS512']) {
  secrets[alg] = text(`test secret for ${alg}, opens nothing: ${'y'.repeat(30)}`)
}
const jwk = async (alg, kid) => ({ ...(await jose.exportJWK(pairs[alg].publicKey)), alg, kid, use: 'sig' })
const thumbprints = {}
for (const alg of ASYMMETRIC) thumbprints[alg] = await jose.calculateJwkThumbprint(await jose.exportJWK(pairs[alg].publicKey))

const keys = {
  main: {
    jwks: {
      keys: [
        ...(await Promise.all([...ASYMMETRIC, 'RS384', 'ES512'].map((alg) => jwk(alg, thumbprints[alg] ?? alg)))),
        ...Object.entries(secrets).map(([alg, secret]) => ({ kty: 'oct', alg, kid: alg, k: b64(secret) })),
      ],
    },
  },
  'the rarer ones': { jwks: { keys: [await jwk('RS384', 'a'), await jwk('PS512', 'b')] }, algorithms: ['RS384', 'PS512'] },
}
for (const alg of ASYMMETRIC) {
  keys[`spki ${alg}`] = { pem: await jose.exportSPKI(pairs[alg].publicKey), ...(alg === 'PS256' ? { algorithms: [alg] } : {}) }
}
for (const [alg, secret] of Object.entries(secrets)) {
  keys[`secret ${alg}`] = { secret: new TextDecoder().decode(secret), algorithms: [alg] }
}

const cases = []
const add = (name, verdict, token, terms = {}) => {
  if (cases.some((other) => other.name === name)) throw new Error(name)
  cases.push({ name, by: 'jose', keys: 'main', verdict, ...terms, token })
}
const claims = (more = {}) => ({ iss: ISSUER, aud: AUDIENCE, sub: 'viewer-7', iat: NOW - 10, exp: NOW + 300, path: '/live', ...more })
const header = (alg, more = {}) => ({ alg, typ: 'JWT', kid: thumbprints[alg] ?? alg, ...more })
const key = (alg) => secrets[alg] ?? pairs[alg].privateKey
const sign = (alg, payload = claims(), head = header(alg), by = key(alg)) =>
  new jose.SignJWT(payload).setProtectedHeader(head).sign(by)
const compact = (alg, octets, head = header(alg), by = key(alg)) =>
  new jose.CompactSign(octets).setProtectedHeader(head).sign(by)

for (const alg of [...ASYMMETRIC, 'HS256', 'HS384', 'HS512']) {
  add(`${alg}: by kid`, 'ok', await sign(alg))
  add(`${alg}: without kid`, 'ok', await sign(alg, claims(), { alg }))
  add(`${alg}: expired`, 'token-expired', await sign(alg, claims({ exp: NOW - 5 })))
  add(`${alg}: not yet`, 'token-not-yet', await sign(alg, claims({ nbf: NOW + 6 })))
  add(`${alg}: out of scope`, 'uri-out-of-scope', await sign(alg, claims({ path: ['/vod', '/liv'] })))
  add(`${alg}: expired, with a broken signature`, 'signature-bad', broken(await sign(alg, claims({ exp: 1 }))))
  const other = secrets[alg] ? text('z'.repeat(64)) : (await jose.generateKeyPair(alg)).privateKey
  add(`${alg}: another key under the same kid`, 'signature-bad', await sign(alg, claims(), header(alg), other))
  add(`${alg}: a kid that nobody has`, 'key-unknown', await sign(alg, claims(), header(alg, { kid: 'rotated' })))
  const file = secrets[alg] ? `secret ${alg}` : `spki ${alg}`
  add(`${alg}: by a key file`, 'ok', await sign(alg, claims(), { alg }), { keys: file })
}
function broken(token) {
  const [head, payload, signature] = token.split('.')
  return `${head}.${payload}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`
}

add('EdDSA by the name Ed25519', 'ok', await sign('EdDSA', claims(), header('EdDSA', { alg: 'Ed25519' }), (await jose.importJWK({ ...(await jose.exportJWK(pairs.EdDSA.privateKey)), alg: 'Ed25519' }, 'Ed25519'))))
add('ES512', 'alg-refused', await sign('ES512'))
add('RS384, not named in the configuration', 'key-unknown', await sign('RS384'))
add('RS384, named in the configuration', 'ok', await sign('RS384', claims(), header('RS384', { kid: 'a' })), { keys: 'the rarer ones' })
add('PS512, named in the configuration', 'ok', await sign('PS512', claims(), header('PS512', { kid: 'b' })), { keys: 'the rarer ones' })
add('RS256 by the kid of PS256', 'alg-refused', await sign('RS256', claims(), header('RS256', { kid: thumbprints.PS256 })))
add('HS256 by the kid of ES256', 'alg-refused', await sign('HS256', claims(), header('HS256', { kid: thumbprints.ES256 })))
for (const alg of ['RS256', 'ES256', 'EdDSA']) {
  const spki = await jose.exportSPKI(pairs[alg].publicKey)
  for (const [form, secret] of [['PEM', spki], ['PEM and a newline', `${spki}\n`], ['JWK', JSON.stringify(await jose.exportJWK(pairs[alg].publicKey))]]) {
    add(`${alg}: its public key as ${form} as a secret`, 'alg-refused', await sign('HS256', claims(), header('HS256', { kid: thumbprints[alg] }), text(secret)))
    add(`${alg}: its public key as ${form} as a secret, by a key file`, 'alg-refused', await sign('HS256', claims(), { alg: 'HS256' }, text(secret)), { keys: `spki ${alg}` })
  }
}
add('unsecured', 'alg-refused', new jose.UnsecuredJWT(claims()).encode())
add('unsecured, without claims', 'alg-refused', new jose.UnsecuredJWT({}).encode())
for (const [alg, enc, secret] of [['dir', 'A128CBC-HS256', secrets.HS256.slice(0, 32)], ['A256GCMKW', 'A256GCM', secrets.HS256.slice(0, 32)]]) {
  add(`encrypted by ${alg}`, 'token-malformed', await new jose.EncryptJWT(claims()).setProtectedHeader({ alg, enc }).encrypt(secret))
}
add('encrypted to a public key', 'token-malformed', await new jose.CompactEncrypt(text(await sign('RS256'))).setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT' }).encrypt(await jose.importJWK(await jose.exportJWK(pairs.RS256.publicKey), 'RSA-OAEP-256')))
add('flattened JSON', 'token-malformed', JSON.stringify(await new jose.FlattenedSign(text(JSON.stringify(claims()))).setProtectedHeader(header('ES256')).sign(key('ES256'))))
const general = new jose.GeneralSign(text(JSON.stringify(claims())))
general.addSignature(key('ES256')).setProtectedHeader(header('ES256'))
general.addSignature(key('RS256')).setProtectedHeader(header('RS256'))
add('general JSON', 'token-malformed', JSON.stringify(await general.sign()))
const detached = (await sign('ES256')).split('.')
add('detached', 'token-malformed', `${detached[0]}..${detached[2]}`)
const plain = await new jose.FlattenedSign(text(JSON.stringify(claims()))).setProtectedHeader(header('ES256', { b64: false, crit: ['b64'] })).sign(key('ES256'))
add('b64 false, detached', 'token-malformed', `${plain.protected}..${plain.signature}`)
add('b64 true, in crit', 'crit-unknown', await compact('ES256', text(JSON.stringify(claims())), header('ES256', { b64: true, crit: ['b64'] })))
add('a critical extension', 'crit-unknown', await new jose.CompactSign(text(JSON.stringify(claims()))).setProtectedHeader(header('ES256', { crit: ['urn:example:x'], 'urn:example:x': 1 })).sign(key('ES256'), { crit: { 'urn:example:x': true } }))
add('nested', 'token-malformed', await compact('RS256', text(await sign('ES256')), header('RS256', { cty: 'JWT' })))
add('nested, without cty', 'token-malformed', await compact('RS256', text(await sign('ES256')), header('RS256')))

for (const [title, payload] of [['a text', 'claims'], ['a list', '[]'], ['null', 'null'], ['a number', '7'], ['JSON cut short', '{"iss":"https://issuer.test"'], ['form data', 'iss=https%3A%2F%2Fissuer.test']]) {
  add(`payload is ${title}`, 'token-malformed', await compact('ES256', text(payload)))
}
add('payload of random octets', 'token-malformed', await compact('ES256', Uint8Array.from({ length: 40 }, (_, at) => at * 37)))
add('payload with exp twice', 'token-malformed', await compact('ES256', text(`{"exp":1,${JSON.stringify(claims()).slice(1)}`)))

const attacker = await jose.generateKeyPair('ES256', { extractable: true })
const embedded = { jwk: await jose.exportJWK(attacker.publicKey) }
add('an embedded jwk, and its signature', 'signature-bad', await sign('ES256', claims(), header('ES256', embedded), attacker.privateKey))
add('an embedded jwk, and its signature, without kid', 'signature-bad', await sign('ES256', claims(), { alg: 'ES256', ...embedded }, attacker.privateKey))
add('an embedded jwk, and its own thumbprint as kid', 'key-unknown', await sign('ES256', claims(), header('ES256', { ...embedded, kid: await jose.calculateJwkThumbprint(embedded.jwk) }), attacker.privateKey))
add('an embedded jwk beside the right signature', 'ok', await sign('ES256', claims(), header('ES256', embedded)))
add('jku and x5u beside the right signature', 'ok', await sign('ES256', claims(), header('ES256', { jku: 'https://attacker.test/jwks', x5u: 'https://attacker.test/x5u' })))
add('x5t beside the right signature', 'ok', await sign('ES256', claims(), header('ES256', { x5t: 'AAAA', 'x5t#S256': 'AAAA' })))

for (const [typ, verdict] of [['JWT', 'ok'], ['jwt', 'ok'], ['application/jwt', 'ok'], ['at+jwt', 'type-mismatch'], ['secevent+jwt', 'type-mismatch'], ['logout+jwt', 'type-mismatch']]) {
  add(`typ ${typ}`, verdict, await sign('ES256', claims(), header('ES256', { typ })))
  add(`typ ${typ}, where at+jwt is configured`, typ === 'at+jwt' ? 'ok' : 'type-mismatch', await sign('ES256', claims(), header('ES256', { typ })), { token_type: 'at+jwt' })
}
for (const [title, more, verdict, terms] of [
  ['exp at its last second', { exp: NOW - 4 }, 'ok'],
  ['exp at its end', { exp: NOW - 5 }, 'token-expired'],
  ['exp with a fraction', { exp: NOW + 0.25 }, 'ok'],
  ['exp as milliseconds', { exp: (NOW + 300) * 1000 }, 'ok'],
  ['exp as milliseconds, where life is bounded', { exp: (NOW + 300) * 1000 }, 'token-lives-too-long', { max_lifetime: 86400 }],
  ['exp beyond 2^53', { exp: 2 ** 53 * 2 }, 'token-malformed'],
  ['nbf and iat now', { nbf: NOW, iat: NOW }, 'ok'],
  ['iat ahead of us', { iat: NOW + 6 }, 'token-not-yet'],
  ['iat a fraction ahead', { iat: NOW + 5.5 }, 'ok'],
  ['a list of audiences', { aud: ['player', AUDIENCE] }, 'ok'],
  ['another audience', { aud: 'beacon' }, 'audience-mismatch'],
  ['no audience', { aud: undefined }, 'audience-mismatch'],
  ['another issuer', { iss: 'https://issuer.test.attacker.test' }, 'issuer-unknown'],
  ['no issuer', { iss: undefined }, 'issuer-unknown'],
  ['no exp', { exp: undefined }, 'token-malformed'],
  ['no iat', { iat: undefined }, 'ok'],
  ['no sub', { sub: undefined }, 'ok'],
  ['no path', { path: undefined }, 'ok'],
  ['a path below', { path: '/live/event1' }, 'ok'],
  ['a path beside', { path: '/live/event10' }, 'uri-out-of-scope'],
  ['a path that climbs', { path: '/live/../vod' }, 'token-malformed'],
  ['an address', { ip: '192.0.2.7' }, 'ok'],
  ['another address', { ip: '198.51.100.0/24' }, 'address-mismatch'],
  ['a prefix of IPv6', { ip: '2001:db8::/32' }, 'ok', { address: '2001:db8::1' }],
  ['a country', { geo: ['DE', 'AT', 'CH'] }, 'ok', { country: 'AT' }],
  ['another country', { geo: 'DE' }, 'geo-refused', { country: 'FR' }],
  ['a country, and nobody knows ours', { geo: 'DE' }, 'geo-unknown'],
  ['sessions', { max_sessions: 2, session_end: NOW + 7200, tier: 'gold', sid: 'a1', jti: 'b2' }, 'ok'],
  ['an event that is over', { session_end: NOW }, 'entitlement-over'],
  ['what other services read', { scope: 'openid', azp: 'web', realm_access: { roles: ['viewer'] }, auth_time: NOW }, 'ok'],
  ['a subject that is a number', { sub: 7 }, 'token-malformed'],
  ['a subject that is null', { sub: null }, 'token-malformed'],
  ['a date that is a date', { session_end: new Date(NOW * 1000 + 9e6) }, 'token-malformed'],
]) {
  add(title, verdict, await compact('ES256', text(JSON.stringify(claims(more)))), terms)
}

const list = (values) => values.join(',\n')
const sets = list(Object.entries(keys).map(([name, set]) => `  ${JSON.stringify(name)}: ${JSON.stringify(set)}`))
const lines = list(cases.map((entry) => `  ${JSON.stringify(entry)}`))
writeFileSync(new URL('jose.json', import.meta.url), `{"now": ${NOW}, "keys": {\n${sets}\n}, "cases": [\n${lines}\n]}\n`)
console.log(cases.length, 'cases in jose.json')
