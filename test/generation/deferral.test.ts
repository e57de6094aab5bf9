/** Single tokens are read beside the state; nothing of that shows. */
import { describe, expect, test } from 'vitest';
import { float32, type HostTensor, leavesOf, mapTree } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { rowWindow as windowSize } from '../../src/generation/reader.js';
import { RecentRows } from '../../src/generation/recent-rows.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });

/** The engine, counting what it compiles and runs. */
function counting() {
  const counts = { compiled: 0, runs: 0 };
  const compile: typeof engine.compile = async (build, args) => {
    const executable = await engine.compile(build, args);
    counts.compiled++;
    const run: typeof executable.run = (given, options) => {
      counts.runs++;
      return executable.run(given, options);
    };
    return { ...executable, run, dispose: () => executable.dispose() };
  };
  return { counts, engine: { ...engine, compile } };
}

/** The engine, as one whose placed tensors are not on the host. */
function placing(): Engine {
  const place = (async (tree: unknown) =>
    mapTree(tree, (leaf: HostTensor) => ({ ...leaf, isPlaced: true }))) as unknown as Engine['place'];
  return { ...engine, place };
}

describe('a session that reads token by token', () => {
  test.each([
    {},
    { attention: { kind: 'hybrid', window: 10 } },
    { attention: { kind: 'routing', keyClusters: 4, window: 8 } },
    { attention: ['favor+', { kind: 'routing-hybrid', keyClusters: 4, window: 8 }] },
  ] as const)('writes its state once for a window of them, with %j', async (options) => {
    const { counts, engine: counted } = counting();
    const session = await sessionOf(counted, randomModel(options));
    await session.read(drawTokens(30)); // too many to be read one by one
    for (let at = 0; at < 2 * windowSize; at++) await session.step(Int32Array.of(at));
    expect(counts).toEqual({ compiled: 3, runs: 1 + 2 * windowSize + 1 }); // the second window is full and not yet written
    await session.dispose();
  });

  test('reads a short beginning so, for which one reader is compiled', async () => {
    const model = randomModel();
    const tokens = drawTokens(7);
    const { counts, engine: counted } = counting();
    const session = await sessionOf(counted, model);
    const logits = await session.read(tokens);
    expect(counts).toEqual({ compiled: 1, runs: 7 });
    expectClose(logits, (await parallelLogits(engine, model, tokens)).at(-1)!, 'the last token');
    await session.dispose();
  });

  test('reads a token whose keys lie far above all before into the state', async () => {
    const model = randomModel();
    // Keys of a size at which features differ by tens from token to token.
    const params = mapTree(model.params, (leaf: HostTensor, path) =>
      path.endsWith('attention.key.weight')
        ? float32(
            leaf.shape,
            leaf.data.map((x) => Number(x) * 12),
          )
        : leaf,
    ) as object;
    const tokens = drawTokens(60);
    const expected = await parallelLogits(engine, { ...model, params }, tokens);
    const { counts, engine: counted } = counting();
    const session = await sessionOf(counted, { ...model, params });
    await session.read(tokens.subarray(0, 2));
    for (let at = 2; at < tokens.length; at++) {
      expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `step at ${at}`);
    }
    expect(counts.compiled).toBe(3); // tokens into the state, tokens beside the state, rows into the state
    // More than one for each token and for each full window: some were tried beside the state, and then read into it.
    expect(counts.runs).toBeGreaterThan(tokens.length + tokens.length / windowSize);
    await session.dispose();
  });

  test.each([1, 3, windowSize, windowSize + 1])(
    'saves after %i tokens the state of one that read them at once',
    async (count) => {
      const model = randomModel();
      const [stepping, reading] = [await sessionOf(engine, model), await sessionOf(engine, model)];
      const tokens = drawTokens(30 + count);
      await stepping.read(tokens.subarray(0, 30));
      for (const token of tokens.subarray(30)) await stepping.step(Int32Array.of(token));
      await reading.read(tokens);
      const saved = await stepping.saveState();
      expect([...saved.tensors.keys()]).toEqual([...(await reading.saveState()).tensors.keys()]);
      reading.loadState(saved);
      const next = drawTokens(5, 3);
      expect(await reading.read(next)).toEqual(await stepping.read(next));
      await Promise.all([stepping, reading].map((session) => session.dispose()));
    },
  );

  test('is saved so that a session goes on whose state lies where another engine computes', async () => {
    const model = randomModel();
    const [onHost, elsewhere] = [await sessionOf(engine, model), await sessionOf(placing(), model)];
    await onHost.read(drawTokens(30));
    for (let at = 0; at < 5; at++) await onHost.step(Int32Array.of(at));
    elsewhere.loadState(await onHost.saveState());
    for (let at = 0; at < 5; at++) {
      const pair = await Promise.all([onHost, elsewhere].map((session) => session.step(Int32Array.of(at))));
      expectClose(pair[1]!, pair[0]!, `step ${at}`);
    }
    await Promise.all([onHost, elsewhere].map((session) => session.dispose()));
  });

  test('forgets the tokens beside the state with the state', async () => {
    const session = await sessionOf(engine, randomModel());
    const fresh = async () => {
      await session.read(drawTokens(30));
      return session.step(Int32Array.of(1));
    };
    const first = await fresh();
    session.reset();
    expect(await fresh()).toEqual(first);
    await session.dispose();
  });
});

describe('recent rows', () => {
  const { config, model } = randomModel();
  const deferral = model.deferral!;
  const features = 32;
  const tokenOf = (weight: number) => {
    const filled = (size: number, value: number) =>
      float32([2, config.heads, 1, size], new Float32Array(2 * config.heads * size).fill(value));
    const token = () => ({ attention: { weight: filled(features, weight), value: filled(config.headDim + 1, 1) } });
    return { blocks: Array.from({ length: config.depth }, token) };
  };
  const sumOf = ({ rows }: RecentRows) =>
    (leavesOf<object>(rows) as [string, HostTensor][])
      .filter(([path]) => path.endsWith('.weight'))
      .reduce((total, [, weight]) => total + (weight.data as Float32Array).reduce((a, b) => a + b), 0);

  test('take no weight that is too large, nor one that is no number', () => {
    const rows = new RecentRows(deferral, 2);
    for (const bad of [2 ** 31, -(2 ** 31), Number.POSITIVE_INFINITY, Number.NaN]) {
      expect(rows.push(tokenOf(bad))).toBe(false);
    }
    expect(rows.isEmpty).toBe(true);
    expect(sumOf(rows)).toBe(0);
  });

  test('hold a window of tokens, each in a place of its own, and nothing after they were cleared', () => {
    const rows = new RecentRows(deferral, 2);
    const perToken = config.depth * 2 * config.heads * features;
    for (let count = 1; count <= windowSize; count++) {
      expect(rows.isFull).toBe(false);
      expect(rows.push(tokenOf(1))).toBe(true);
      expect(sumOf(rows)).toBe(count * perToken);
    }
    expect(rows.isFull).toBe(true);
    rows.clear();
    expect(rows.isEmpty).toBe(true);
    expect(sumOf(rows)).toBe(0);
  });
});
