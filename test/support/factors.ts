/** The choices of a model that meet in its layers, each with its levels, from which a covering of all pairs is made. */
import { PerformerError } from '../../src/base/index.js';
import { activationNames } from '../../src/blocks/index.js';
import { modelConfig, modelNames } from '../../src/models/index.js';
import { type Choice, type Covering, coveringOf } from './covering.js';
import { familyOptions } from './families.js';

/** Few, for speed. */
const features = { featureCount: 8 };
const favor = { features };
const hybrid = { kind: 'hybrid', window: 3, ...favor };
const routed = { kind: 'routing-hybrid', keyClusters: 3, window: 2, ...favor };
const shared = { kind: 'shared' };
const none = {};

/** What each level gives; `plain` gives nothing. */
const levels: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  family: {
    ...Object.fromEntries(modelNames().map((model) => [model, { model, ...familyOptions[model] }])),
    'performer in order': { model: 'performer', isCausal: true },
  },
  attention: {
    'favor+': { attention: favor },
    trigonometric: { attention: { features: { name: 'trigonometric', featureCount: 64 } } },
    hedgehog: { attention: { features: 'hedgehog' } },
    'epsilon in the normalizer': { attention: { ...favor, normalizerEpsilon: 0.1 } },
    decay: { attention: { ...favor, forgetting: 'decay' } },
    gates: { attention: { ...favor, forgetting: 'gates' } },
    'exact up to a length': { attention: { ...favor, exactUpTo: 8 } },
    hybrid: { attention: hybrid },
    'hybrid with gates': { attention: { ...hybrid, forgetting: 'gates' } },
    'hybrid of hedgehog': { attention: { ...hybrid, features: 'hedgehog' } },
    window: { attention: { kind: 'window', window: 3 } },
    'local heads': { attention: { kind: 'local-heads', window: 3, ...favor } },
    clustered: { attention: { kind: 'clustered', clusters: 3, hashBits: 5 } },
    'clustered with top keys': { attention: { kind: 'clustered', clusters: 2, hashBits: 5, topK: 3 } },
    routing: { attention: { kind: 'routing', keyClusters: 3, window: 3 } },
    'routing hybrid': { attention: routed },
    softmax: { attention: 'softmax' },
    'softmax with distances': { attention: { kind: 'softmax', relativeBuckets: 8, relativeDistance: 7 } },
    none: { attention: 'none' },
    'softmax, favor+': { attention: ['softmax', favor] },
    'favor+, shared': { attention: [favor, shared] },
    'softmax, shared output': { attention: ['softmax', { ...shared, part: 'output' }] },
    'hybrid, shared': { attention: [hybrid, shared] },
  },
  norm: {
    plain: none,
    rms: { norm: 'rms' },
    scale: { norm: 'scale' },
    rezero: { norm: 'rezero' },
    'layer behind': { norm: { placement: 'post' } },
    'rms behind': { norm: { kind: 'rms', placement: 'post' } },
  },
  activation: Object.fromEntries(activationNames.map((activation) => [activation, { activation }])),
  positions: {
    plain: none,
    'slow rotary of a part': {
      positions: { kind: 'rotary', fraction: 0.5, base: 500, scaling: { kind: 'ntk', factor: 4 } },
    },
    'rotary with waves': { positions: { kind: 'rotary', waves: true, scaling: { kind: 'linear', factor: 2 } } },
    'rotary of llama3': { positions: { kind: 'rotary', scaling: { kind: 'llama3', factor: 8, originalLength: 16 } } },
    learned: { positions: { kind: 'learned', maxLength: 24 } },
    axial: { positions: { kind: 'axial', maxLength: 24, columns: 4 } },
    'of pixels': { positions: 'learned' },
    sinusoidal: { positions: 'sinusoidal' },
    none: { positions: 'none' },
  },
  queryKeyNorm: {
    plain: none,
    unit: { queryKeyNorm: { kind: 'unit', temperature: 2 } },
    temperature: { queryKeyNorm: 'temperature' },
  },
  residual: {
    plain: none,
    parallel: { parallelResidual: true },
    reversible: { reversible: true },
  },
  pooling: {
    plain: none,
    first: { pooling: 'first' },
    'class token': { pooling: 'class-token' },
    attention: { pooling: 'attention' },
  },
  targets: {
    plain: none,
    labels: { targets: { kind: 'labels', names: ['a', 'b'] } },
    values: { targets: { kind: 'values', names: ['a', 'b'] } },
  },
  keyHeads: { plain: none, one: { keyHeads: 1 } },
  biases: { plain: none, others: { qkvBias: true, outputBias: false, feedForwardBias: false } },
  tokenShift: { plain: none, none: { tokenShift: 0 }, three: { tokenShift: 3 } },
  memoryTokens: { plain: none, some: { memoryTokens: 3 } },
  feedForwardWidth: { plain: none, odd: { feedForwardWidth: 7 } },
  embeddingNorm: { plain: none, one: { embeddingNorm: true } },
  tokenTypes: { plain: none, two: { tokenTypes: 2 } },
  maskScaling: { plain: none, scaled: { maskScaling: true } },
  logits: { plain: none, layer: { logitsLayer: true }, scale: { logitsScale: 0.4, logitsBias: true } },
  embedding: { plain: none, tied: { tiedEmbedding: true }, untied: { tiedEmbedding: false } },
  headLayer: { plain: none, tanh: { headLayer: 'tanh' }, relu: { headLayer: 'relu' } },
  encoderDepth: { plain: none, shallow: { encoderDepth: 1 } },
};

/** The options of a choice, without those of the trunk's size. */
export function optionsOf(choice: Choice): { readonly model: string } & object {
  return Object.assign(
    { model: modelNames()[0]! },
    ...Object.keys(levels).map((factor) => levels[factor]![choice[factor] ?? 'plain']),
  );
}

const sizes = { dim: 12, depth: 2, heads: 2, headDim: 6 };

/** What is wrong with a choice, if anything is. */
export function problemWith(choice: Choice): PerformerError | undefined {
  try {
    modelConfig({ ...sizes, ...optionsOf(choice) });
    return undefined;
  } catch (error) {
    if (error instanceof PerformerError) return error;
    throw error;
  }
}

/** All pairs of levels, where a pair can be in some family. */
export function coveredFactors(): Covering {
  const factors = Object.fromEntries(Object.entries(levels).map(([factor, own]) => [factor, Object.keys(own)]));
  const canBe = (choice: Choice) => problemWith(choice) === undefined;
  const isPossible = (choice: Choice) =>
    'family' in choice ? canBe(choice) : factors.family!.some((family) => canBe({ family, ...choice }));
  return coveringOf(factors, isPossible);
}
