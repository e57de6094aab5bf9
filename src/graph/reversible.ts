/**
 * Reversible couplings (Gomez et al. 2017; Reformer, Kitaev et al. 2020, section 3): two streams, and steps each of which
 * adds a function of the one to the other,
 *
 *   (a, b) → (b, a + f(b)),
 *
 * so that the inputs of a step follow from its outputs: b is one of them, and a is the other less f(b). The gradient keeps
 * the last streams alone. On its way back it computes each step again, which gives both what the step began with and the
 * step's own intermediate values, as recomputation does (`recompute.ts`).
 */
import { leavesOf, mapTree } from '../base/tree.js';
import { pullback } from './gradient.js';
import { add, subtract, withGradient } from './ops/index.js';
import { differentiable, type Recomputable, type RecomputedInputs, waitFor } from './recompute.js';
import { scope, type Tensor } from './tensor.js';

/** A step as it was made: from b, which is `inputs.activations.x`, to what was added to a, the `output` of its result. */
export interface Coupling<A extends { readonly x: Tensor }, P> {
  readonly inputs: RecomputedInputs<A, P>;
  readonly result: Recomputable;
  /** The step again, for other values of its inputs. */
  readonly build: (inputs: RecomputedInputs<A, P>) => Recomputable;
}

/**
 * The sum of the last two streams, after steps that began with `x` as both. Its gradient keeps nothing of the steps but
 * their inputs beside x and what they share. What a step uses beside its inputs gets no gradient through the sum.
 */
export function reversedSum<A extends { readonly x: Tensor }, P>(
  x: Tensor,
  couplings: readonly Coupling<A, P>[],
  [first, second]: readonly [Tensor, Tensor],
): Tensor {
  const own = new Set(couplings.flatMap(({ inputs, result }) => [inputs.activations.x, ...sharedOf(result)]));
  const leaves = new Set(couplings.flatMap(({ inputs }) => differentiable(inputs)).filter((leaf) => !own.has(leaf)));
  const given = [x, ...leaves].filter((leaf, at, all) => all.indexOf(leaf) === at);
  const [sum] = withGradient(given, [add(first, second)], ([g]) => {
    const found = scope('reversed', () => walkBack(x, couplings, [first, second], g!));
    return given.map((leaf) => found.get(leaf));
  });
  return sum!;
}

/** The gradients of what the steps began with, given that of the sum. */
function walkBack<A extends { readonly x: Tensor }, P>(
  x: Tensor,
  couplings: readonly Coupling<A, P>[],
  last: readonly [Tensor, Tensor],
  g: Tensor,
): ReadonlyMap<Tensor, Tensor> {
  const found = new Map<Tensor, Tensor>();
  const collect = (leaf: Tensor, part: Tensor | undefined) => {
    const before = found.get(leaf);
    if (part !== undefined) found.set(leaf, before === undefined ? part : add(before, part));
  };
  let [first, second] = last;
  let [firstGradient, secondGradient] = [g, g];
  for (const { inputs, result, build } of [...couplings].reverse()) {
    const { params } = inputs;
    const { x: stream, ...others } = inputs.activations;
    const waiting = (leaf: Tensor) => waitFor(secondGradient, leaf);
    const activations = { x: waiting(first), ...mapTree(others, waiting) } as unknown as A;
    const again = build({ activations, params });
    const shared = sharedOf(again);
    const pairs = sharedOf(result).map((leaf, at) => [shared[at]!, found.get(leaf)] as const);
    const results = [[again.output, secondGradient] as const, ...pairs];
    const isKnown = (pair: (typeof results)[number]): pair is readonly [Tensor, Tensor] => pair[1] !== undefined;
    const parts = pullback(results.filter(isKnown), differentiable({ activations, params }));
    let before = firstGradient;
    differentiable(inputs).forEach((leaf, at) => {
      if (leaf !== stream) collect(leaf, parts[at]);
      else if (parts[at] !== undefined) before = add(before, parts[at]);
    });
    [first, second] = [subtract(second, again.output), first];
    [firstGradient, secondGradient] = [secondGradient, before];
  }
  collect(x, add(firstGradient, secondGradient));
  return found;
}

function sharedOf({ shared }: Recomputable): readonly Tensor[] {
  return leavesOf<unknown, Tensor>(shared).map(([, leaf]) => leaf);
}
