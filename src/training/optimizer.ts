/**
 * AdamW (Loshchilov & Hutter 2019), and Muon (muon.ts) for the matrices of blocks, with clipping of the global norm (Pascanu et al.
 * 2013).
 */
import { type HostTensor, zeros } from '../base/array.js';
import { type Leaf, leavesOf, type MapLeaves, mapTree, zipTrees } from '../base/tree.js';
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
import { isBlockMatrix } from './block-matrices.js';
import { polarFactor, stepScale } from './muon.js';

/** The decays of AdamW and of Muon, the clipping of gradients, and weight decay. */
export interface OptimizerConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Muon: decay of the sum of the gradients. */
  readonly momentum: number;
  /** Decay of the weights per step, times the learning rate; none on vectors (norms and biases). */
  readonly weightDecay: number;
  /** The largest global norm of the gradient; Infinity for none. */
  readonly clipNorm: number;
}

/** As trainings have it unless told otherwise. */
export const defaultOptimizer: OptimizerConfig = {
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  momentum: 0.95,
  weightDecay: 0.1,
  clipNorm: 1,
};

/** Which optimizer a training has: AdamW for all that is learned, or Muon for the matrices of blocks and AdamW for the rest. */
export type OptimizerName = 'adamw' | 'muon';

/** What is kept of the gradients, in the form of the parameters: their running mean (of Muon a sum), and that of their squares. */
export interface Moments<P> {
  readonly firstMoment: P;
  /** Without the matrices that Muon steps, which need none. */
  readonly secondMoment: P;
}

/** The moments of parameters: leaves like theirs, where they have some. */
export function momentsLike<P>(params: P, optimizer: OptimizerName): Moments<P> {
  const ofAdamW = (leaf: Leaf, path: string) => (isBlockMatrix(path) ? undefined : leaf);
  return { firstMoment: params, secondMoment: optimizer === 'muon' ? (mapTree(params, ofAdamW) as P) : params };
}

/** Moments of zeros. */
export function initMoments<P>(params: P, optimizer: OptimizerName = 'adamw'): Moments<MapLeaves<P, HostTensor>> {
  const zerosLike = (tree: P) => mapTree(tree, ({ shape }: HostTensor) => zeros('float32', shape));
  const { firstMoment, secondMoment } = momentsLike(params, optimizer);
  return { firstMoment: zerosLike(firstMoment), secondMoment: zerosLike(secondMoment) };
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

/** The scalars of an update that all its leaves share. */
interface SharedScalars {
  readonly learningRate: Tensor;
  /** What gradients are multiplied by; absent where they are not clipped. */
  readonly clip: Tensor | undefined;
  /** What the weights of matrices are multiplied by. */
  readonly keep: Tensor | undefined;
  /** AdamW: lr·√(1−β₂ᵗ)/(1−β₁ᵗ) and ε·√(1−β₂ᵗ), both bias corrections in two scalars. */
  readonly rate: Tensor;
  readonly floor: Tensor;
}

/** A leaf with what an update makes of it. */
interface UpdatedLeaf {
  readonly params: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment?: Tensor | undefined;
}

/** Vectors (norms and biases) do not decay. */
function decayed(weights: Tensor, keep: Tensor | undefined): Tensor {
  return keep === undefined || weights.rank < 2 ? weights : multiply(weights, keep);
}

function clipped(gradient: Tensor, clip: Tensor | undefined): Tensor {
  return clip === undefined ? gradient : multiply(gradient, clip);
}

/** p ← p − rate·m/(√v + floor) */
function updateByAdamW(
  leaf: readonly [weights: Tensor, gradient: Tensor, mean: Tensor, meanSquare: Tensor],
  { clip, keep, rate, floor }: SharedScalars,
  { beta1, beta2 }: OptimizerConfig,
): UpdatedLeaf {
  const [params, firstMoment, secondMoment] = inBlocks(leaf, ([weights, raw, mean, meanSquare]) => {
    const gradient = clipped(raw, clip);
    const first = add(multiply(mean, beta1), multiply(gradient, 1 - beta1));
    const second = add(multiply(meanSquare, beta2), multiply(square(gradient), 1 - beta2));
    const step = divide(multiply(first, rate), add(sqrt(second), floor));
    return [subtract(decayed(weights, keep), step), first, second];
  }) as [Tensor, Tensor, Tensor];
  return { params, firstMoment, secondMoment };
}

/** See muon.ts. */
function updateByMuon(
  [weights, raw, sumSoFar]: readonly [weights: Tensor, gradient: Tensor, sumSoFar: Tensor],
  { learningRate, clip, keep }: SharedScalars,
  { momentum }: OptimizerConfig,
): UpdatedLeaf {
  const [firstMoment, ahead] = inBlocks([raw, sumSoFar], ([own, before]) => {
    const gradient = clipped(own!, clip);
    const after = add(multiply(before!, momentum), gradient);
    return [after, add(gradient, multiply(after, momentum))];
  }) as [Tensor, Tensor];
  const rate = multiply(learningRate, stepScale(weights));
  const [params] = inBlocks([weights, polarFactor(ahead)], ([own, direction]) => [
    subtract(decayed(own!, keep), multiply(direction!, rate)),
  ]) as [Tensor];
  return { params, firstMoment };
}

/** One step: the next parameters and moments. What has no second moment is a matrix that Muon steps. */
export function updateParams<P>(
  params: P,
  gradients: P,
  moments: Moments<P>,
  { learningRate, update }: UpdateInputs,
  optimizer: OptimizerConfig = defaultOptimizer,
): Updated<P> {
  const { beta1, beta2, epsilon, weightDecay, clipNorm } = optimizer;
  return scope('optimizer', () => {
    const gradientNorm = globalNorm(leavesOf<P, Tensor>(gradients).map(([, leaf]) => leaf));
    const correction = sqrt(subtract(1, power(scalar(beta2), update)));
    const scalars: SharedScalars = {
      learningRate,
      clip: clipNorm === Infinity ? undefined : minimum(divide(clipNorm, add(gradientNorm, 1e-12)), 1),
      keep: weightDecay > 0 ? subtract(1, multiply(learningRate, weightDecay)) : undefined,
      rate: divide(multiply(learningRate, correction), subtract(1, power(scalar(beta1), update))),
      floor: multiply(correction, epsilon),
    };
    const secondMoments = new Map(leavesOf<P, Tensor>(moments.secondMoment));
    const leaves = new Map<string, UpdatedLeaf>();
    zipTrees<P, void, Tensor>([params, gradients, moments.firstMoment], (found, path) => {
      const own = found as readonly [weights: Tensor, gradient: Tensor, firstMoment: Tensor];
      const second = secondMoments.get(path);
      const updated =
        second === undefined
          ? updateByMuon(own, scalars, optimizer)
          : updateByAdamW([...own, second], scalars, optimizer);
      leaves.set(path, updated);
    });
    const treeOf = (part: keyof UpdatedLeaf) => mapTree(params, (_: Tensor, path) => leaves.get(path)![part]) as P;
    return {
      params: treeOf('params'),
      moments: { firstMoment: treeOf('firstMoment'), secondMoment: treeOf('secondMoment') },
      gradientNorm,
    };
  });
}
