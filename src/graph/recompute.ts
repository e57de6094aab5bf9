/**
 * Recomputation (gradient checkpointing; Griewank & Walther 2000, Chen et al. 2016): a composite whose intermediate
 * values are not kept for its gradient but computed again there.
 *
 * The gradient builds the function a second time, from copies of its inputs that wait for the incoming gradient. Waiting
 * is an addition of zero, where the zero is made from the gradient: so the engine runs the second computation no sooner
 * than the gradient is there, and its elimination of common subexpressions cannot merge it with the first.
 */
import { elementCount } from '../base/shape.js';
import { flattenTree, leavesOf, mapTree } from '../base/tree.js';
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

/** What such a part gives that others use. */
export interface Recomputable {
  readonly output: Tensor;
  /** Further float32 tensors that other parts use, if any. */
  readonly shared?: object | undefined;
}

/**
 * `build(inputs)`, of which `output` and what is `shared` keep nothing but the inputs for their gradient. The rest of the
 * result is what it would be without, its gradient included. What `build` uses beside its inputs gets no gradient through them.
 */
export function recomputed<A, P, R extends Recomputable>(
  inputs: RecomputedInputs<A, P>,
  build: (inputs: RecomputedInputs<A, P>) => R,
): R {
  const { output, shared, ...rest } = build(inputs);
  const { leaves, restore } = flattenTree<object>({ output, shared });
  const given = differentiable(inputs);
  const outputs = withGradient(given, leaves as readonly Tensor[], (gradients) =>
    scope('recomputed', () => {
      const first = gradients.find((g) => g !== undefined) as Tensor;
      const activations = mapTree(inputs.activations, (leaf: Tensor) => waitFor(first, leaf)) as A;
      const again = { activations, params: inputs.params };
      const result = build(again);
      const own = differentiable({ output: result.output, shared: result.shared });
      const known = own.flatMap((leaf, at) => (gradients[at] === undefined ? [] : [[leaf, gradients[at]] as const]));
      return pullback(known, differentiable(again));
    }),
  );
  return { ...rest, ...restore(outputs) } as R;
}

/** The leaves that have gradients, in the order of the keys. */
export function differentiable(inputs: unknown): readonly Tensor[] {
  const leaves = leavesOf<unknown, Tensor>(inputs).map(([, leaf]) => leaf);
  return leaves.filter(({ dtype }) => dtype === 'float32');
}

/** x, but not before g is there. */
export function waitFor(g: Tensor, x: Tensor): Tensor {
  const first = reshape(slice(reshape(g, [elementCount(g.shape)]), 0, 0, 1), []);
  // Nothing is less than −∞, NaN included; the engine does not know that and cannot fold it.
  const zero = cast(less(first, Number.NEGATIVE_INFINITY), x.dtype);
  return add(x, zero);
}
