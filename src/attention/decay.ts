/**
 * The gradient of decays, which needs no loop of its own.
 *
 * Query i weighs key j by e^{L_i − L_j}, L the sums of the logDecay so far, and a state after N tokens has e^{L_N − L_j} in it. So
 * L_i has the gradient of the scale of row i, less that of the scale of key i, and that of the scale of the state where i = N:
 *
 *   ∂L_i = [num, den]_i·G_i − ∂s_i;    ∂g_t = Σ_{i≥t} ∂L_i + sum·∂sum.
 */
import type { Dim } from '../base/dimension.js';
import { add, cumulativeSum, multiply, reshape, subtract, sum, type Tensor } from '../graph/index.js';
import type { TermGradients } from './terms.js';

/** What the gradient of a decay is made of. */
export interface DecayedSums {
  /** [batch, length, heads, ·] */
  readonly numerator: Tensor;
  readonly denominator: Tensor;
  readonly gradients: TermGradients;
  /** Of the scales of the keys, [batch, length, keyHeads, 1]. */
  readonly ofKeys: Tensor;
  /** The sum of the state after the last token and its gradient, [batch, keyHeads, features, dim + 1], if it has one. */
  readonly state: { readonly sum: Tensor; readonly gradient: Tensor } | undefined;
}

/** The gradient of logDecay [batch, length, keyHeads]. */
export function decayGradient({ numerator, denominator, gradients: g, ofKeys, state }: DecayedSums): Tensor {
  const [batch, length, heads] = ofKeys.shape as [Dim, Dim, Dim];
  const ofNumerator = sum(multiply(numerator, g.numerator), -1, true);
  const ofRows = add(ofNumerator, multiply(denominator, g.denominator)); // [batch, length, heads of queries, 1]
  const ofKeyHeads = reshape(sum(splitGroups(ofRows, heads), 3), [batch, length, heads]);
  const fromHere = cumulativeSum(subtract(ofKeyHeads, reshape(ofKeys, [batch, length, heads])), 1, { reverse: true });
  if (state === undefined) return fromHere;
  return add(fromHere, reshape(sum(multiply(state.sum, state.gradient), [2, 3]), [batch, 1, heads]));
}

/** [batch, length, heads, 1] → [batch, length, keyHeads, group] */
function splitGroups(x: Tensor, keyHeads: Dim): Tensor {
  const [batch, length, heads] = x.shape as [Dim, Dim, Dim];
  const group = heads === keyHeads ? 1 : x.staticDim(2) / (keyHeads as number);
  return reshape(x, [batch, length, keyHeads, group]);
}
