/** Rows of a session by themselves: idle ones, and clearing, saving and loading one while the others go on. */
import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, mapTree } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });
const nothing = new Int32Array(0);
const attentions = [
  {},
  { attention: { kind: 'hybrid', window: 10 } },
  { memoryTokens: 3 },
  { memoryTokens: 3, attention: { kind: 'hybrid', window: 10 } },
] as const;
/** With states that grow. */
const exact = [
  { attention: 'softmax' },
  { attention: ['softmax', 'favor+'], keyHeads: 1 },
  { attention: { kind: 'softmax', relativeBuckets: 8 }, positions: 'none' },
  { attention: 'softmax', memoryTokens: 3 },
  { attention: ['favor+', 'softmax'], memoryTokens: 3 },
] as const;

/** A random model, whose scores of distances would all begin at 0. */
function modelWith(options: Parameters<typeof randomModel>[0]) {
  const model = randomModel(options);
  const params = mapTree(model.params, (leaf: HostTensor, path) =>
    path.endsWith('relativeBias')
      ? float32(
          leaf.shape,
          leaf.data.map((_, at) => Math.sin(at)),
        )
      : leaf,
  ) as object;
  return { ...model, params };
}

const rowOf = (logits: Float32Array, row: number) => logits.subarray(row * 256, (row + 1) * 256);

describe('an idle row', () => {
  it.each([...attentions, ...exact])(
    'stays as it was, read or not, while others read token by token, with %j',
    async (options) => {
      const model = modelWith(options);
      const tokens = drawTokens(50);
      const expected = await parallelLogits(engine, model, tokens);
      const session = await sessionOf(engine, model, { batch: 3 });
      await session.read([tokens.subarray(0, 20), tokens.subarray(0, 7), nothing]);
      const before = rowOf(session.logits, 1).slice();
      for (let at = 20; at < 45; at++) {
        const logits = await session.read([tokens.subarray(at, at + 1), nothing, nothing]);
        expectClose(rowOf(logits, 0), expected[at]!, `step at ${at}`);
        expect(rowOf(logits, 1)).toEqual(before);
      }
      expect([...session.position]).toEqual([45, 7, 0]);
      const logits = await session.read([nothing, tokens.subarray(7, 8), tokens.subarray(0, 3)]);
      expectClose(rowOf(logits, 1), expected[7]!, 'the row that was idle');
      expectClose(rowOf(logits, 2), expected[2]!, 'the row that had read nothing');
      const resumed = await sessionOf(engine, model, { batch: 3 });
      resumed.loadState(await session.saveState());
      const next = [nothing, tokens.subarray(8, 30), tokens.subarray(3, 4)];
      expect(await resumed.read(next)).toEqual(await session.read(next));
      expectClose(rowOf(session.logits, 1), expected[29]!, 'a longer piece of a row');
      expectClose(rowOf(session.logits, 2), expected[3]!, 'beside a shorter one');
      await Promise.all([session.dispose(), resumed.dispose()]);
    },
  );

  it('lets the others read beside the state: no token is padded to a chunk, and the state is seldom written', async () => {
    let runs = 0;
    const compile: typeof engine.compile = async (build, args) => {
      const executable = await engine.compile(build, args);
      const run: typeof executable.run = (given, options) => {
        runs++;
        return executable.run(given, options);
      };
      return { ...executable, run, dispose: () => executable.dispose() };
    };
    const session = await sessionOf({ ...engine, compile }, randomModel(), { batch: 2 });
    await session.read([drawTokens(25), nothing]);
    runs = 0;
    for (let at = 0; at < 16; at++) await session.read([Int32Array.of(at), nothing]);
    expect(runs).toBe(16);
    await session.dispose();
  });
});

