/** Options of which three and more meet in a layer, and levels of them beside those of which test/families/covering has all pairs. */
import { describe } from 'vitest';
import { conforms, randomModel } from '../support/model-conformance.js';

const favor = { features: { featureCount: 8 } };
const routed = { kind: 'routing-hybrid', keyClusters: 3, window: 2 };
const relative = { kind: 'softmax', relativeBuckets: 8, relativeDistance: 7 };
const hedgehog = { features: 'hedgehog' };
const clustered = { kind: 'clustered', clusters: 3, hashBits: 5, topK: 2 };
const shared = { kind: 'shared' };
const output = { kind: 'shared', part: 'output' };
const axial = { kind: 'axial', maxLength: 24, columns: 4 };
const [text, encoder, classifier, pairs] = ['causal-language-model', 'encoder', 'classifier', 'encoder-decoder'];
const [images, pixels] = ['image-classifier', 'pixel-model'];
const colours = { height: 2, width: 4, channels: 3 };

const cases = [
  [text, { attention: { ...favor, normalizerEpsilon: 0.01 } }],
  [
    text,
    {
      attention: [{ features: { name: 'relu', featureCount: 8 }, normalizerEpsilon: 0.1, forgetting: 'gates' }, shared],
    },
  ],
  [text, { attention: { ...hedgehog, forgetting: 'gates' }, keyHeads: 1 }],
  [pairs, { attention: { ...hedgehog, normalizerEpsilon: 0.1 }, keyHeads: 1, reversible: true }],
  [text, { attention: [relative, shared], keyHeads: 1, memoryTokens: 2, reversible: true, logitsScale: 3 }],
  [pairs, { attention: relative, positions: 'none', logitsScale: 0.4, activation: 'geglu-tanh', encoderDepth: 1 }],
  [classifier, { tokenTypes: 3, embeddingNorm: true, maskScaling: true, pooling: 'first', reversible: true }],
  [classifier, { headLayer: 'tanh', pooling: 'first', norm: { placement: 'post' }, attention: 'softmax' }],
  [classifier, { attention: [clustered, favor], queryKeyNorm: 'temperature', positions: 'sinusoidal' }],
  [images, { pixels: { means: [0.1, 0.2, 0.3], deviations: [0.5, 0.6, 0.7] }, patch: 1, image: colours }],
  [images, { memoryTokens: 2, pooling: 'class-token', attention: favor, image: colours }],
  [pixels, { image: colours, reversible: true, attention: [favor, shared], tiedEmbedding: true }],
  [
    text,
    { attention: { kind: 'hybrid', window: 3, ...favor }, keyHeads: 1, queryKeyNorm: 'temperature', reversible: true },
  ],
  [pairs, { attention: { kind: 'hybrid', window: 2, ...hedgehog }, keyHeads: 1 }],
  [text, { attention: [{ kind: 'local-heads', window: 3, ...favor }, shared], norm: 'rms' }],
  [text, { attention: [favor, 'none'], norm: 'scale' }],
  [text, { attention: [{ ...routed, ...favor }, shared], queryKeyNorm: 'unit', norm: 'rms' }],
  [text, { attention: ['routing', { ...routed, ...favor }], reversible: true, keyHeads: 1, positions: axial }],
  [encoder, { attention: { ...routed, keyClusters: 2, ...hedgehog }, keyHeads: 1 }],
  [encoder, { attention: [{ ...routed, ...favor }, shared], reversible: true, activation: 'swiglu' }],
  [text, { attention: [{ ...favor, forgetting: 'decay' }, shared, output], depth: 3, reversible: true }],
  [text, { attention: [hedgehog, shared, output, 'softmax', shared, output], depth: 6, reversible: true }],
  [
    encoder,
    { attention: [clustered, shared, output], depth: 3, reversible: true, qkvBias: true, queryKeyNorm: 'unit' },
  ],
  [text, { memoryTokens: 5, attention: ['softmax', favor], positions: axial, reversible: true }],
  [
    text,
    {
      memoryTokens: 2,
      attention: [
        { ...favor, forgetting: 'gates' },
        { kind: 'window', window: 3 },
      ],
    },
  ],
  [encoder, { memoryTokens: 3, attention: { ...favor, exactUpTo: 8 }, positions: axial }],
  [pairs, { memoryTokens: 3, attention: [favor, 'softmax'], keyHeads: 1 }],
] as const;

describe.each(cases.map(([family, options]) => ({ family, options, told: JSON.stringify(options) })))(
  '$family with $told',
  ({ family, options }) => conforms(randomModel(family, options)),
);

/** The largest features, which an epsilon makes 1, are constants for the gradient, as those of performer-pytorch are. */
describe('encoder with an epsilon on features', () =>
  conforms(
    randomModel(encoder, { attention: { features: { featureCount: 8, featureEpsilon: 0.01 } }, positions: 'none' }),
    { hasExactGradient: false },
  ));

/** The gradient takes the bound of a guarded denominator as given, and finite differences move it. */
describe('a language model with gates and signed features', () =>
  conforms(
    randomModel(text, { attention: { features: { name: 'trigonometric', featureCount: 64 }, forgetting: 'gates' } }),
    { hasExactGradient: false },
  ));
