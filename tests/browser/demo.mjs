// Starts `weir demo` on free ports and ends it: what the browser tests stand on.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const binaries = process.env.WEIR_BINARIES || 'target/debug';

export async function startDemo() {
  const process_ = spawn(`${binaries}/weir`, [
    'demo', '--json', '--no-open',
    '--http', '127.0.0.1:0', '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--origin', '127.0.0.1:0',
  ], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, WEIR_LOG: process.env.WEIR_LOG || 'warn' } });
  const ended = new Promise(resolve => process_.once('exit', code => resolve(code)));
  const lines = createInterface({ input: process_.stdout });
  const first = await Promise.race([
    new Promise(resolve => lines.once('line', resolve)),
    ended.then(code => { throw new Error(`weir demo ended with ${code} before it said where it listens`); }),
  ]);
  lines.on('line', () => {});
  return {
    ...JSON.parse(first),
    async stop() { process_.kill('SIGINT'); return ended; },
  };
}
