/**
 * The error of attention predicted from samples of queries and keys, before anything is drawn.
 *
 * The estimate is a quotient, ô = Σⱼ pⱼ(1 + εⱼ)vⱼ / Σⱼ pⱼ(1 + εⱼ), with p the exact weights and εⱼ the relative error of key j's
 * kernel. To first order (the delta method) ô − o = Σⱼ pⱼ εⱼ (vⱼ − o), and so, over the draws of the projection,
 *
 *   E|ô − o|² = Σⱼₖ pⱼ pₖ E[εⱼεₖ] (vⱼ − o)·(vₖ − o).
 *
 * The errors of keys come from the same rows and are correlated. For m independent rows, with z = q + k and Δ = q − k scaled by
 * dim^(−1/4), m·E[εⱼεₖ] is
 *
 *   positive e^{zⱼ·zₖ} − 1 · hyperbolic cosh(zⱼ·zₖ) − 1 · trigonometric cosh(Δⱼ·Δₖ) − 1
 *   shaped   Π(1−4a)(1−8a)^{−½}·exp(Σ (1−4a)/(2(1−8a))·(sⱼ+sₖ)² − ½|sⱼ|² − ½|sₖ|²) − 1,   s = T_q q + T_k k
 *
 * Rows of one block add their share of pairs (`correlation.ts`). Where the first order says that nothing is left of the signal,
 * an error of positive features is held below that of the mean over the visible keys, |vⱼ − o|²: their output is a mean of
 * values. Taylor features are drawn from nothing: their error is computed as it is.
 */
import { PerformerError } from '../base/errors.js';
import { projectionLaw } from '../features/index.js';
import { expectCounts } from '../features/projection.js';
import { correlatedError, geometryOf, gramOf, PairTable, type PredictedMap, predictableMaps } from './correlation.js';
import { type AttentionSamples, dotOf, type HeadSamples, headSamples, logSoftmax, sampledRows } from './samples.js';

/** What one query adds: Σ of independent rows, Σ of pairs of a block, and the limits that its output has. */
interface RowError {
  readonly independent: number;
  readonly pairs: number;
  readonly limit: number;
}

/** (vⱼ − o)·(vₖ − o), |o|² and the mean of |vⱼ − o|²; without values, of the weights themselves (vⱼ a unit vector each). */
function centeredValues(
  values: readonly Float64Array[] | undefined,
  gram: Float64Array | undefined,
  stride: number,
  weights: Float64Array,
): { centered: (j: number, k: number) => number; signal: number; spread: number } {
  const count = weights.length;
  let cross: Float64Array;
  let signal: number;
  if (values === undefined || gram === undefined) {
    cross = weights;
    signal = dotOf(weights, weights);
  } else {
    const output = new Float64Array((values[0] as Float64Array).length);
    for (let j = 0; j < count; j++) {
      (values[j] as Float64Array).forEach((value, i) => {
        output[i] = (output[i] as number) + (weights[j] as number) * value;
      });
    }
    cross = Float64Array.from({ length: count }, (_, j) => dotOf(values[j] as Float64Array, output));
    signal = dotOf(output, output);
  }
  const own = (j: number, k: number) => (gram === undefined ? Number(j === k) : (gram[j * stride + k] as number));
  const centered = (j: number, k: number) => own(j, k) - (cross[j] as number) - (cross[k] as number) + signal;
  let spread = 0;
  for (let j = 0; j < count; j++) spread += centered(j, j) / count;
  return { centered, signal, spread };
}

/** The error of Taylor features, exactly: their weights are 1 + z + z²/2. */
function taylorRowError(
  products: Float64Array,
  weights: Float64Array,
  centered: (j: number, k: number) => number,
): number {
  const own = products.map((z) => 1 + z + z ** 2 / 2);
  const total = own.reduce((a, b) => a + b, 0);
  const change = own.map((weight, j) => weight / total - (weights[j] as number));
  let squared = 0;
  change.forEach((left, j) => {
    change.forEach((right, k) => {
      squared += left * right * centered(j, k);
    });
  });
  return squared;
}

