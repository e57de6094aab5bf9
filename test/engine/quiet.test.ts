/** What the native engine does beside computing: nothing. Its runtime reports its use, and writes a log, unless told not to. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runBuilt } from '../support/built.js';

const compute = `
  import { float32 } from './dist/base/index.js';
  import { nodeEngine } from './dist/engine/node.js';
  import { multiply, spec } from './dist/graph/index.js';
  const double = await nodeEngine().compile(({ x }) => ({ y: multiply(x, 2) }), [{ x: spec('float32', [2]) }]);
  console.log((await double.run([{ x: float32([2], [1, 2]) }])).y.data);
  await double.dispose();
`;

it('a session writes nothing to the home, to the temporary folder, or to standard error', () => {
  expect(runBuilt(compute)).toEqual({ code: 0, out: 'Float32Array(2) [ 2, 4 ]\n', err: '', written: [] });
});

it('opens no socket, not even to look up a name', ({ skip }) => {
  const trace = join(mkdtempSync(join(tmpdir(), 'strace-')), 'calls');
  const before = ['strace', '-f', '-e', 'trace=socket,connect,sendto,sendmsg', '-o', trace];
  if (spawnSync('strace', ['-f', 'true']).status !== 0) skip('strace is not installed, or may not trace here');
  expect(runBuilt(compute, { before })).toMatchObject({ code: 0, written: [] });
  expect(
    readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /\w+\(/.test(line)),
  ).toEqual([]);
});

it('a worker, which cannot set the environment of its process, is refused until the main thread has made an engine', () => {
  const worker = `
    import('./dist/engine/node.js').then(({ nodeEngine }) => {
      try { console.log(nodeEngine().name); } catch (error) { console.log(error.code, error.message); }
    });
  `;
  const { out, written } = runBuilt(`
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import { nodeEngine } from './dist/engine/node.js';
    const work = () => once(new Worker(${JSON.stringify(worker)}, { eval: true }), 'exit');
    await work();
    nodeEngine();
    await work();
  `);
  expect(out).toMatch(/^DEVICE nodeEngine: expected ORT_DISABLE_TELEMETRY=1 .*\nnode-cpu\n$/);
  expect(written).toEqual([]);
});

it('a provider that is not there is one error, without the log of the runtime', ({ skip }) => {
  const { out, err } = runBuilt(`
    import { nodeEngine } from './dist/engine/node.js';
    import { multiply, spec } from './dist/graph/index.js';
    const compiling = nodeEngine({ provider: 'cuda' }).compile((x) => multiply(x, 2), [spec('float32', [2])]);
    await compiling.then(() => console.log('started'), (error) => console.log(error.code, error.message));
  `);
  if (out === 'started\n') skip('there is a GPU with CUDA');
  expect(out).toMatch(/^DEVICE nodeEngine: expected the provider cuda, got: .+ or use the provider cpu\.\n$/);
  expect(err).toBe('');
});
