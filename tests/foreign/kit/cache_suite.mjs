// Runs the public suite of HTTP caching tests (npm package http-cache-tests) against a node and prints what each test
// came to: { id: { kind, result } }. Its origin runs apart; this is the client alone.
//   node cache_suite.mjs http://127.0.0.1:PORT [ID ...]
// Where tests are named, only those are run.

import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import everything from 'http-cache-tests/tests/index.mjs'

// Tests at once: more, and those that watch a second go by lose it on a busy machine.
const AT_ONCE = 25

const [base, ...named] = process.argv.slice(2)
const chosen = test => named.length === 0 || named.includes(test.id)
const suites = everything.map(suite => ({ ...suite, tests: suite.tests.filter(chosen) }))
await runTests(suites, fetch, false, base, AT_ONCE)
const results = getResults()
const told = {}
for (const test of suites.flatMap(suite => suite.tests)) {
  if (test.id in results) {
    told[test.id] = { kind: test.kind ?? 'required', result: results[test.id] }
  }
}
process.stdout.write(JSON.stringify(told))
