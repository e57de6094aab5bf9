/** The predicted error of attention against the measured one, and what is recommended from both. */
import { describe, expect, it, test } from 'vitest';
import {
  type AttentionSamples,
  measureAttentionError,
  type PredictedMap,
  predictAttentionError,
  recommendFeatures,
  shapeOfSamples,
} from '../../src/attention/index.js';
import { drawBuffers, type HostTensor, initialize, int32, PerformerError, Random } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { isShaped, neutralShape } from '../../src/features/index.js';
import { attentionSamples, languageModelConfig, modelOf } from '../../src/models/index.js';
import { drawAttention } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';
import { tinyModel } from '../support/tiny.js';

const engine = nodeEngine({ threads: 1 });
const dim = 16;

function samplesOf(std: number, isCausal = false, length = 48): AttentionSamples {
  const { query, key, value } = drawAttention({ batch: 1, heads: 2, length, dim, std });
  return { query, key, value, isCausal };
}

async function mapOf(
  samples: AttentionSamples,
  name: PredictedMap['name'],
  projectionKind: PredictedMap['projectionKind'],
): Promise<PredictedMap> {
  return isShaped(name)
    ? { name, projectionKind, shape: await shapeOfSamples(engine, name, samples) }
    : { name, projectionKind };
}

async function measured(
  samples: AttentionSamples,
  { name, projectionKind }: PredictedMap,
  featureCount: number,
  draws: number,
) {
  const options = { name, headDim: dim, featureCount, projectionKind, rowNorm: 'chi' } as const;
  return measureAttentionError(engine, samples, options, { draws, seed: 3 });
}

describe('the predicted error of attention', () => {
  // At a small error the first order is all there is; what is left is chance.
  it.each([
    ['positive', 'iid', false],
    ['positive', 'orthogonal', true],
    ['hyperbolic', 'iid', true],
    ['hyperbolic', 'orthogonal', false],
    ['trigonometric', 'iid', false],
    ['trigonometric', 'orthogonal', true],
    ['oprf', 'iid', true],
    ['oprf', 'orthogonal', false],
    ['sderf', 'iid', false],
    ['aderf', 'simplex', false],
  ] as const)('of %s features with %s rows agrees with the measured one: causal %s', async (name, kind, isCausal) => {
    const samples = samplesOf(0.3, isCausal);
    const map = await mapOf(samples, name, kind);
    const featureCount = 256;
    const [predicted] = predictAttentionError(samples, map, [featureCount], { rows: 48 });
    const found = await measured(samples, map, featureCount, 40);
    expect(found).toBeLessThan(0.1);
    expect(predicted! / found).toBeGreaterThan(0.92);
    expect(predicted! / found).toBeLessThan(1.08);
  });

  it('of Taylor features is no estimate, but the error itself', async () => {
    const map = { name: 'taylor', projectionKind: 'orthogonal' } as const;
    for (const isCausal of [false, true]) {
      const samples = samplesOf(1, isCausal);
      const [predicted] = predictAttentionError(samples, map, [153], { rows: 48 });
      const found = await measured(samples, map, 153, 1);
      expect(found).toBeGreaterThan(0.02);
      expect(predicted! / found).toBeCloseTo(1, 3);
    }
  });

  it('without values is that of the attention matrix', async () => {
    const { query, key } = samplesOf(0.3);
    const samples = { query, key, isCausal: false };
    const [predicted] = predictAttentionError(samples, { name: 'positive', projectionKind: 'iid' }, [512], {
      rows: 48,
    });
    const found = await measured(samples, { name: 'positive', projectionKind: 'iid' }, 512, 60);
    expect(predicted! / found).toBeGreaterThan(0.88);
    expect(predicted! / found).toBeLessThan(1.12);
  });

  it('falls as one over the root of the features, and orthogonal rows are better', () => {
    const samples = samplesOf(0.5);
    const counts = [128, 512];
    const independent = predictAttentionError(samples, { name: 'positive', projectionKind: 'iid' }, counts);
    const orthogonal = predictAttentionError(samples, { name: 'positive', projectionKind: 'orthogonal' }, counts);
    expect(independent[0]! / independent[1]!).toBeCloseTo(2, 1);
    expect(orthogonal[0]!).toBeLessThan(independent[0]!);
    expect(orthogonal[1]!).toBeLessThan(independent[1]!);
  });

  it('of a neutral shape is that of positive features', () => {
    const samples = samplesOf(0.7);
    const shaped: PredictedMap = { name: 'oprf', projectionKind: 'orthogonal', shape: neutralShape(2, dim) };
    const [a] = predictAttentionError(samples, shaped, [256]);
    const [b] = predictAttentionError(samples, { name: 'positive', projectionKind: 'orthogonal' }, [256]);
    expect(a! / b!).toBeCloseTo(1, 6);
  });

  it('where nothing is left of the signal says so, as the measurement does, and stays a number', async () => {
    for (const std of [3, 30]) {
      const samples = samplesOf(std);
      const [predicted] = predictAttentionError(samples, { name: 'positive', projectionKind: 'orthogonal' }, [64]);
      expect(predicted!).toBeGreaterThan(0.7);
      expect(predicted!).toBeLessThan(10);
      const found = await measured(samples, { name: 'positive', projectionKind: 'orthogonal' }, 64, 4);
      expect(found).toBeGreaterThan(0.7);
      expect(found, 'no row is lost').toBeLessThan(10);
    }
  });
});

