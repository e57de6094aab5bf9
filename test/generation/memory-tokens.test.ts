/** Memory tokens: learned vectors that stand before every text, in sessions, in windows and in training. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, int32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { specsOf } from '../../src/graph/index.js';
import { languageModelConfig, readInWindows } from '../../src/models/index.js';
import type { Trainer } from '../../src/training/index.js';
import { values } from '../support/compare.js';
import { snapshotOf, taskFor, tinyModel, trainerFor } from '../support/tiny.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });
const favor = { features: { featureCount: 16 } };

describe.each([
  { attention: favor },
  { attention: 'softmax' },
  { attention: ['softmax', { kind: 'hybrid', window: 10 }] },
  { attention: favor, positions: { kind: 'learned', maxLength: 50 }, reversible: true },
] as const)('a session with %j', (options) => {
  it('reads token by token, in pieces, anew and from a saved state what is read at once', async () => {
    const model = randomModel({ ...options, memoryTokens: 5 });
    const tokens = drawTokens(50);
    const expected = await parallelLogits(engine, model, tokens);
    const session = await sessionOf(engine, model);
    for (let at = 0; at < 20; at++)
      expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `${at}`);
    expect([...session.position]).toEqual([20]);
    const saved = await session.saveState();
    session.reset();
    expectClose(await session.read(tokens.subarray(0, 30)), expected[29]!, 'a piece after a reset');
    expectClose(await session.read(tokens.subarray(30, 50)), expected[49]!, 'a piece behind it');
    session.loadState(saved);
    expectClose(await session.read(tokens.subarray(20, 33)), expected[32]!, 'after a saved state');
    await session.dispose();
  });
});

it('every token looks at them, and without them a text is read otherwise', async () => {
  const model = randomModel({ memoryTokens: 2 });
  const { memory, ...without } = model.params as { memory: { weight: HostTensor } };
  expect(memory.weight.shape).toEqual([2, 32]);
  const tokens = drawTokens(20);
  const other = { ...memory.weight, data: memory.weight.data.map((value) => -value) };
  const [own, changed, none] = [
    await parallelLogits(engine, model, tokens),
    await parallelLogits(engine, { ...model, params: { ...without, memory: { weight: other } } }, tokens),
    await parallelLogits(engine, { ...randomModel(), params: without }, tokens),
  ];
  for (const logits of [changed, none]) {
    for (const [at, row] of own.entries()) {
      expect(Math.max(...row.map((value, index) => Math.abs(value - logits[at]![index]!)))).toBeGreaterThan(1e-4);
    }
  }
});

it('a text in windows inside of a graph is the text at once', async () => {
  const { model, params, buffers } = randomModel({ memoryTokens: 3, attention: favor });
  const tokens = int32([1, 70], drawTokens(70));
  const both = await engine.compile(
    (learned: object, drawn: object, given: { tokens: never }) => {
      const weights = { params: learned, buffers: drawn };
      const { hidden } = readInWindows(model, weights, given, { window: 16 });
      return { windowed: hidden, whole: model.apply(weights, given).hidden };
    },
    [specsOf(params), specsOf(buffers), specsOf({ tokens })] as never,
  );
  const { windowed, whole } = (await both.run([params, buffers, { tokens }] as never)) as Record<string, HostTensor>;
  await both.dispose();
  const difference = values(whole!).map((value, at) => Math.abs(value - values(windowed!)[at]!));
  expect(Math.max(...difference)).toBeLessThan(1e-4);
});

describe('training', () => {
  const losses = async (trainer: Trainer, count: number) => {
    const all: number[] = [];
    for (let step = 0; step < count; step++) all.push((await trainer.step()).loss);
    return all;
  };

  it('learns them, goes on as if unbroken, and computes the same again', async () => {
    const begun = () => snapshotOf({ memoryTokens: 4 });
    const whole = await trainerFor(begun());
    const expected = await losses(whole, 6);
    const weightOf = ({ params }: { readonly params: object }) =>
      (params as { memory: { weight: HostTensor } }).memory.weight.data;
    expect(weightOf(await whole.fetchSnapshot())).not.toEqual(weightOf(begun()));
    const { measures } = await whole.evaluate();
    expect(measures.windows).toBeGreaterThan(0);
    expect(measures.streaming).toBeGreaterThan(0);
    await whole.dispose();
    const first = await trainerFor(begun());
    const before = await losses(first, 3);
    const snapshot = await first.fetchSnapshot();
    await first.dispose();
    const second = await trainerFor(snapshot);
    expect([...before, ...(await losses(second, 3))]).toEqual(expected);
    await second.dispose();
    for (const model of [{}, { reversible: true }]) {
      const runOf = (recompute: boolean) => trainerFor(snapshotOf({ memoryTokens: 4, ...model }, { recompute }));
      const [one, other] = [await runOf(false), await runOf(true)];
      const [kept, computed] = [await losses(one, 4), await losses(other, 4)];
      kept.forEach((loss, at) => {
        expect(computed[at]).toBeCloseTo(loss, 3);
      });
      await one.dispose();
      await other.dispose();
    }
  });

  it('carries no state, and too many or half of one are refused', async () => {
    const carrying = snapshotOf({ memoryTokens: 4 }, { carryState: true });
    await expect(taskFor(carrying)).rejects.toThrow(
      /expected no memory tokens to carry a state.* Leave out carryState/,
    );
    for (const memoryTokens of [-1, 1.5, 2 ** 17]) {
      expect(() => languageModelConfig({ ...tinyModel, memoryTokens })).toThrow(/memoryTokens/);
    }
  });
});
