/** A feature map and a mixer that the package does not know, registered from outside and used by name. */
import { expect, it } from 'vitest';
import * as z from 'zod';
import { option } from '../../src/base/index.js';
import { multiply, softplus, type Tensor } from '../../src/graph/index.js';
import {
  attention,
  createModel,
  featureFamily,
  loadModel,
  mixerFamily,
  registerFeatureMap,
  registerMixer,
  saveModel,
  trainModel,
} from '../../src/index.js';
import { attentionMixer } from '../../src/mixers/index.js';

registerFeatureMap(
  featureFamily({
    name: 'steep',
    text: 'softplus of a multiple',
    own: { steepness: option(z.number().positive().default(1), 'what rows are multiplied by') },
    fixedCount: (dim) => dim,
    isSigned: () => false,
    build({ headDim, steepness }) {
      const features = (x: Tensor) => ({ values: softplus(multiply(x, steepness)) });
      return { name: 'steep', featureCount: headDim, query: features, key: features };
    },
  }),
);

registerMixer(
  mixerFamily({
    kind: 'scaled-values',
    text: 'values times queries, keys and a number',
    own: { gain: option(z.number().default(1), 'what the product is multiplied by') },
    build: ({ gain }, sizes) =>
      attentionMixer(sizes, {
        buffers: {},
        traits: { state: 'none', isRagged: true, isChunked: false, isFlat: false },
        state: () => ({}),
        operations: () => ({ attention: 0, withoutGradient: 0 }),
        attend: ({ query, key, value }) => ({
          output: multiply(multiply(value, gain), multiply(query, key)),
          state: {},
        }),
      }),
  }),
);

const size = { dim: 16, depth: 1, heads: 2, headDim: 8 } as const;
const training = { steps: 3, batch: 2, window: 16, learningRate: 1e-2 } as const;
const text = 'the cat sat on the mat, and the dog sat by it. '.repeat(20);

it('the map computes attention, trains by its name with its option, and is saved and loaded', async () => {
  const x = Float32Array.from({ length: 96 }, (_, at) => Math.sin(at));
  const arrays = { query: x, key: x, value: x, shape: [1, 6, 2, 8] as const };
  expect(await attention(arrays, { features: { name: 'steep', steepness: 2 } })).toHaveLength(96);
  const model = await trainModel(text, {
    ...size,
    ...training,
    attention: { features: { name: 'steep', steepness: 2 } },
  });
  expect(model.config.attention).toMatchObject({ kind: 'favor+', features: { name: 'steep', steepness: 2 } });
  const loaded = await loadModel(await saveModel(model));
  expect(await loaded.logits('cat')).toEqual(await model.logits('cat'));
  const wrong = createModel({ ...size, attention: { features: { name: 'steep', steepness: -1 } } });
  await expect(wrong).rejects.toThrow(/attention\.features\.steepness/);
});

it('the mixer trains by its kind with its option', async () => {
  const model = await trainModel(text, { ...size, ...training, attention: { kind: 'scaled-values', gain: 0.5 } });
  expect(model.config.attention).toEqual({ kind: 'scaled-values', gain: 0.5 });
  expect((await model.logits('cat')).shape).toEqual([3, 256]);
});
