/**
 * The attention matrix A [batch, heads, rows, keys] that attention through a feature map never writes down,
 *
 *   A_ij = φ(q_i)·φ(k_j) / Σ_j φ(q_i)·φ(k_j),     output = A·V,
 *
 * and the exact one beside it, softmax(QKᵀ/√dim). Each row sums to 1; rows that see no key are zeros. For chosen queries or for
 * all: quadratic then, for looking at.
 *
 * Maps with logFeatures a are summed in log space, log Σ_f exp(a_f(q_i) + a_f(k_j)), which is right for any norm of q and k.
 * Others are products, guarded where they are signed (a row whose denominator was guarded does not sum to 1).
 */
import { PerformerError } from '../base/errors.js';
import type { FeatureMap, Features } from '../features/index.js';
import {
  abs,
  add,
  broadcastTo,
  cast,
  constant,
  cumulativeSum,
  exp,
  less,
  logSumExp,
  matmul,
  max,
  maximum,
  multiply,
  negate,
  reciprocal,
  reshape,
  scalar,
  slice,
  softplus,
  subtract,
  sum,
  type Tensor,
  takeRows,
  transpose,
  where,
} from '../graph/index.js';
import { guardDenominator, guarded } from './guard.js';
import { groupOf, repeatHeads } from './heads.js';
import {
  type AttentionInputs,
  checkInputs,
  expectPositions,
  positionsOf,
  refuseSequenceWide,
  swapHeads,
  withoutHidden,
} from './layout.js';
import { maskedLogScale } from './state.js';
import { visibleKeys, visibleSoftmax } from './visible.js';

/** Which weights of an attention map are computed. */
export interface AttentionMapOptions {
  readonly isCausal: boolean;
  /** Indices of the queries whose rows are wanted, in this order; all unless given. */
  readonly rows?: readonly number[];
}

/** What an attention map is computed from: values have no part in weights. */
export type MapInputs = Omit<AttentionInputs, 'value'>;

/** Features that are summed at once in log space: more is faster, and needs memory for rows·keys of each. */
const group = 8;

/** Throws CONFIG unless every row is one of the queries. */
function checkRows(where: string, { query }: MapInputs, rows: readonly number[] | undefined): void {
  const queries = query.dim(1);
  const isOne = (row: number) =>
    Number.isSafeInteger(row) && row >= 0 && !(typeof queries === 'number' && row >= queries);
  if (rows === undefined || (rows.length > 0 && rows.every(isOne))) return;
  throw new PerformerError('CONFIG', `${where}: expected rows from 0 to ${queries} − 1, got [${rows}].`);
}

/** x [batch, heads, length, ·] at the chosen positions. */
function takePositions(x: Tensor, rows: readonly number[] | undefined): Tensor {
  if (rows === undefined) return x;
  const indices = constant('int32', [rows.length], rows);
  return transpose(takeRows(transpose(x, [2, 0, 1, 3]), indices), [1, 2, 0, 3]);
}

/** log(eᵃ + eᵇ) */
function logAdd(a: Tensor, b: Tensor): Tensor {
  return add(maximum(a, b), softplus(negate(abs(subtract(a, b)))));
}

/** log Σ_f exp(aᵢf + bⱼf) of [..., rows, features] and [..., keys, features] → [..., rows, keys]. */
function logProducts(a: Tensor, b: Tensor): Tensor {
  const features = a.staticDim(-1);
  let total: Tensor | undefined;
  for (let start = 0; start < features; start += group) {
    const end = Math.min(features, start + group);
    const part = (x: Tensor, axis: number) => {
      const cut = slice(x, -1, start, end);
      return reshape(cut, [...cut.shape.slice(0, axis), 1, ...cut.shape.slice(axis)]);
    };
    const own = logSumExp(add(part(a, 3), part(b, 2)), -1); // [batch, heads, rows, keys]
    total = total === undefined ? own : logAdd(total, own);
  }
  return total as Tensor;
}

/** The logarithms by which keys have decayed when each query sees them, [batch, keyHeads, rows, keys]: those behind it mean nothing. */
function decayOf(logDecay: Tensor, rows: readonly number[] | undefined): Tensor {
  const soFar = cumulativeSum(transpose(logDecay, [0, 2, 1]), -1); // [batch, keyHeads, keys]
  const column = reshape(soFar, [...soFar.shape, 1]);
  return subtract(takePositions(column, rows), transpose(column, [0, 1, 3, 2]));
}