describe('numbers that are none', () => {
  it('are refused: of features and of draws', async () => {
    const samples = samplesOf(0.5);
    for (const count of [0, -4]) {
      expect(() => predictAttentionError(samples, { name: 'positive', projectionKind: 'iid' }, [count])).toThrow(
        /positive integer as featureCount/,
      );
    }
    const options = { name: 'positive', headDim: dim, featureCount: 8, projectionKind: 'iid', rowNorm: 'chi' } as const;
    await expect(measureAttentionError(engine, samples, options, { draws: 0 })).rejects.toThrow(
      /positive integer as draws/,
    );
  });
});

describe('a recommendation', () => {
  it('is measured, within the tolerance, and the smallest number that is', async () => {
    const samples = samplesOf(0.4);
    const featureCounts = [16, 32, 64, 128, 256];
    const found = await recommendFeatures(engine, samples, { tolerance: 0.2, featureCounts, draws: 8 });
    expect(found.best).toBeDefined();
    const { name, projectionKind, rowNorm, featureCount, error } = found.best!;
    expect(error).toBeLessThanOrEqual(0.2);
    const again = { name, headDim: dim, projectionKind, rowNorm, featureCount };
    expect(await measureAttentionError(engine, samples, again, { draws: 8 })).toBeCloseTo(error, 10);
    const whole = await recommendFeatures(engine, samples, {
      tolerance: 0.2,
      featureCounts,
      draws: 8,
      measuresAll: true,
    });
    const within = whole.candidates.flatMap(({ estimates }) => estimates.filter(({ measured: own }) => own! <= 0.2));
    expect(Math.min(...within.map(({ featureCount: count }) => count))).toBe(featureCount);
    expect(whole.best).toEqual(found.best);
    for (const { estimates } of whole.candidates) expect(estimates.every(({ measured: own }) => own! > 0)).toBe(true);
  });

  it('is none where no map reaches the tolerance', async () => {
    const found = await recommendFeatures(engine, samplesOf(3), { tolerance: 0.1, featureCounts: [16, 32], draws: 2 });
    expect(found.best).toBeUndefined();
    expect(found.candidates).toHaveLength(7);
    expect(found.candidates.every(({ estimates }) => estimates.at(-1)!.measured! > 0.1)).toBe(true);
  });

  it('measures regularised rows, of which nothing is predicted', async () => {
    const candidates = [{ name: 'positive', projectionKind: 'orthogonal', rowNorm: 'root' }] as const;
    const found = await recommendFeatures(engine, samplesOf(0.4), {
      tolerance: 0.5,
      candidates,
      featureCounts: [64],
      draws: 4,
    });
    expect(found.candidates[0]!.estimates).toEqual([{ featureCount: 64, measured: found.best!.error }]);
  });

  const samples = samplesOf(1);
  const nan: HostTensor = {
    ...samples.query,
    data: Float32Array.from(samples.query.data as Float32Array).fill(Number.NaN, 0, 1),
  } as HostTensor;
  test.each([
    ['a tolerance of 0', { tolerance: 0 }, samples, /tolerance above 0, got 0/],
    ['a tolerance of NaN', { tolerance: Number.NaN }, samples, /got NaN/],
    ['no candidates', { tolerance: 1, candidates: [] }, samples, /at least one candidate/],
    ['falling numbers', { tolerance: 1, featureCounts: [64, 32] }, samples, /ascending/],
    ['an odd number for pairs', { tolerance: 1, featureCounts: [33] }, samples, /multiple of 2/],
    ['no draws', { tolerance: 1, draws: 0 }, samples, /draws of 1 or more/],
    ['samples that are no numbers', { tolerance: 1 }, { ...samples, query: nan }, /finite samples/],
    [
      'values of another length',
      { tolerance: 1 },
      { ...samples, value: normal('v', [1, 3, 2, dim]) },
      /expected query, key/,
    ],
  ])('of %s is refused', async (_, options, given, message) => {
    await expect(recommendFeatures(engine, given, options)).rejects.toThrow(PerformerError);
    await expect(recommendFeatures(engine, given, options)).rejects.toThrow(message);
  });

  test.each([
    ['relu', { name: 'relu' as 'positive', projectionKind: 'iid' as const }, /expected one of positive/],
    ['oprf without a shape', { name: 'oprf' as const, projectionKind: 'iid' as const }, /expected a shape/],
  ])('prediction of %s is refused', (_, map, message) => {
    expect(() => predictAttentionError(samples, map, [64])).toThrow(message);
  });
});

describe('the samples of a model', () => {
  it('are what goes into the attention of each layer: their exact attention agrees with the oracle', async () => {
    const config = languageModelConfig(tinyModel);
    const model = modelOf(config, { chunk: 16 });
    const params: object = initialize(model.params, Random.fromSeed(1));
    const buffers: object = drawBuffers(model.buffers, Random.fromSeed(2));
    const tokens = int32(
      [2, 21],
      Array.from({ length: 42 }, (_, at) => (at * 37) % 256),
    );
    const layers = await attentionSamples(engine, model, { params, buffers }, tokens);
    expect(layers).toHaveLength(config.depth);
    for (const layer of layers) {
      expect(layer.query.shape).toEqual([2, 21, config.heads, config.headDim]);
      expect(attentionOracle(layer, { isCausal: true }).data.every(Number.isFinite)).toBe(true);
    }
    // A longer text changes nothing of what came before, in any layer.
    const shorter = await attentionSamples(
      engine,
      model,
      { params, buffers },
      int32([1, 13], tokens.data.subarray(0, 13)),
    );
    for (const [layer, { key }] of shorter.entries()) {
      const width = config.heads * config.headDim;
      const same = { ...key, data: (layers[layer]!.key.data as Float32Array).subarray(0, 13 * width) } as HostTensor;
      expect(largestError(key, same)).toBeLessThan(1e-5);
    }
  });
});