describe('one row', () => {
  it.each([...attentions, ...exact])(
    'can be cleared, saved and loaded while the others go on, with %j',
    async (options) => {
      const model = modelWith(options);
      const [a, b] = [drawTokens(60, 1), drawTokens(60, 2)];
      const [ofA, ofB] = [await parallelLogits(engine, model, a), await parallelLogits(engine, model, b)];
      const session = await sessionOf(engine, model, { batch: 2 });
      await session.read([a.subarray(0, 30), b.subarray(0, 20)]);
      await session.step(Int32Array.of(a[30]!, b[20]!));
      const saved = await session.saveRow(1);
      await session.clearRow(1);
      expect([...session.position]).toEqual([31, 0]);
      expect(session.seenTokens(1)).toEqual([]);
      const cleared = await session.read([a.subarray(31, 32), a.subarray(0, 4)]);
      expectClose(rowOf(cleared, 0), ofA[31]!, 'the other row');
      expectClose(rowOf(cleared, 1), ofA[3]!, 'the cleared row');
      const chunks = encodeSafetensors(saved.tensors, saved.metadata).map((chunk) => Buffer.from(chunk));
      await session.loadRow(1, decodeSafetensors('state', Buffer.concat(chunks)));
      expect([...session.position]).toEqual([32, 21]);
      const loaded = await session.step(Int32Array.of(a[32]!, b[21]!));
      expectClose(rowOf(loaded, 0), ofA[32]!, 'the other row');
      expectClose(rowOf(loaded, 1), ofB[21]!, 'the loaded row');
      const alone = await sessionOf(engine, model);
      alone.loadState(saved);
      expectClose(await alone.step(b.subarray(21, 22)), ofB[21]!, 'a session of that row alone');
      await alone.dispose();
      await session.dispose();
    },
  );

  it.each([...attentions, ...exact])(
    'is saved from a batch as it is alone, and loaded as it was saved, with %j',
    async (options) => {
      const model = modelWith(options);
      const tokens = drawTokens(45, 3);
      const [batch, other, alone] = await Promise.all([3, 2, 1].map((batch) => sessionOf(engine, model, { batch })));
      await batch!.read([drawTokens(20, 1), tokens.subarray(0, 15), nothing]);
      await batch!.read([drawTokens(2, 1), tokens.subarray(15, 27), drawTokens(1)]);
      await batch!.read([nothing, tokens.subarray(27, 28), drawTokens(1)]);
      const saved = await batch!.saveRow(1);
      for (const [start, end] of [
        [0, 15],
        [15, 27],
        [27, 28],
      ] as const)
        await alone!.read(tokens.subarray(start, end));
      const { tensors } = await alone!.saveRow(0);
      expect([...saved.tensors.keys()]).toEqual([...tensors.keys()]);
      for (const [path, { shape, data }] of saved.tensors) {
        const expected = tensors.get(path)!;
        expect(shape, path).toEqual(expected.shape);
        const errors = Array.from(data as Float32Array, (value, at) => Math.abs(value - Number(expected.data[at])));
        expect(
          errors.every((error) => error < 1e-4),
          path,
        ).toBe(true);
      }
      await other!.read([drawTokens(40, 4), nothing]);
      await other!.loadRow(1, saved);
      expect((await other!.saveRow(1)).tensors).toEqual(saved.tensors);
      await batch!.clearRow(0);
      await batch!.loadRow(2, saved);
      expect((await batch!.saveRow(2)).tensors).toEqual(saved.tensors);
      const expected = (await parallelLogits(engine, model, tokens))[44]!;
      const rest = tokens.subarray(28);
      alone!.loadState(saved);
      expectClose(await alone!.read(rest), expected, 'alone');
      expectClose(rowOf(await other!.read([nothing, rest]), 1), expected, 'in another session');
      expectClose(rowOf(await batch!.read([drawTokens(50, 4), nothing, rest]), 2), expected, 'at another row');
      await Promise.all([batch, other, alone].map((session) => session!.dispose()));
    },
  );

  it.each([0, 5])(
    'takes as many places of a state that grows as it has read tokens, with %i memory tokens',
    async (memoryTokens) => {
      const session = await sessionOf(engine, randomModel({ attention: 'softmax', memoryTokens }), { batch: 2 });
      const places = async () => (await session.saveState()).tensors.get('state.blocks.1.attention.key')!.shape[2];
      await session.read([drawTokens(10), drawTokens(3)]);
      for (let at = 0; at < 8; at++) await session.read([nothing, Int32Array.of(at)]);
      expect([...session.position]).toEqual([10, 11]);
      expect(await places()).toBe(11 + memoryTokens);
      await session.clearRow(1);
      expect(await places()).toBe(10 + memoryTokens);
      await session.clearRow(0);
      expect(await places()).toBe(0);
      await session.dispose();
    },
  );

  it('is one of those that there are', async () => {
    const session = await sessionOf(engine, randomModel(), { batch: 2 });
    await session.read([drawTokens(4), drawTokens(4)]);
    const saved = await session.saveRow(0);
    for (const call of [() => session.clearRow(2), () => session.saveRow(-1), () => session.loadRow(2, saved)]) {
      await expect(call()).rejects.toThrow(/a row from 0 to 1/);
    }
    await session.dispose();
  });
});

describe('weights that are inputs', () => {
  it('give the logits of constants, and others take their place without compiling again', async () => {
    const [first, second] = [randomModel({}, 1), randomModel({}, 2)];
    const tokens = drawTokens(30);
    const session = await sessionOf(engine, first, { weights: 'inputs' });
    expectClose(await session.read(tokens), (await parallelLogits(engine, first, tokens))[29]!, 'the first weights');
    await session.replaceWeights(second);
    session.reset();
    await session.read(tokens.subarray(0, 28));
    await session.step(tokens.subarray(28, 29));
    expectClose(
      await session.step(tokens.subarray(29)),
      (await parallelLogits(engine, second, tokens))[29]!,
      'the others',
    );
    await expect(session.replaceWeights(randomModel({ depth: 1 }))).rejects.toMatchObject({ code: 'CHECKPOINT' });
    await session.dispose();
    const constant = await sessionOf(engine, first);
    await expect(constant.replaceWeights(second)).rejects.toMatchObject({ code: 'USAGE' });
    await constant.dispose();
  });
});