/** The matrix from products of features, with the guard of signed maps. */
function fromProducts(
  query: Features,
  key: Features,
  { visible, decay, isSigned }: { visible: Tensor<'bool'> | undefined; decay: Tensor; isSigned: boolean },
): Tensor {
  const products = matmul(query.values, key.values, { transposeRight: true }); // [batch, heads, rows, keys]
  const shape = products.shape;
  const seen = broadcastTo(visible ?? cast(scalar(1), 'bool'), shape);
  const { logScale } = key;
  const isOwn = logScale !== undefined && logScale.rank > 0;
  const scale = isOwn ? transpose(logScale, [0, 1, 3, 2]) : undefined; // [batch, heads, 1, keys]
  // The largest scale among the keys that a row sees cancels in the quotient.
  const scales = where(seen, broadcastTo(add(scale ?? scalar(0), decay), shape), scalar(maskedLogScale));
  const weight = where(seen, exp(subtract(scales, max(scales, -1, true))), scalar(0));
  const raw = multiply(products, weight);
  const denominator = sum(raw, -1, true);
  const isSeen = less(0, max(weight, -1, true));
  if (!isSigned) return where(isSeen, multiply(raw, reciprocal(where(isSeen, denominator, scalar(1)))), scalar(0));
  // The mass is the last feature of a guarded key.
  const mass = transpose(slice(key.values, -1, key.values.staticDim(-1) - 1), [0, 1, 3, 2]); // [batch, heads, 1, keys]
  const floor = sum(multiply(weight, mass), -1, true);
  return multiply(raw, reciprocal(guardDenominator(denominator, floor).guarded));
}

/**
 * The implicit attention matrix of a feature map. Where keys decay, with what is left of each when the query sees it.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for rows that are none of the queries and for the positions of one
 *   side alone.
 */
export function attentionMap(given: MapInputs, features: FeatureMap, options: AttentionMapOptions): Tensor {
  checkInputs('attentionMap', { ...given, value: given.key }, options.isCausal, options.isCausal);
  checkRows('attentionMap', given, options.rows);
  const full = withoutHidden({ ...given, value: given.key });
  const { value: _, ...inputs } = full;
  expectPositions('attentionMap', inputs, features);
  if (options.isCausal) refuseSequenceWide('attentionMap', features);
  const map = guarded(features);
  const position = positionsOf('attentionMap', full, map, swapHeads);
  const query = map.query(swapHeads(inputs.query), position.query);
  const group = groupOf(inputs.query, inputs.key);
  const mask = inputs.keyMask && reshape(inputs.keyMask, [inputs.key.dim(0), 1, inputs.key.dim(1), 1]);
  const key = map.key(swapHeads(inputs.key), position.key, mask);
  const visible = visibleKeys(inputs, options.isCausal, options.rows);
  const decay = inputs.logDecay === undefined ? scalar(0) : repeatHeads(decayOf(inputs.logDecay, options.rows), group);
  if (query.logFeatures !== undefined && key.logFeatures !== undefined) {
    const logKey = repeatHeads(key.logFeatures, group);
    const logWeights = logProducts(takePositions(query.logFeatures, options.rows), logKey);
    return visibleSoftmax(add(logWeights, decay), visible);
  }
  const chosen = { values: takePositions(query.values, options.rows) };
  const { logScale } = key;
  const repeated = {
    values: repeatHeads(key.values, group),
    ...(logScale === undefined ? {} : { logScale: logScale.rank === 0 ? logScale : repeatHeads(logScale, group) }),
  };
  return fromProducts(chosen, repeated, { visible, decay, isSigned: map.isSigned === true });
}

/** softmax(QKᵀ/√dim) of the chosen queries: [batch, heads, rows, keys]. Throws as `attentionMap`. */
export function exactAttentionMap(given: MapInputs, options: AttentionMapOptions): Tensor {
  checkInputs('exactAttentionMap', { ...given, value: given.key }, options.isCausal);
  checkRows('exactAttentionMap', given, options.rows);
  const inputs = withoutHidden({ ...given, value: given.key });
  const query = takePositions(swapHeads(inputs.query), options.rows);
  const key = repeatHeads(swapHeads(inputs.key), groupOf(inputs.query, inputs.key));
  const scores = matmul(query, key, { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  return visibleSoftmax(scores, visibleKeys(inputs, options.isCausal, options.rows));
}
