/** A model's arithmetic by formula: against what the parameters and states are, and what the attention computes. */
import { describe, expect, test } from 'vitest';
import { drawBuffers, type HostTensor, initialize, leavesOf, Random } from '../../src/base/index.js';
import { forwardOperations, tokenBytes, trainingOperations } from '../../src/measure/index.js';
import { initialState, type LanguageModelOptions, languageModelConfig, modelOf } from '../../src/models/index.js';

const sizes = { dim: 32, depth: 3, heads: 2, headDim: 8, feedForwardMultiplier: 4 };
const attention = { features: { featureCount: 16 } };
const modelWith = (options: Partial<LanguageModelOptions> = {}) =>
  modelOf(languageModelConfig({ ...sizes, attention, ...options }));
const bytesOf = (tree: object) =>
  leavesOf(tree).reduce((total, [, leaf]) => total + (leaf as unknown as HostTensor).data.byteLength, 0);

/** Queries, keys, values and output, feed-forward, and the logits. */
const matrices = 3 * (4 * 32 * 16 + 2 * 32 * 128) + 32 * 256;
const length = 10;
const heads = 3 * 2;

describe('operations of a forward pass', () => {
  test('are those of the matrices where there is no attention', () => {
    expect(forwardOperations(modelWith({ attention: 'none' }), length)).toBe(2 * matrices * length);
    expect(forwardOperations(modelWith({ attention: 'none', tiedEmbedding: true }), length)).toBe(
      2 * matrices * length,
    );
    const learned = modelWith({ attention: 'none', positions: { kind: 'learned', maxLength: 64 } });
    expect(forwardOperations(learned, length)).toBe(2 * matrices * length);
  });

  test('grow with the square of the length for exact attention', () => {
    const exact = forwardOperations(modelWith({ attention: 'softmax' }), length) - 2 * matrices * length;
    expect(exact).toBe(heads * 2 * (2 * length * length * 8));
  });

  const core = heads * (2 * length * 64 * (16 + 8) + 4 * length * 16 * 8);
  const perRow = heads * 2 * length * 2; // queries and keys, a multiplication and an addition
  test.each<[string, Partial<LanguageModelOptions>, number]>([
    ['positive features', {}, 16 * 8],
    [
      'hyperbolic features, which use each projection twice',
      { attention: { features: { name: 'hyperbolic', featureCount: 16 } } },
      8 * 8,
    ],
    [
      'shaped features, which turn rows first',
      { attention: { features: { name: 'oprf', featureCount: 16 } } },
      16 * 8 + 8 * 8,
    ],
    ['learned features', { attention: { features: 'hedgehog' } }, 8 * 8],
    ['features without a projection', { attention: { features: 'cosformer' } }, 0],
  ])('are linear in it for %s', (name, options, projection) => {
    const linear = forwardOperations(modelWith(options), length) - 2 * matrices * length;
    expect(linear).toBe(core + perRow * projection);
    // Every product has two in the gradient, but for those with projections and shapes, which have one.
    const frozen = name === 'learned features' ? 0 : perRow * projection;
    expect(trainingOperations(modelWith(options), length)).toBe(
      3 * forwardOperations(modelWith(options), length) - frozen,
    );
  });

  test('leave out the logits that are not asked for', () => {
    const all = forwardOperations(modelWith(), length);
    expect(all - forwardOperations(modelWith(), length, 1)).toBe(2 * 32 * 256 * (length - 1));
  });

  test('count memory tokens as tokens without logits, in a training step too', () => {
    const [own, plain] = [modelWith({ memoryTokens: 3 }), modelWith()];
    const without = 2 * 32 * 256 * 3;
    expect(forwardOperations(own, length)).toBe(forwardOperations(plain, length + 3) - without);
    expect(trainingOperations(own, length)).toBe(trainingOperations(plain, length + 3) - 3 * without);
    const exact = [modelWith({ memoryTokens: 3, attention: 'softmax' }), modelWith({ attention: 'softmax' })] as const;
    expect(tokenBytes(exact[0], 7)).toBe(tokenBytes(exact[1], 10));
  });
});

describe('bytes of a decoded token', () => {
  const parts = (options: Partial<LanguageModelOptions>) => {
    const model = modelWith(options);
    const params = initialize(model.params, Random.fromSeed(0)) as { embedding: object; positions?: object };
    return { model, params, buffers: drawBuffers(model.buffers, Random.fromSeed(1)) };
  };

  test('are those of the weights but for the embedding, of the projections and of the state', () => {
    const { model, params, buffers } = parts({});
    const weights = bytesOf(params) - bytesOf(params.embedding);
    const expected = weights + bytesOf(buffers) + bytesOf(initialState(model, 1));
    expect(tokenBytes(model, 7)).toBe(expected);
    expect(tokenBytes(model, 7000)).toBe(expected);
  });

  test('count the embedding where it gives the logits, and no table of positions', () => {
    const { model, params } = parts({
      attention: 'none',
      tiedEmbedding: true,
      positions: { kind: 'learned', maxLength: 64 },
    });
    const state = bytesOf(initialState(model, 1));
    expect(tokenBytes(model, 7)).toBe(bytesOf(params) - bytesOf(params.positions ?? {}) + state);
  });

  test('grow by keys, values and a mask for exact attention', () => {
    const { model } = parts({ attention: 'softmax' });
    expect(tokenBytes(model, 8) - tokenBytes(model, 7)).toBe((heads * 2 * 8 + 3) * 4); // a mask in each layer
  });
});
