/** φ of a machine, over rows that are standardised: the map of its kernel with its projection. */
import type { HostTensor } from '../base/array.js';
import { Random } from '../base/random.js';
import {
  bufferParts,
  drawFeatureParts,
  explicitFeatures,
  type FeatureMap,
  type FeatureMapOptions,
  featureMap,
  hyperbolicFeatures,
  positiveFeatures,
} from '../features/index.js';
import { concatenate, matmul, multiply, sin, square, type Tensor, type TensorSpec } from '../graph/index.js';
import { type MachineConfig, mapOptions } from './config.js';

export interface MachineFeatures {
  readonly dim: number;
  readonly featureCount: number;
  /** Ω, or the signs of the polynomial map; absent for maps without random features. */
  readonly projection: HostTensor | undefined;
  /** The projection as the argument of a graph. */
  readonly parts: { readonly projection?: HostTensor };
  /** [rows, dim] → [rows, features] */
  apply(x: Tensor, projection: Tensor | undefined): Tensor;
}

/**
 * Trigonometric features of the Gaussian kernel with cos u − 1 = −2 sin²(u/2) in the place of cos u. An intercept that is
 * not penalised takes up the constant, so that the machine is the same one; but where γ is small, u is, and float32 keeps
 * all digits of u² instead of those that 1 − u²/2 leaves.
 */
function centredTrigonometricFeatures(projection: Tensor, { gamma }: { readonly gamma: number }): FeatureMap {
  const count = projection.staticDim(0);
  const features = (x: Tensor) => {
    const u = matmul(x, projection, { transposeRight: true, scale: Math.sqrt(2 * gamma) }); // [rows, features/2]
    const falls = multiply(square(sin(multiply(u, 0.5))), -2);
    return { values: multiply(concatenate([sin(u), falls], -1), count ** -0.5) };
  };
  return { name: 'trigonometric', featureCount: 2 * count, isSigned: true, query: features, key: features };
}

const gaussianMaps = {
  trigonometric: centredTrigonometricFeatures,
  positive: positiveFeatures,
  hyperbolic: hyperbolicFeatures,
} as const;

export type FeatureChoice = Pick<
  MachineConfig,
  'kernel' | 'map' | 'projectionKind' | 'rowNorm' | 'gamma' | 'degree' | 'offset' | 'seed'
> & { readonly featureCount: number | undefined };

function build(options: FeatureMapOptions, gamma: number | undefined, projection: Tensor | undefined): FeatureMap {
  if (gamma !== undefined) return gaussianMaps[options.name as keyof typeof gaussianMaps](projection!, { gamma });
  return featureMap(options, projection === undefined ? {} : { projection });
}

/** The projection that a seed draws for a choice, over rows of a dim. Throws CONFIG for a choice that cannot be. */
export function drawMachineProjection(
  where: string,
  choice: FeatureChoice,
  dim: number,
): { readonly featureCount: number; readonly projection: HostTensor | undefined } {
  const options = mapOptions(where, choice, dim);
  const { projection } = drawFeatureParts(options, 1, Random.fromSeed(choice.seed).split('projection'));
  return { featureCount: options.featureCount, projection };
}

/** What `drawMachineProjection` draws, without its values. */
export function machineProjectionLayout(
  where: string,
  choice: FeatureChoice,
  dim: number,
): { readonly featureCount: number; readonly projection: TensorSpec | undefined } {
  const options = mapOptions(where, choice, dim);
  return { featureCount: options.featureCount, projection: bufferParts(options, 1).projection };
}

/** The features of a choice with a projection that was drawn. */
export function machineFeatures(
  where: string,
  choice: FeatureChoice,
  dim: number,
  projection: HostTensor | undefined,
): MachineFeatures {
  const options = mapOptions(where, choice, dim);
  return {
    dim,
    featureCount: options.featureCount,
    projection,
    parts: projection === undefined ? {} : { projection },
    apply: (x, drawn) => explicitFeatures(build(options, choice.gamma, drawn).query(x)),
  };
}
