/** φ of a machine, over rows that are standardised: the map of its kernel with its projection. */
import type { HostTensor } from '../base/array.js';
import { Random } from '../base/random.js';
import {
  drawFeatureParts,
  explicitFeatures,
  type FeatureMap,
  type FeatureMapOptions,
  featureMap,
  bufferParts,
  hyperbolicFeatures,
  positiveFeatures,
  trigonometricFeatures,
} from '../features/index.js';
import type { Tensor, TensorSpec } from '../graph/index.js';
import { type MachineConfig, mapOptions } from './config.js';

export interface MachineFeatures {
  readonly dim: number;
  readonly featureCount: number;
  /** Ω, or the signs of the polynomial map; absent for maps without random features. */
  readonly projection: HostTensor<'float32'> | undefined;
  /** The projection as the argument of a graph. */
  readonly parts: { readonly projection?: HostTensor<'float32'> };
  /** [rows, dim] → [rows, features] */
  apply(x: Tensor, projection: Tensor | undefined): Tensor;
}

const gaussianMaps = {
  trigonometric: trigonometricFeatures,
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
): { readonly featureCount: number; readonly projection: HostTensor<'float32'> | undefined } {
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
  projection: HostTensor<'float32'> | undefined,
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
