/** The encoder and masked language modelling: what it reads, how masks are drawn, and that it learns. */
import { describe, expect, it } from 'vitest';
import { drawBuffers, type HostTensor, initialize, int32, Random, symbol } from '../../src/base/index.js';
import { bytesSource, byteTokenizer, splitCorpus } from '../../src/data/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { spec, specsOf } from '../../src/graph/index.js';
import { type EncoderOptions, encoderConfig, maskTokenOf, modelOf } from '../../src/models/index.js';
import { maskedLanguageModelling } from '../../src/tasks/index.js';
import { initialSnapshot, Trainer, trainingConfig } from '../../src/training/index.js';
import { largestError, values } from '../support/compare.js';
import { corpus, engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8 };
const attentions: Record<string, EncoderOptions['attention']> = {
  'FAVOR+': { features: { featureCount: 16 } },
  'exact attention': 'softmax',
};
const training = trainingConfig({ steps: 60, batch: 4, window: 32, learningRate: 1e-2, heldOut: 0.2 });

async function taskFor(attention: EncoderOptions['attention']) {
  const config = encoderConfig({ ...sizes, attention });
  const data = await splitCorpus(bytesSource(corpus), byteTokenizer, training);
  return { config, task: maskedLanguageModelling(modelOf(config), training, data) };
}

describe.each(Object.entries(attentions))('an encoder with %s', (_, attention) => {
  const config = encoderConfig({ ...sizes, attention });
  const model = modelOf(config);
  const params: object = initialize(model.params, Random.fromSeed(1));
  const buffers: object = drawBuffers(model.buffers, Random.fromSeed(2));
  const tokens = Array.from({ length: 20 }, (_, at) => (at * 37) % 256);

  const compile = (on: typeof engine, isRagged: boolean) =>
    on.compile(
      (learned, drawn, { tokens: given, lengths }) =>
        model.apply({ params: learned, buffers: drawn }, { tokens: given, lengths }).hidden,
      [
        specsOf(params),
        specsOf(buffers),
        {
          tokens: spec('int32', [symbol('batch'), symbol('length')]),
          lengths: isRagged ? spec('int32', [symbol('batch')]) : undefined,
        },
      ],
    );

  it('gives on the engine what the oracle gives', async () => {
    const given = [params, buffers, { tokens: int32([1, 20], tokens), lengths: undefined }] as const;
    const [fast, slow] = [await compile(engine, false), await compile(referenceEngine(), false)];
    expect(largestError(await fast.run(given as never), await slow.run(given as never))).toBeLessThan(1e-4);
  });

  it('lets the first token see the last', async () => {
    const read = await compile(engine, false);
    const first = async (last: number) => {
      const row = [...tokens.slice(0, -1), last];
      return values(await read.run([params, buffers, { tokens: int32([1, 20], row) }] as never)).slice(0, 16);
    };
    expect(await first(7)).not.toEqual(await first(8));
  });

  it('gives a padded row what it gives the row alone', async () => {
    const ragged = await compile(engine, true);
    const alone = await compile(engine, false);
    const padded = [...tokens.slice(0, 13), ...new Array(7).fill(99), ...tokens];
    const both = await ragged.run([
      params,
      buffers,
      { tokens: int32([2, 20], padded), lengths: int32([2], [13, 20]) },
    ] as never);
    const own = await alone.run([params, buffers, { tokens: int32([1, 13], tokens.slice(0, 13)) }] as never);
    const difference = values(own).map((value, at) => Math.abs(value - values(both)[at]!));
    expect(Math.max(...difference)).toBeLessThan(1e-5);
  });
});

describe('masks', () => {
  it('hide 15 % of the tokens: 80 % of those by the mask, 10 % by others, 10 % not at all', async () => {
    const { task } = await taskFor('softmax');
    const counts = { all: 0, predicted: 0, masked: 0, changed: 0 };
    for (let step = 0; step < 100; step++) {
      const { batches } = await task.step(step);
      const { tokens, targets, predicted } = batches[0] as Record<string, HostTensor<'int32'>>;
      tokens!.data.forEach((token, at) => {
        counts.all++;
        if (predicted!.data[at] !== 1) return expect(token).toBe(targets!.data[at]);
        counts.predicted++;
        if (token === maskTokenOf(task.model)) counts.masked++;
        else if (token !== targets!.data[at]) counts.changed++;
      });
    }
    const near = (part: number, whole: number, expected: number) =>
      expect(Math.abs(part / whole - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / whole));
    near(counts.predicted, counts.all, 0.15);
    near(counts.masked, counts.predicted, 0.8);
    near(counts.changed, counts.predicted, 0.1);
  });

  it('are the same for the same step, and others for another', async () => {
    const { task } = await taskFor('softmax');
    expect(await task.step(3)).toEqual(await task.step(3));
    expect(await task.step(3)).not.toEqual(await task.step(4));
  });
});

describe('training', () => {
  it('learns, evaluates every held-out token at most once, and goes on from a snapshot as if unbroken', async () => {
    const { config, task } = await taskFor({ features: { featureCount: 16 } });
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    const before = (await trainer.evaluate()).measures;
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) losses.push((await trainer.step()).loss);
    const after = (await trainer.evaluate()).measures;
    expect(before.perplexity).toBeCloseTo(Math.exp(before.loss!), 6);
    expect(after.loss!).toBeLessThan(before.loss! - 1);
    expect(after.accuracy!).toBeGreaterThan(before.accuracy!);
    await trainer.dispose();
    const first = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 10; step++) await first.step();
    const second = await Trainer.create(structuredClone(await first.fetchSnapshot()), { engine, task });
    for (let step = 10; step < 20; step++) expect((await second.step()).loss).toBe(losses[step]);
    await first.dispose();
    await second.dispose();
  });
});
