/**
 * Clusters of tokens by the direction of their keys: each key belongs to the centroid μ with the largest k·μ, and each query
 * asks the cluster whose centroid has the largest q·μ, which is where large scores are.
 *
 * Centroids are those of spherical k-means (Dhillon & Modha 2001) over keys alone. Roy et al. 2021 take the mean of queries and
 * keys, which then have to be shared, as they are in their causal models: where queries and keys are not, they lie apart, and
 * clusters of both hold queries without keys. A token's cluster depends on the token alone, so that nothing of the future does.
 */
import { float32 } from '../base/array.js';
import { type Dim, multiplyDims } from '../base/dimension.js';
import type { BufferSpec } from '../base/layout.js';
import type { Random } from '../base/random.js';
import {
  add,
  argMax,
  broadcastTo,
  cast,
  cumulativeSum,
  divide,
  equal,
  floor,
  less,
  matmul,
  maximum,
  multiply,
  oneHot,
  range,
  reshape,
  scalar,
  sqrt,
  square,
  sum,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { gatherHeads } from './heads.js';

/** Rounds of k-means at a measurement: most of what more would gain is gained by then. */
const rounds = 8;

/** What keeps a length above zero. */
const tiny = 1e-30;

function unit(x: Tensor): Tensor {
  return divide(x, sqrt(maximum(sum(square(x), -1, true), tiny)));
}

/** Centroids [keyHeads, clusters, dim] before they are measured: random directions. */
export function centroidLayout(keyHeads: number, clusters: number, dim: number): BufferSpec {
  const shape = [keyHeads, clusters, dim];
  const draw = (random: Random) => {
    const values = random.normals(keyHeads * clusters * dim);
    const lengths = Array.from({ length: keyHeads * clusters }, (_, row) =>
      Math.hypot(...values.subarray(row * dim, (row + 1) * dim)),
    );
    return float32(
      shape,
      Float32Array.from(values, (value, at) => value / lengths[Math.floor(at / dim)]!),
    );
  };
  return { dtype: 'float32', shape, draw };
}

/** The cluster of each row: x [batch, heads, rows, dim], centroids [keyHeads, clusters, dim] → [batch, heads, rows]. */
export function clusterOf(x: Tensor, centroids: Tensor): Tensor<'int64'> {
  const group = x.staticDim(1) / centroids.staticDim(0);
  const scores = matmul(gatherHeads(x, group), centroids, { transposeRight: true });
  return reshape(argMax(scores, -1), x.shape.slice(0, 3));
}

/** 1 where a row has the cluster: [batch, heads, rows, clusters]. */
export function membership(x: Tensor, centroids: Tensor): Tensor {
  return oneHot(clusterOf(x, centroids), centroids.staticDim(1));
}

/**
 * The centroids [keyHeads, clusters, dim] of keys [batch, length, keyHeads, dim] by k-means, of those that the mask
 * [batch, length] shows. It begins at keys that are evenly spaced; a cluster without keys stays where it is.
 */
export function measureCentroids(key: Tensor, mask: Tensor<'bool'> | undefined, clusters: number): Tensor {
  const [batch, length, heads, dim] = key.shape as [Dim, Dim, Dim, Dim];
  const count = multiplyDims(batch, length);
  const rows = unit(reshape(transpose(key, [2, 0, 1, 3]), [heads, count, dim]));
  const isReal = reshape(mask === undefined ? broadcastTo(scalar(1), [batch, length]) : cast(mask, 'float32'), [count]);
  const numbers = multiply(cumulativeSum(isReal, 0), isReal); // 1, 2, … of those that are shown
  const spaced = floor(divide(multiply(cast(range(clusters), 'float32'), sum(isReal)), clusters));
  const isSeed = cast(equal(numbers, reshape(add(spaced, 1), [clusters, 1])), 'float32'); // [clusters, count]
  let centroids = matmul(isSeed, rows);
  for (let round = 0; round < rounds; round++) {
    const nearest = oneHot(argMax(matmul(rows, centroids, { transposeRight: true }), -1), clusters);
    const members = multiply(nearest, reshape(isReal, [count, 1])); // [keyHeads, count, clusters]
    const hasSome = less(0, reshape(sum(members, 1), [heads, clusters, 1]));
    centroids = where(hasSome, unit(matmul(members, rows, { transposeLeft: true })), centroids);
  }
  return centroids;
}
