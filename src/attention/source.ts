/**
 * FAVOR+ on a source that is read once: what is kept of its keys and values has one size, whatever its length, and queries
 * read it as often as they come.
 *
 *   logScale_f = maxⱼ a_jf;   sum_f = Σⱼ e^{a_jf − logScale_f} [vⱼ, 1];   [num, den] = softmax(a_q + logScale)·sum
 *
 * with log-features a: the state of causal attention after the last key, and the same estimate as bidirectional attention,
 * which has the gradients. Keys [batch, source, heads, dim]; queries [batch, length, heads, dim].
 */
import type { Dtype } from '../base/array.js';
import { type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  scalar,
  slice,
  softmax,
  subtract,
  type Tensor,
  where,
} from '../graph/index.js';
import { guarded, massOfState } from './guard.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, positionsOf, swapHeads, withOnes, withoutHidden } from './layout.js';
import { type AttentionState, emptyLogScale, maskedLogScale, seesKeys } from './state.js';
import { divideTerms } from './terms.js';

/** The keys and values of a source. */
export type SourceInputs = Pick<AttentionInputs, 'key' | 'value' | 'keyMask' | 'keyPosition'>;

/** What is kept of a source. Throws CONFIG for features that depend on the whole sequence. */
export function sourceState(source: SourceInputs, features: FeatureMap): AttentionState {
  const inputs = withoutHidden({ ...source, query: source.key, queryPosition: source.keyPosition });
  const [batch, length, heads] = inputs.key.shape as [Dim, Dim, Dim];
  const map = guarded(features);
  const position = positionsOf('sourceState', inputs, map, swapHeads);
  const visible = source.keyMask && reshape(source.keyMask, [batch, 1, length, 1]);
  const key = map.key(swapHeads(inputs.key), position.key, visible);
  const scale = key.logFeatures ?? broadcastTo(key.logScale ?? scalar(0), [batch, heads, length, 1]);
  const own = visible === undefined ? scale : where(visible, scale, scalar(maskedLogScale)); // [batch, heads, source, ·]
  const top = maximum(max(own, 2, true), emptyLogScale);
  const relative = exp(subtract(own, top));
  const weight = key.logFeatures === undefined ? multiply(key.values, relative) : relative;
  return {
    sum: matmul(weight, withOnes(swapHeads(inputs.value)), { transposeLeft: true }),
    logScale: reshape(broadcastTo(top, [batch, heads, 1, map.featureCount]), [batch, heads, map.featureCount]),
  };
}

/** Every query reads what was kept: [batch, length, heads, valueDim]; zeros where nothing was. */
export function readSource(
  given: Pick<AttentionInputs, 'query' | 'queryPosition'>,
  features: FeatureMap,
  { sum, logScale }: AttentionState,
): Tensor {
  const map = guarded(features);
  const { query, queryPosition } = given;
  const [batch, length] = query.shape as [Dim, Dim];
  const heads = logScale.dim(1);
  const group = groupOf(query, reshape(logScale, [batch, 1, heads, map.featureCount]));
  const both = { query, key: query, value: query, queryPosition, keyPosition: queryPosition };
  const { values, logValues } = map.query(swapHeads(query), positionsOf('readSource', both, map, swapHeads).query);
  const kept = reshape(logScale, [batch, heads, 1, map.featureCount]);
  // [batch, keyHeads, group·length, features]
  const weight =
    logValues === undefined ? gatherHeads(values, group) : softmax(add(gatherHeads(logValues, group), kept));
  const weighted = matmul(weight, sum);
  const dim = sum.staticDim(-1) - 1;
  const own = <D extends Dtype>(x: Tensor<D>) => swapHeads(splitHeads(x, group, length)); // [batch, length, heads, ·]
  const ofRows = <D extends Dtype>(x: Tensor<D>) => own(broadcastTo(x, [batch, heads, multiplyDims(length, group), 1]));
  return divideTerms({
    numerator: own(slice(weighted, -1, 0, dim)),
    denominator: own(slice(weighted, -1, dim)),
    logScale: scalar(0),
    mass: map.isSigned ? ofRows(massOfState(sum)) : undefined,
    visible: ofRows(seesKeys(max(kept, -1, true))),
  });
}
