/** A model's arithmetic by formula: against what the parameters and states are, and what the attention computes. */
import { describe, expect, test } from 'vitest';
import { type HostTensor, leavesOf, Random } from '../../src/base/index.js';
import {
  drawProjections,
  forwardOperations,
  initialState,
  initLanguageModel,
  type LanguageModelOptions,
  languageModelConfig,
  tokenBytes,
  trainingOperations,
} from '../../src/models/index.js';

const sizes = { dim: 32, depth: 3, heads: 2, headDim: 8, featureCount: 16, feedForwardMultiplier: 4 };
const configOf = (options: Partial<LanguageModelOptions> = {}) => languageModelConfig({ ...sizes, ...options });
const bytesOf = (tree: unknown) =>
  leavesOf(tree).reduce((total, [, leaf]) => total + (leaf as unknown as HostTensor).data.byteLength, 0);

/** Queries, keys, values and output, feed-forward, and the logits. */
const matrices = 3 * (4 * 32 * 16 + 2 * 32 * 128) + 32 * 256;
const length = 10;
const heads = 3 * 2;

describe('operations of a forward pass', () => {
  test('are those of the matrices where there is no attention', () => {
    expect(forwardOperations(configOf({ attention: 'none' }), length)).toBe(2 * matrices * length);
    expect(forwardOperations(configOf({ attention: 'none', tiedEmbedding: true }), length)).toBe(2 * matrices * length);
    const learned = configOf({ attention: 'none', positions: 'learned', maxLength: 64 });
    expect(forwardOperations(learned, length)).toBe(2 * matrices * length);
  });

  test('grow with the square of the length for exact attention', () => {
    const exact = forwardOperations(configOf({ attention: 'softmax' }), length) - 2 * matrices * length;
    expect(exact).toBe(heads * 2 * (2 * length * length * 8));
  });

  const core = heads * (2 * length * 64 * (16 + 8) + 4 * length * 16 * 8);
  const perRow = heads * 2 * length * 2; // queries and keys, a multiplication and an addition
  test.each<[string, Partial<LanguageModelOptions>, number]>([
    ['positive features', {}, 16 * 8],
    ['hyperbolic features, which use each projection twice', { featureMap: 'hyperbolic' }, 8 * 8],
    ['shaped features, which turn rows first', { featureMap: 'oprf' }, 16 * 8 + 8 * 8],
    ['learned features', { featureMap: 'hedgehog' }, 8 * 8],
    ['features without a projection', { featureMap: 'cosformer' }, 0],
  ])('are linear in it for %s', (_, options, projection) => {
    const linear = forwardOperations(configOf(options), length) - 2 * matrices * length;
    expect(linear).toBe(core + perRow * projection);
    // Every product has two in the gradient, but for those with projections and shapes, which have one.
    const frozen = options.featureMap === 'hedgehog' ? 0 : perRow * projection;
    expect(trainingOperations(configOf(options), length)).toBe(
      3 * forwardOperations(configOf(options), length) - frozen,
    );
  });

  test('leave out the logits that are not asked for', () => {
    const all = forwardOperations(configOf(), length);
    expect(all - forwardOperations(configOf(), length, 1)).toBe(2 * 32 * 256 * (length - 1));
  });
});

describe('bytes of a decoded token', () => {
  const parts = (options: Partial<LanguageModelOptions>) => {
    const config = configOf(options);
    const params = initLanguageModel(config, Random.fromSeed(0));
    return { config, params, projections: drawProjections(config, Random.fromSeed(1)) };
  };

  test('are those of the weights but for the embedding, of the projections and of the state', () => {
    const { config, params, projections } = parts({});
    const weights = bytesOf(params) - bytesOf(params.embedding);
    const expected = weights + bytesOf(projections) + bytesOf(initialState(config, 1));
    expect(tokenBytes(config, 7)).toBe(expected);
    expect(tokenBytes(config, 7000)).toBe(expected);
  });

  test('count the embedding where it gives the logits, and no table of positions', () => {
    const { config, params } = parts({ attention: 'none', tiedEmbedding: true, positions: 'learned', maxLength: 64 });
    const state = bytesOf(initialState(config, 1));
    expect(tokenBytes(config, 7)).toBe(bytesOf(params) - bytesOf(params.positions) + state);
  });

  test('grow by keys and values for exact attention', () => {
    const { config } = parts({ attention: 'softmax' });
    expect(tokenBytes(config, 8) - tokenBytes(config, 7)).toBe(heads * 2 * 8 * 4);
  });
});
