/**
 * What keeps denominators above zero where features may be small: ε added to each sum of the features of keys, Σⱼ φ(q)·φ(kⱼ) + ε Σ_f φ_f(q). That
 * is the term of one more key, which every query sees, whose features are all ε and whose value is zero.
 */
import type { FeatureMap } from '../features/index.js';
import { add, broadcastTo, logSumExp, multiply, scalar, sum, type Tensor } from '../graph/index.js';
import { type AttentionInputs, positionsOf, swapHeads, withoutHidden } from './layout.js';
import type { AttentionTerms } from './terms.js';

/** The term of that key, for queries [batch, queries, heads, dim]. */
export function normalizerTerm(given: AttentionInputs, map: FeatureMap, epsilon: number): AttentionTerms {
  const inputs = withoutHidden(given);
  const position = positionsOf('normalizerTerm', inputs, map, swapHeads);
  const query = map.query(swapHeads(inputs.query), position.query); // [batch, heads, queries, features]
  const { values, logScale = scalar(0), logFeatures } = query;
  const [batch, heads, queries] = values.shape;
  const shape = [batch!, heads!, queries!, 1];
  const term = (denominator: Tensor, scale: Tensor) => ({
    numerator: broadcastTo(scalar(0), inputs.query.shape),
    denominator: swapHeads(broadcastTo(denominator, shape)),
    logScale: swapHeads(broadcastTo(scale, shape)),
  });
  if (logFeatures === undefined) return term(multiply(sum(values, -1, true), epsilon), logScale);
  return term(scalar(1), add(logSumExp(logFeatures, -1, true), Math.log(epsilon)));
}
