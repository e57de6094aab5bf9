/** The families that read in both directions, with tokens that are no bytes: their own tokens come after the tokenizer's. */
import { expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import {
  bytesSource,
  encodeTexts,
  type GivenText,
  labelledTexts,
  registerTokenizer,
  splitCorpus,
  splitTexts,
} from '../../src/data/index.js';
import {
  classifierConfig,
  decodeModel,
  embed,
  encodeModel,
  encoderConfig,
  type ModelConfig,
  modelOf,
  predict,
} from '../../src/models/index.js';
import { classification, classTargets, maskedLanguageModelling, type Task } from '../../src/tasks/index.js';
import { initialSnapshot, Trainer, trainingConfig } from '../../src/training/index.js';
import { engine } from '../support/tiny.js';
import { wordTokenizer } from '../support/word-tokenizer.js';

registerTokenizer(wordTokenizer);

const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8, tokenizer: 'words' };
const training = trainingConfig({ steps: 40, batch: 8, window: 16, learningRate: 1e-2, heldOut: 0.2 });

/** A trained model, read back from its files, and the losses of its first and last evaluation. */
async function trained(config: ModelConfig, task: Task) {
  const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
  const first = await trainer.evaluate();
  for (let step = 0; step < training.steps; step++) await trainer.step();
  const last = await trainer.evaluate();
  const { params, buffers } = await trainer.fetchSnapshot();
  const loaded = decodeModel(encodeModel({ model: modelOf(config), params, buffers }));
  await trainer.dispose();
  return { loaded, first, last };
}

it('an encoder masks with its own token, replaces by those of the tokenizer, learns, and embeds texts', async () => {
  const config = encoderConfig(sizes);
  expect(config.vocabularySize).toBe(265);
  const text = new TextEncoder().encode('the cat sat on the mat, the dog sat by the cat. '.repeat(60));
  const data = await splitCorpus(bytesSource(text), wordTokenizer, training);
  const task = maskedLanguageModelling(modelOf(config), training, data);
  const seen = { mask: 0, words: 0, most: 0 };
  for (let step = 0; step < 40; step++) {
    const { tokens, targets } = (await task.step(step)).batches[0]!;
    expect(Math.max(...(targets!.data as Int32Array))).toBeLessThan(264);
    for (const token of tokens!.data as Int32Array) {
      if (token === 264) seen.mask++;
      seen.most = Math.max(seen.most, token);
    }
  }
  expect(seen.mask / (40 * 8 * 16)).toBeCloseTo(0.12, 1);
  expect(seen.most).toBe(264);
  const { loaded, first, last } = await trained(config, task);
  expect(last.chosen).toBeLessThan(0.7 * first.chosen);
  const [ofText] = await embed(engine, loaded, ['the cat 고래']);
  expect(await embed(engine, loaded, [new TextEncoder().encode('the cat 고래')])).toEqual([ofText]);
  expect(await embed(engine, loaded, [wordTokenizer.encode('the cat 고래')])).toEqual([ofText]);
  expect(await embed(engine, loaded, ['the mat 고래'])).not.toEqual([ofText]);
});

it.each(['mean', 'first'] as const)(
  'a classifier with %s pooling learns from texts, and tells the class of others',
  async (pooling) => {
    const given = Array.from({ length: 80 }, (_, index): GivenText => {
      const isCat = index % 2 === 0;
      return {
        text: `the ${isCat ? 'cat' : 'dog'} sat ${'on the mat '.repeat(index % 4)}`,
        target: isCat ? 'cat' : 'dog',
      };
    });
    const texts = await encodeTexts(labelledTexts(given), wordTokenizer);
    const config = classifierConfig({ ...sizes, pooling, targets: classTargets(texts) });
    const task = classification(modelOf(config), training, splitTexts(texts, 0.2, Random.fromSeed(1)));
    expect(task.tokensPerStep).toBeLessThan(8 * 12); // in tokens, of which texts have fewer than bytes
    const { loaded, last } = await trained(config, task);
    expect(last.measures.accuracy).toBe(1);
    const [cat, tokens, dog] = await predict(engine, loaded, [
      'the cat sat',
      wordTokenizer.encode('the cat sat'),
      'the dog sat',
    ]);
    expect(cat).toEqual(tokens);
    expect(cat![0]).toBeGreaterThan(0.8);
    expect(dog![1]).toBeGreaterThan(0.8);
  },
);