/**
 * The relative error of attention, √(E|ô − o|²/|o|²) over sampled queries, predicted for numbers of features: of the outputs, or
 * without values of the attention matrix. 1 or more: nothing of the signal is left, and more is not
 * told. Rotations other than Haar (structured, givens) are taken for such. Time and memory grow as the square of the keys.
 *
 * @throws SHAPE for samples that do not fit; CONFIG for a map that is not predictable or lacks its shape.
 */
export function predictAttentionError(
  samples: AttentionSamples,
  map: PredictedMap,
  featureCounts: readonly number[],
  { rows = 16 }: { /** Queries looked at in each sequence and head. */ readonly rows?: number } = {},
): number[] {
  const { name, projectionKind, shape } = map;
  const isShaped = name === 'oprf' || name === 'sderf' || name === 'aderf';
  if (!predictableMaps.includes(name)) {
    throw new PerformerError(
      'CONFIG',
      `predictAttentionError: expected one of ${predictableMaps.join(', ')}, got ${name}.`,
    );
  }
  if (isShaped !== (shape !== undefined)) {
    throw new PerformerError(
      'CONFIG',
      `predictAttentionError: expected a shape for shaped maps alone, ${name} features.`,
    );
  }
  for (const featureCount of featureCounts) expectCounts('predictAttentionError', { featureCount });
  const heads = headSamples('predictAttentionError', samples);
  const dim = samples.query.shape[3] as number;
  const law = projectionLaw(dim, { kind: projectionKind === 'none' ? 'iid' : projectionKind, rowNorm: 'chi' });
  const table = projectionKind === 'iid' ? undefined : new PairTable(name, law, dim);
  const found: RowError[] = [];
  let signal = 0;
  for (const head of heads) {
    for (const { error, size } of errorsOfHead(head, map, table, rows, samples.isCausal)) {
      found.push(error);
      signal += size;
    }
  }
  return featureCounts.map((featureCount) => {
    const count = name === 'hyperbolic' || name === 'trigonometric' ? featureCount / 2 : featureCount;
    const share = law.pairShare(count);
    const total = found.reduce((sum, { independent, pairs, limit }) => {
      if (name === 'taylor') return sum + independent;
      const first = Math.max(0, independent / count + share * pairs);
      return sum + (first === Number.POSITIVE_INFINITY ? limit : (first * limit) / (first + limit || 1));
    }, 0);
    return Math.sqrt(total / signal);
  });
}

function* errorsOfHead(
  { head, queries, keys, values }: HeadSamples,
  map: PredictedMap,
  table: PairTable | undefined,
  rows: number,
  isCausal: boolean,
): Generator<{ error: RowError; size: number }> {
  const stride = keys.length;
  const { keys: shapedKeys, widths } = geometryOf(map, head, queries[0] as Float64Array, keys);
  const isShaped = map.shape !== undefined;
  const plain = gramOf(shapedKeys);
  const grams = { plain, wide: isShaped ? gramOf(shapedKeys, widths) : plain, stride };
  const valueGram = values === undefined ? undefined : gramOf(values);
  for (const row of sampledRows(queries.length, rows)) {
    const query = queries[row] as Float64Array;
    const products = Float64Array.from(keys.slice(0, isCausal ? row + 1 : stride), (key) => dotOf(query, key));
    const logWeights = logSoftmax(products);
    const weights = logWeights.map(Math.exp);
    const { centered, signal, spread } = centeredValues(values, valueGram, stride, weights);
    if (map.name === 'taylor') {
      yield { error: { independent: taylorRowError(products, weights, centered), pairs: 0, limit: 0 }, size: signal };
      continue;
    }
    const sides = { ...geometryOf(map, head, query, []), keys: shapedKeys };
    const { independent, pairs } = correlatedError(map.name, sides, logWeights, centered, table, grams);
    // The weights of trigonometric features are signed, and nothing but the guard limits their outputs.
    const limit = map.name === 'trigonometric' ? 1e4 * spread : spread;
    yield { error: { independent, pairs, limit }, size: signal };
  }
}
