/** The error of kernel estimates, measured over draws: beside `kernelError`, and for maps without a closed form. */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { sameShape } from '../base/shape.js';
import type { Engine } from '../engine/index.js';
import { multiply, reshape, specsOf, sum, type Tensor } from '../graph/index.js';
import { explicitFeatures } from './feature-map.js';
import type { FeatureMapParts, FeatureShape } from './parts.js';
import { expectCounts } from './projection.js';
import { drawFeatureParts, type FeatureMapOptions, featureMap } from './registry.js';

/** Estimates of a kernel over many draws of a projection. */
export interface MeasuredKernelError {
  /** The mean of the estimates of each pair, and its mean squared error against `kernel`: [pairs] */
  readonly mean: Float64Array;
  readonly meanSquaredError: Float64Array;
}

/**
 * Estimates K(xᵢ, yᵢ) of pairs of rows [pairs, dim] with `draws` projections. `kernel` [pairs] is what they are held against.
 *
 * @throws SHAPE unless the rows and the kernel fit together; CONFIG for options that do not fit or draws below 1.
 */
export async function measureKernelError(
  engine: Engine,
  options: FeatureMapOptions,
  { x, y, kernel }: { readonly x: HostTensor; readonly y: HostTensor; readonly kernel: ArrayLike<number> },
  {
    draws,
    seed = 0,
    shape,
  }: { readonly draws: number; readonly seed?: number; readonly shape?: FeatureShape<HostTensor> },
): Promise<MeasuredKernelError> {
  const [pairs = 0, dim = 0] = x.shape;
  if (x.shape.length !== 2 || !sameShape(x.shape, y.shape) || dim !== options.headDim || kernel.length !== pairs) {
    throw new PerformerError(
      'SHAPE',
      `measureKernelError: expected x and y [pairs, ${options.headDim}] and a kernel of each, got [${x.shape}], [${y.shape}] and ${kernel.length}.`,
    );
  }
  expectCounts('measureKernelError', { draws });
  const random = Random.fromSeed(seed);
  const drawn = (draw: number) => {
    const parts = drawFeatureParts(options, 1, random.split(draw));
    return parts.shape === undefined || shape === undefined ? parts : { ...parts, shape };
  };
  const compiled = await engine.compile(
    (rows: { x: Tensor; y: Tensor }, parts: FeatureMapParts) => {
      const map = featureMap(options, parts);
      const byHead = (row: Tensor) => reshape(row, [1, pairs, dim]);
      const left = explicitFeatures(map.query(byHead(rows.x)));
      return { estimates: sum(multiply(left, explicitFeatures(map.key(byHead(rows.y)))), [0, -1]) }; // [pairs]
    },
    [specsOf({ x, y }), specsOf(drawn(0))],
  );
  const [mean, meanSquaredError] = [new Float64Array(pairs), new Float64Array(pairs)];
  try {
    for (let draw = 0; draw < draws; draw++) {
      const { estimates } = await compiled.run([{ x, y }, drawn(draw)]);
      for (let at = 0; at < pairs; at++) {
        const estimate = Number(estimates.data[at]);
        mean[at] = (mean[at] as number) + estimate / draws;
        meanSquaredError[at] = (meanSquaredError[at] as number) + (estimate - (kernel[at] as number)) ** 2 / draws;
      }
    }
  } finally {
    await compiled.dispose();
  }
  return { mean, meanSquaredError };
}
