// Makes formats_node.json: Common Access Tokens by the npm library `@eyevinn/cat`, URI signing tokens by `jose`. The secrets
// open nothing but this table.
// Run: npm install @eyevinn/cat jose, then node tests/tokens/formats_make.mjs

import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// The libraries may lie where the command was given, and need not be dependencies of the checkout.
const load = async (name) => import(pathToFileURL(createRequire(`${process.cwd()}/`).resolve(name)))
const { CAT } = await load('@eyevinn/cat').then((library) => library.default ?? library)
const jose = await load('jose')

const NOW = 1720000000
const URL = 'https://live.example.com/event1/main.m3u8'
const secret = Buffer.from('formats test secret for npm, 32B')
const b64 = (octets) => Buffer.from(octets).toString('base64url')
const es = await jose.generateKeyPair('ES256', { extractable: true })
const keys = {
  main: {
    jwks: {
      keys: [
        { kty: 'oct', kid: 'hs', alg: 'HS256', k: b64(secret) },
        { ...(await jose.exportJWK(es.publicKey)), kid: 'es', alg: 'ES256' },
      ],
    },
  },
}
const cases = []
const add = (name, by, verdict, token, terms) => cases.push({ name, by, verdict, keys: 'main', ...terms, token })

const generator = new CAT({ keys: { hs: secret }, expectCwtTag: true })
const cat = async (name, verdict, more = {}, terms = {}) => {
  const claims = { iss: 'https://issuer.test', sub: 'viewer-7', aud: 'weir-edge', exp: NOW + 300, cti: 'a1b2c3', ...more }
  const options = { type: 'mac', alg: 'HS256', kid: 'hs', generateCwtId: true }
  const token = await generator.generateFromJson(claims, options)
  add(`cat: ${name}`, '@eyevinn/cat', verdict, token, { formats: ['cat'], ...terms })
}

await cat('plain', 'ok')
await cat('version', 'ok', { catv: 1 })
await cat('version 2', 'claim-unknown', { catv: 2 })
await cat('expired', 'token-expired', { exp: NOW - 60 })
await cat('not yet', 'token-not-yet', { nbf: NOW + 60 })
await cat('several audiences', 'ok', { aud: ['one', 'weir-edge'] })
await cat('another audience', 'audience-mismatch', { aud: ['one', 'two'] })
await cat('another issuer', 'issuer-unknown', { iss: 'https://elsewhere.test' })
await cat('scheme', 'ok', { catu: { scheme: { 'exact-match': 'https' } } })
await cat('scheme and path', 'ok', { catu: { scheme: { 'exact-match': 'https' }, path: { 'prefix-match': '/event1' } } })
await cat('path of another event', 'uri-out-of-scope', { catu: { path: { 'prefix-match': '/event2' } } })
await cat('extension', 'ok', { catu: { extension: { 'exact-match': '.m3u8' } } })
await cat('stem', 'ok', { catu: { stem: { 'exact-match': 'main' } } })
await cat('parent path', 'ok', { catu: { 'parent-path': { 'exact-match': '/event1' } } })
await cat('file name', 'ok', { catu: { filename: { 'suffix-match': '.m3u8' } } })
await cat('host contains', 'ok', { catu: { host: { 'contains-match': 'example' } } })
await cat('pattern', 'ok', { catu: { path: { 'regex-match': ['/event[0-9]+/.*'] } } })
await cat('hash in hex', 'ok', {
  catu: { path: { 'sha256-match': createHash('sha256').update('/event1/main.m3u8').digest('hex') } },
})
await cat('methods', 'ok', { catm: ['GET', 'HEAD'] })
await cat('another method', 'method-refused', { catm: ['POST'] })
await cat('address', 'ok', { catnip: ['203.0.113.7'] }, { address: '203.0.113.7' })
await cat('prefix', 'ok', { catnip: [64500, '203.0.113.0/24'] }, { address: '203.0.113.7' })
await cat('another address', 'address-mismatch', { catnip: ['203.0.113.7'] }, { address: '203.0.113.8' })
await cat('IPv6', 'ok', { catnip: ['2001:db8::/32'] }, { address: '2001:db8::1' })
await cat('reuse permitted', 'ok', { catreplay: 0 })
await cat('reuse prohibited', 'ok', { catreplay: 1 })
await cat('renewal', 'ok', { catr: { type: 'automatic', expadd: 60 } }).catch(() =>
  cat('renewal by number', 'ok', { catr: { type: 0, expadd: 60 } }),
)
await cat('another answer', 'ok', { catif: { exp: [307, { Location: 'https://example.com/login' }] } })

const uri = async (name, verdict, more = {}, alg = 'HS256', terms = {}) => {
  const claims = { iss: 'https://issuer.test', aud: 'weir-edge', exp: NOW + 300, ...more }
  const key = alg === 'HS256' ? secret : es.privateKey
  const kid = alg === 'HS256' ? 'hs' : 'es'
  const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(key)
  add(`uri: ${name}`, 'jose', verdict, token, { formats: ['uri-signing'], ...terms })
}
const hash = (text) => `hash:sha-256;${b64(createHash('sha256').update(text).digest())}`

for (const alg of ['HS256', 'ES256']) {
  await uri(`a pattern, ${alg}`, 'ok', { cdniuc: 'regex:https://live\\.example\\.com/event1/.*' }, alg)
  await uri(`a hash, ${alg}`, 'ok', { cdniuc: hash(URL), cdniv: 1 }, alg)
  await uri(`another hash, ${alg}`, 'uri-out-of-scope', { cdniuc: hash(`${URL}?`) }, alg)
}
await uri('renewal', 'ok', { cdniuc: 'regex:.*', cdniets: 30, cdnistt: 1, cdnistd: 1, jti: 'a' })
await uri('critical', 'crit-unknown', { cdniuc: 'regex:.*', cdnicrit: 'cdnifuture' })
await uri('expired', 'token-expired', { cdniuc: 'regex:.*', exp: NOW - 30 })
await uri('a path of another host', 'uri-out-of-scope', { cdniuc: 'regex:https://other\\.example\\.com/.*' })

const lines = (list) => list.map((entry) => `  ${entry}`).join(',\n')
const sets = Object.entries(keys).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`)
const body = `{"now": ${NOW}, "url": "${URL}", "keys": {\n${lines(sets)}\n}, "cases": [\n${lines(cases.map((one) => JSON.stringify(one)))}\n]}\n`
writeFileSync(new globalThis.URL('formats_node.json', import.meta.url), body)
console.log(cases.length, 'cases')
