/** Models that forget: what is learned for it, where it cannot be, and a training, a saved model and a text from it. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf } from '../../src/base/index.js';
import { loadModel, saveModel, selfAttention, trainModel } from '../../src/index.js';
import { encoderConfig, languageModelConfig, modelConfig, modelOf } from '../../src/models/index.js';
import { drawTokens, expectClose, randomModel, sessionOf } from '../generation/models.js';
import { largestError } from '../support/compare.js';
import { engine } from '../support/tiny.js';

const size = { dim: 16, depth: 1, heads: 4, headDim: 4 } as const;
const favor = (forgetting: 'none' | 'decay' | 'gates') => ({ features: { featureCount: 8 }, forgetting });
const text = new TextEncoder().encode('to be or not to be '.repeat(20));
const kinds = ['decay', 'gates'] as const;

describe('forgetting', () => {
  it('is learned by gates alone, one for each head of keys', () => {
    const learned = (forgetting: 'none' | 'decay' | 'gates', options = {}) => {
      const { params } = modelOf(languageModelConfig({ ...size, attention: favor(forgetting), ...options }));
      const all = leavesOf<object>(params) as [string, { shape: readonly number[] }][];
      return all.filter(([path]) => path.includes('forgetGate')).map(([, { shape }]) => shape);
    };
    expect(learned('none')).toEqual([]);
    expect(learned('decay')).toEqual([]);
    expect(learned('gates')).toEqual([[16, 4], [4]]);
    expect(learned('gates', { keyHeads: 2 })).toEqual([[16, 2], [2]]);
  });

  it.each(kinds)('by %s makes what is far away count for less', async (kind) => {
    // Of a change of the first token, the last of so many sees the less, the longer the text is.
    const seen = async (forgetting: 'none' | typeof kind, length: number) => {
      const model = randomModel({ attention: favor(forgetting), depth: 1, tokenShift: 0, positions: 'none' });
      const session = await sessionOf(engine, model);
      const tokens = new Int32Array(length).fill(9);
      const before = await session.read(tokens);
      session.reset();
      tokens[0] = 200;
      const after = await session.read(tokens);
      await session.dispose();
      return Math.hypot(...Array.from(before, (x, at) => x - after[at]!));
    };
    const fading = async (forgetting: 'none' | typeof kind) =>
      (await seen(forgetting, 400)) / (await seen(forgetting, 100));
    expect(await fading('none')).toBeGreaterThan(0.2); // one of four times as many
    expect(await fading(kind)).toBeLessThan(0.1);
  });

  it.each(kinds)('by %s trains, is saved and loaded, and writes on', async (forgetting) => {
    const options = { ...size, attention: favor(forgetting), steps: 3, batch: 2, window: 16, seed: 1 } as const;
    const model = await trainModel(text, options);
    const loaded = await loadModel(await saveModel(model), { kind: 'language-model' });
    expect(loaded.config).toMatchObject({ attention: { forgetting } });
    const [before, after] = [await model.logits('to be'), await loaded.logits('to be')];
    expect(largestError(after as HostTensor, before as HostTensor)).toBeLessThan(1e-6);
    const write = (each: typeof model) => each.generate('to be or', { maxTokens: 20, temperature: 0 }).text();
    expect(await write(loaded)).toBe(await write(model));
  });

  it.each(kinds)('by %s goes on from a saved session, tokens beside the state among it', async (forgetting) => {
    const model = randomModel({ attention: favor(forgetting) });
    const [first, second] = [await sessionOf(engine, model), await sessionOf(engine, model)];
    await first.read(drawTokens(30));
    for (const token of drawTokens(7, 2)) await first.step(Int32Array.of(token));
    second.loadState(await first.saveState());
    for (const token of drawTokens(40, 3)) {
      const [own, other] = [await first.step(Int32Array.of(token)), await second.step(Int32Array.of(token))];
      expectClose(other, own, 'a step after the saved state');
    }
    await Promise.all([first, second].map((session) => session.dispose()));
  });

  it('where tokens see those after them is one clear error before anything runs', async () => {
    const message = /attention\.forgetting: expected none where tokens see those after them too, got decay/;
    expect(() => encoderConfig({ ...size, attention: favor('decay') })).toThrow(message);
    expect(() => modelConfig({ model: 'performer', ...size, attention: favor('decay') })).toThrow(message);
    expect(() => modelConfig({ model: 'performer', ...size, isCausal: true, attention: favor('decay') })).not.toThrow();
    await expect(selfAttention({ dim: 16, heads: 4, attention: favor('decay') })).rejects.toThrow(message);
    const layer = await selfAttention({ dim: 16, heads: 4, isCausal: true, attention: favor('gates') });
    expect((await layer.apply({ rows: new Float32Array(10 * 16).fill(0.5) })).every(Number.isFinite)).toBe(true);
  });
});
