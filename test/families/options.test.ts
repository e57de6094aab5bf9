/**
 * The options of the trunk, combined so that those which meet in a layer meet here: norms with feed-forward layers, biases,
 * normalised queries and positions, over families and mixers.
 */
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
  [text, { norm: 'rms', activation: 'swiglu', qkvBias: true, positions: axial, attention: favor }],
  [text, { norm: { placement: 'post' }, activation: 'relu', outputBias: false, attention: favor }],
  [text, { norm: 'rezero', activation: 'geglu', queryKeyNorm: 'unit', tokenShift: false, attention: favor }],
  [
    text,
    { norm: 'scale', positions: 'sinusoidal', queryKeyNorm: { kind: 'unit', temperature: 2 }, attention: 'softmax' },
  ],
  [
    text,
    {
      norm: { kind: 'rms', placement: 'post' },
      activation: 'silu',
      positions: { fraction: 0.5, base: 500, scaling: { kind: 'ntk', factor: 4 } },
      queryKeyNorm: 'unit',
      attention: favor,
    },
  ],
  [text, { attention: ['softmax', favor], qkvBias: true, queryKeyNorm: 'temperature' }],
  [
    text,
    {
      parallelResidual: true,
      feedForwardWidth: 10,
      feedForwardBias: false,
      activation: 'gelu-tanh',
      logitsBias: false,
    },
  ],
  [text, { embeddingNorm: true, logitsLayer: true, norm: 'rezero', positions: axial }],
  [
    encoder,
    { embeddingNorm: true, tokenTypes: 2, logitsLayer: true, norm: { placement: 'post' }, attention: 'softmax' },
  ],
  [encoder, { maskScaling: true, logitsLayer: true, norm: 'scale', activation: 'silu' }],
  [classifier, { tokenTypes: 3, embeddingNorm: true, maskScaling: true, pooling: 'first', reversible: true }],
  [classifier, { headLayer: 'tanh', pooling: 'first', norm: { placement: 'post' }, attention: 'softmax' }],
  [classifier, { headLayer: 'relu', targets: { kind: 'values', names: ['a', 'b'] }, attention: favor }],
  ['token-classifier', { tokenTypes: 2, maskScaling: true, embeddingNorm: true, memoryTokens: 2 }],
  [pairs, { embeddingNorm: true, logitsLayer: true, norm: 'rms' }],
  ['performer', { embeddingNorm: true, isCausal: true, attention: favor }],
  [pairs, { attention: relative, positions: 'none', logitsScale: 0.4, activation: 'geglu-tanh', encoderDepth: 1 }],
  [text, { attention: [relative, shared], keyHeads: 1, memoryTokens: 2, reversible: true, logitsScale: 3 }],
  [encoder, { attention: [relative, favor], norm: 'rms' }],
  [text, { attention: { ...favor, normalizerEpsilon: 0.01 } }],
  [
    text,
    {
      attention: [{ features: { name: 'relu', featureCount: 8 }, normalizerEpsilon: 0.1, forgetting: 'gates' }, shared],
    },
  ],
  [pairs, { attention: { features: 'hedgehog', normalizerEpsilon: 0.1 }, keyHeads: 1, reversible: true }],
  [images, { pixels: { means: [0.1, 0.2, 0.3], deviations: [0.5, 0.6, 0.7] }, patch: 1, image: colours }],
  [encoder, { logitsBias: true, feedForwardWidth: 7, activation: 'swiglu', norm: { kind: 'rms', epsilon: 1e-3 } }],
  [
    text,
    { attention: { kind: 'hybrid', window: 3, ...favor }, keyHeads: 1, queryKeyNorm: 'temperature', reversible: true },
  ],
  [text, { attention: [{ kind: 'local-heads', window: 3, ...favor }, shared], norm: 'rms' }],
  [text, { attention: [{ kind: 'hybrid', window: 3, ...favor }, shared], activation: 'swiglu' }],
  [text, { attention: [favor, 'none'], norm: 'scale' }],
  [text, { attention: [{ ...routed, ...favor }, shared], queryKeyNorm: 'unit', norm: 'rms' }],
  [text, { attention: ['routing', { ...routed, ...favor }], reversible: true, keyHeads: 1, positions: axial }],
  [encoder, { attention: [{ ...routed, ...favor }, shared], reversible: true, activation: 'swiglu' }],
  [encoder, { attention: [favor, 'softmax'], norm: 'rms' }],
  [encoder, { positions: { waves: true }, attention: favor }],
  [text, { positions: { waves: true }, attention: favor }],
  [encoder, { norm: 'rezero', activation: 'squared-relu', positions: axial, qkvBias: true, attention: favor }],
  [encoder, { norm: { kind: 'scale', placement: 'post' }, activation: 'glu', positions: 'sinusoidal' }],
  [classifier, { norm: { kind: 'scale', placement: 'post' }, queryKeyNorm: 'unit', positions: axial }],
  [classifier, { targets: { kind: 'labels', names: ['a', 'b'] }, pooling: 'attention', attention: favor }],
  [classifier, { norm: 'rms', activation: 'reglu', positions: { scaling: { kind: 'linear', factor: 2 } } }],
  [text, { reversible: true, attention: favor, qkvBias: true }],
  [text, { reversible: true, attention: ['softmax', favor], keyHeads: 1, norm: 'rezero', activation: 'swiglu' }],
  [encoder, { reversible: true, attention: favor, norm: 'rms', queryKeyNorm: 'unit' }],
  [classifier, { reversible: true, attention: [favor, 'softmax'], norm: 'scale', tokenShift: false }],
  [pairs, { reversible: true, attention: [favor, 'softmax'], norm: 'rms' }],
  ['performer', { reversible: true, attention: favor }],
  [text, { attention: [favor, shared] }],
  [text, { attention: [{ ...favor, forgetting: 'gates' }, shared], positions: 'none' }],
  [text, { attention: [{ ...favor, forgetting: 'decay' }, shared, output], depth: 3, reversible: true }],
  [text, { attention: ['softmax', output], norm: 'rms', keyHeads: 1 }],
  [text, { attention: [hedgehog, shared, output, 'softmax', shared, output], depth: 6, reversible: true }],
  [encoder, { attention: [favor, shared], queryKeyNorm: 'unit', qkvBias: true }],
  [encoder, { attention: ['softmax', output], reversible: true }],
  [classifier, { attention: ['softmax', shared], norm: 'rezero' }],
  [
    encoder,
    { attention: [clustered, shared, output], depth: 3, reversible: true, qkvBias: true, queryKeyNorm: 'unit' },
  ],
  [classifier, { attention: [clustered, favor], norm: 'rms', queryKeyNorm: 'temperature', positions: 'sinusoidal' }],
  [pairs, { attention: [hedgehog, shared], keyHeads: 1 }],
  [pairs, { attention: ['softmax', output], reversible: true }],
  [images, { pooling: 'class-token', attention: favor }],
  [images, { pooling: 'attention', positions: 'learned', patch: 1, image: colours, attention: [favor, 'softmax'] }],
  [images, { positions: 'sinusoidal', norm: 'rezero', tokenShift: false, image: colours }],
  [pixels, { image: colours, attention: favor, tiedEmbedding: true }],
  [pixels, { image: colours, positions: 'learned', activation: 'swiglu', attention: 'softmax' }],
  [pixels, { positions: 'rotary', norm: 'rms', attention: favor }],
  [text, { memoryTokens: 3, attention: favor }],
  [text, { memoryTokens: 5, attention: ['softmax', favor], positions: axial, reversible: true }],
  [text, { memoryTokens: 2, attention: { kind: 'hybrid', window: 3, ...favor }, positions: 'sinusoidal' }],
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
  [encoder, { memoryTokens: 3, attention: [favor, 'softmax'], positions: axial }],
  [encoder, { memoryTokens: 3, attention: { ...favor, exactUpTo: 8 } }],
  [classifier, { memoryTokens: 2, pooling: 'first', reversible: true, attention: favor }],
  ['token-classifier', { memoryTokens: 2, attention: { kind: 'hybrid', window: 3, ...favor } }],
  [pairs, { memoryTokens: 3, attention: [favor, 'softmax'], keyHeads: 1 }],
  [pairs, { memoryTokens: 2, attention: favor }],
  ['performer', { memoryTokens: 3, isCausal: true, attention: favor, positions: 'none' }],
  [images, { memoryTokens: 2, pooling: 'class-token', attention: favor }],
  [pixels, { memoryTokens: 2, attention: favor }],
  [images, { reversible: true, attention: [favor, shared] }],
  [pixels, { reversible: true, attention: [favor, shared] }],
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
