/** Profiles of ONNX Runtime summed: nothing twice, and every part adds up to the whole. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { float32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { add, multiply, scan, scope, spec, sum, type Tensor } from '../../src/graph/index.js';
import type { Profile } from '../../src/measure/index.js';
import { readProfiles } from '../../src/measure/node.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-profile-test-'));
});
afterAll(async () => rm(folder, { recursive: true }));

const node = (name: string, op: string, ts: number, dur: number, tid = 1) =>
  JSON.stringify({ cat: 'Node', name: `${name}_kernel_time`, tid, ts, dur, args: { op_name: op } });
const session = (name: string, ts: number, dur: number) => JSON.stringify({ cat: 'Session', name, tid: 1, ts, dur });

/** One run that begins at `ts` and takes 100 µs; events stand in the order in which they end. */
const run = (ts: number) => [
  node('embedding/Gather_0', 'Gather', ts, 10),
  node('blocks.0.attention/Mul_1', 'Mul', ts + 12, 5),
  node('blocks.0.attention/Exp_3', 'Exp', ts + 21, 6),
  session('SequentialExecutor::Execute', ts + 20, 8),
  node('blocks.0.attention/If_2', 'If', ts + 20, 10),
  session('SequentialExecutor::Execute', ts + 11, 24),
  node('blocks.1.attention/Mul_1', 'Mul', ts + 40, 9),
  node('blocks.0.attention/Scan_4', 'Scan', ts + 10, 40),
  node('Transpose_token_0', 'Transpose', ts + 60, 3),
  node('/Slice_9', 'Slice', ts + 63, 2),
  session('model_run', ts, 100),
];

async function profileOf(name: string, lines: readonly string[], warmup?: number): Promise<Profile> {
  await writeFile(join(folder, `${name}_2026-01-01.json`), `[\n${lines.join(',\n')}`);
  return readProfiles(join(folder, name), warmup === undefined ? {} : { warmup });
}

const times = (table: ReadonlyMap<string, { microseconds: number }>) =>
  Object.fromEntries([...table].map(([key, { microseconds }]) => [key, microseconds]));
const total = (table: ReadonlyMap<string, { microseconds: number }>) =>
  [...table.values()].reduce((all, { microseconds }) => all + microseconds, 0);

describe('a profile', () => {
  test('counts a loop and a branch without what ran inside of them', async () => {
    const profile = await profileOf('nested', [session('session_initialization', 0, 5), ...run(1000)]);
    expect(profile.runs).toBe(1);
    expect(profile.microseconds).toBe(55); // Gather 10, Scan 40, Transpose 3, Slice 2: those that nothing is around
    expect(times(profile.byOp)).toEqual({ Gather: 10, Mul: 14, Exp: 6, If: 4, Scan: 16, Transpose: 3, Slice: 2 });
    expect(times(profile.byPath)).toEqual({ embedding: 10, 'blocks.*.attention': 40, '(none)': 5 });
    expect(times(profile.byPlace)).toEqual({ graph: 31, loop: 18, branch: 6 });
    expect(profile.byOp.get('Mul')?.count).toBe(2);
  });

  test('sums runs after the warm-up, and sessions with the same prefix alone', async () => {
    await profileOf('several-others', run(0));
    const profile = await profileOf('several', [...run(0), ...run(200), ...run(400)], 1);
    expect(profile.runs).toBe(2);
    expect(profile.microseconds).toBe(110);
    await writeFile(join(folder, 'several_2026-02-02.json'), [...run(0), ...run(200)].join('\n'));
    expect((await readProfiles(join(folder, 'several'))).runs).toBe(5);
  });

  test('leaves out a run that was cut short, and lines that are no event', async () => {
    const profile = await profileOf('cut', [...run(0), ...run(200).slice(0, 8), '{"cat": "Node", "na']);
    expect(profile.runs).toBe(1);
    expect(profile.microseconds).toBe(55);
    expect((await readProfiles(join(folder, 'none'))).byOp.size).toBe(0);
  });

  test('keeps threads apart', async () => {
    const lines = [node('a/Mul_0', 'Mul', 5, 10, 2), node('a/Scan_1', 'Scan', 0, 20), session('model_run', 0, 30)];
    expect(times((await profileOf('threads', lines)).byPlace)).toEqual({ graph: 30 });
  });

  test('of a session with a loop has the nodes of its body, and three tables that add up to the same', async () => {
    const prefix = join(folder, 'real');
    const executable = await nodeEngine({ threads: 1, profilePrefix: prefix }).compile(
      ({ x }) => {
        const step = ([state]: readonly Tensor[], [row]: readonly Tensor[]) => ({
          states: [add(multiply(state!, 0.5), row!)],
          items: [],
        });
        return { last: scope('loop', () => scan([sum(x, 0)], [x], step).states[0]!) };
      },
      [{ x: spec('float32', [4, 3]) }],
    );
    const x = float32([4, 3], new Float32Array(12).fill(1));
    for (let index = 0; index < 3; index++) await executable.run([{ x }]);
    expect((await readProfiles(prefix)).runs).toBe(0); // it is written when the session is closed
    await executable.dispose();
    const profile = await readProfiles(prefix);
    expect(profile.runs).toBe(3);
    expect(profile.byPlace.get('loop')?.count).toBe(3 * 4 * 2); // runs × steps × nodes of the body
    expect(profile.byOp.get('Scan')?.count).toBe(3);
    expect([...profile.byPath.keys()]).toEqual(['loop']);
    for (const table of [profile.byOp, profile.byPath, profile.byPlace]) {
      expect(total(table)).toBe(profile.microseconds);
      expect([...table.values()].every(({ microseconds }) => microseconds >= 0)).toBe(true);
    }
  });
});
