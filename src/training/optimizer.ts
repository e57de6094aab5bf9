/** AdamW (Loshchilov & Hutter 2019) with clipping of the global norm (Pascanu et al. 2013). */
import { type HostTensor, zeros } from '../base/array.js';
import { flattenTree, leavesOf, type MapLeaves, mapTree, zipTrees } from '../base/tree.js';
import {
  add,
  divide,
  inBlocks,
  minimum,
  multiply,
  power,
  scalar,
  scope,
  sqrt,
  square,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';

/** AdamW (Loshchilov & Hutter 2019): decays, the clipping of gradients, and weight decay. */
export interface OptimizerConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decay of the weights per step, times the learning rate; none on vectors (norms and biases). */
  readonly weightDecay: number;
  /** The largest global norm of the gradient; Infinity for none. */
  readonly clipNorm: number;
}

/** AdamW as trainings have it unless told otherwise. */
export const defaultOptimizer: OptimizerConfig = {
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clipNorm: 1,
};

/** The running means of the gradient and of its square, shaped as the parameters. */
export interface Moments<P> {
  readonly firstMoment: P;
  readonly secondMoment: P;
}

/** Moments of zeros, in the form of the parameters. */
export function initMoments<P>(params: P): Moments<MapLeaves<P, HostTensor>> {
  const empty = () => mapTree(params, ({ shape }: HostTensor) => zeros('float32', shape));
  return { firstMoment: empty(), secondMoment: empty() };
}

/** Scalars that change from update to update. */
export interface UpdateInputs {
  /** float32 scalar */
  readonly learningRate: Tensor;
  /** The number of this update, from 1: float32 scalar. */
  readonly update: Tensor;
}

/** What an update gives. */
export interface Updated<P> {
  readonly params: P;
  readonly moments: Moments<P>;
  /** The global norm of the gradient before clipping. */
  readonly gradientNorm: Tensor;
}

function globalNorm(gradients: readonly Tensor[]): Tensor {
  return sqrt(gradients.map((gradient) => sum(square(gradient))).reduce((left, right) => add(left, right)));
}

/** One step of AdamW: the next parameters and moments. */
export function updateParams<P>(
  params: P,
  gradients: P,
  moments: Moments<P>,
  { learningRate, update }: UpdateInputs,
  { beta1, beta2, epsilon, weightDecay, clipNorm }: OptimizerConfig = defaultOptimizer,
): Updated<P> {
  return scope('optimizer', () => {
    const gradientNorm = globalNorm(leavesOf<P, Tensor>(gradients).map(([, leaf]) => leaf));
    const clip = clipNorm === Infinity ? undefined : minimum(divide(clipNorm, add(gradientNorm, 1e-12)), 1);
    // p ← p − rate·m/(√v + ε'), with both bias corrections in two scalars: rate = lr·√(1−β₂ᵗ)/(1−β₁ᵗ), ε' = ε·√(1−β₂ᵗ).
    const correction = sqrt(subtract(1, power(scalar(beta2), update)));
    const rate = divide(multiply(learningRate, correction), subtract(1, power(scalar(beta1), update)));
    const floor = multiply(correction, epsilon);
    const keep = subtract(1, multiply(learningRate, weightDecay));
    const parts: { readonly params: Tensor[]; readonly first: Tensor[]; readonly second: Tensor[] } = {
      params: [],
      first: [],
      second: [],
    };
    zipTrees<P, void, Tensor>([params, gradients, moments.firstMoment, moments.secondMoment], (leaves) => {
      const tensors = leaves as readonly [param: Tensor, gradient: Tensor, first: Tensor, second: Tensor];
      const decay = weightDecay > 0 && tensors[0].rank > 1;
      const updated = inBlocks(tensors, ([weights, raw, mean, meanSquare]) => {
        const gradient = clip === undefined ? raw : multiply(raw, clip);
        const first = add(multiply(mean, beta1), multiply(gradient, 1 - beta1));
        const second = add(multiply(meanSquare, beta2), multiply(square(gradient), 1 - beta2));
        const step = divide(multiply(first, rate), add(sqrt(second), floor));
        return [subtract(decay ? multiply(weights, keep) : weights, step), first, second];
      });
      parts.params.push(updated[0]!);
      parts.first.push(updated[1]!);
      parts.second.push(updated[2]!);
    });
    const { restore } = flattenTree(params);
    const treeOf = (leaves: readonly Tensor[]) => restore(leaves) as P;
    return {
      params: treeOf(parts.params),
      moments: { firstMoment: treeOf(parts.first), secondMoment: treeOf(parts.second) },
      gradientNorm,
    };
  });
}
