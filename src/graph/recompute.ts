/**
 * Recomputation (gradient checkpointing; Griewank & Walther 2000, Chen et al. 2016): a composite whose intermediate
 * values are not kept for its gradient but computed again there.
 *
 * The gradient builds the function a second time, from copies of its inputs that wait for the incoming gradient. Waiting
 * is an addition of zero, where the zero is made from the gradient: so the engine runs the second computation no sooner
 * than the gradient is there, and its elimination of common subexpressions cannot merge it with the first.
 */
import { elementCount } from '../base/shape.js';
import { leavesOf, mapTree } from '../base/tree.js';
import { pullback } from './gradient.js';
import { add, cast, less, reshape, slice, withGradient } from './ops/index.js';
import { scope, type Tensor } from './tensor.js';

/** What a part of a graph reads whose intermediate values are computed again for the gradient. */
export interface RecomputedInputs<A, P> {
  /** What the intermediate values are computed from, each tensor of which waits: activations, and keys of dropout. */
  readonly activations: A;
  /** What is at hand all the time and gets gradients too. */
  readonly params: P;
}

/**
 * `build(inputs)`, of which `output` keeps nothing but its inputs for its gradient. The rest of the result is what it
 * would be without, its gradient included. What `build` uses beside its inputs gets no gradient through `output`.
 */
export function recomputed<A, P, R extends { readonly output: Tensor }>(
  inputs: RecomputedInputs<A, P>,
  build: (inputs: RecomputedInputs<A, P>) => R,
): R {
  const result = build(inputs);
  const given = differentiable(inputs);
  const [output] = withGradient(given, [result.output], ([g]) =>
    scope('recomputed', () => {
      const activations = mapTree(inputs.activations, (leaf: Tensor) => waitFor(g!, leaf)) as A;
      const again = { activations, params: inputs.params };
      return pullback([[build(again).output, g!]], differentiable(again));
    }),
  );
  return { ...result, output: output! };
}

function differentiable(inputs: unknown): Tensor[] {
  const leaves = leavesOf<unknown, Tensor>(inputs).map(([, leaf]) => leaf);
  return leaves.filter(({ dtype }) => dtype === 'float32');
}

/** x, but not before g is there. */
function waitFor(g: Tensor, x: Tensor): Tensor {
  const first = reshape(slice(reshape(g, [elementCount(g.shape)]), 0, 0, 1), []);
  // Nothing is less than −∞, NaN included; the engine does not know that and cannot fold it.
  const zero = cast(less(first, Number.NEGATIVE_INFINITY), x.dtype);
  return add(x, zero);
}
