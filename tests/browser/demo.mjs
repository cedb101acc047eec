// Starts `weir demo` on free ports and ends it, whatever happens: what the browser tests stand on.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const binaries = process.env.WEIR_BINARIES || 'target/debug';
const START_MS = 90_000; // the first start may install hls.js
const STOP_MS = 20_000;

export async function startDemo(...more) {
  const process_ = spawn(`${binaries}/weir`, [
    'demo', '--json', '--no-open', ...more,
    '--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--origin', '127.0.0.1:0',
  ], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, WEIR_LOG: process.env.WEIR_LOG || 'warn' } });
  process.on('exit', () => process_.kill('SIGKILL'));
  const ended = new Promise((resolve, reject) => {
    process_.once('exit', (code, signal) => resolve(code ?? signal));
    process_.once('error', reject);
  });
  const lines = createInterface({ input: process_.stdout });
  const first = await within(START_MS, 'weir demo does not say where it listens', Promise.race([
    new Promise(resolve => lines.once('line', resolve)),
    ended.then(code => { throw new Error(`weir demo ended with ${code} before it said where it listens`); }),
  ]));
  lines.on('line', () => {});
  return {
    ...JSON.parse(first),
    async stop() {
      process_.kill('SIGINT');
      return within(STOP_MS, 'weir demo does not end on Ctrl-C', ended);
    },
  };
}

export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} (${ms / 1000} s)`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Whether a player's own script threw this: the first place of its stack.
export function isOfPlayer(stack) {
  return /^\s*at .*\/(hls(\.min)?|shaka-player\.compiled)\.js:/.test(stack.split('\n').find(part => /^\s*at /.test(part)) ?? '');
}
