/**
 * From the moments of queries and keys to the shape of features that suit them (see `shaped.ts`), on the host.
 *
 * With M₁ = E[qqᵀ], M₂ = E[kkᵀ], μ₁, μ₂ the means, all of x scaled by dim^(−1/4), the variance of the logarithm's
 * weight is least for a(λ) = (1 − 2λ − √((2λ + 1)² + 8λ))/16 ≤ 0 and
 *
 *   OPRF    T = I, λ = E|q + k|²/dim
 *   SDERF   M₁ + M₂ + μ₁μ₂ᵀ + μ₂μ₁ᵀ = QΛQᵀ:  T = Qᵀ, λ_l = Λ_l
 *   ADERF   Mᵢ = QᵢΛᵢQᵢᵀ,  Λ₁^½Q₁ᵀQ₂Λ₂^½ = UΣVᵀ:  T_q = Σ^½UᵀΛ₁^−½Q₁ᵀ,  T_k = Σ^−½UᵀΛ₁^½Q₁ᵀ,  λ = 2(tr Σ + μ₁ᵀμ₂)/dim
 */
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix';
import { float32, type HostTensor } from '../base/array.js';
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { BufferSpec } from '../base/layout.js';
import {
  broadcastTo,
  cast,
  divide,
  matmul,
  maximum,
  multiply,
  reshape,
  scalar,
  sum,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { attentionScale } from './gauge.js';
import type { FeatureShape, ShapeMethod } from './parts.js';

/** The first two moments of rows x scaled by dim^(−1/4), for each head. */
export interface RowMoments<T = Tensor> {
  /** E[x], [heads, dim] */
  readonly mean: T;
  /** E[xxᵀ], [heads, dim, dim] */
  readonly second: T;
}

/** The moments of queries and of keys, from which a shape is computed. */
export interface FeatureMoments<T = Tensor> {
  readonly query: RowMoments<T>;
  readonly key: RowMoments<T>;
}

/** Moments of x [batch, length, heads, dim], over the rows that `mask` [batch, length] shows. */
export function rowMoments(x: Tensor, mask?: Tensor<'bool'>): RowMoments {
  const [batch, length] = x.shape as [Dim, Dim];
  const weight = mask === undefined ? broadcastTo(scalar(1), [batch, length]) : cast(mask, 'float32');
  const total = maximum(sum(weight), 1);
  const scaled = multiply(x, attentionScale(x));
  const shown = mask === undefined ? scaled : where(reshape(mask, [batch, length, 1, 1]), scaled, scalar(0));
  const byHead = transpose(shown, [0, 2, 1, 3]); // [batch, heads, length, dim]
  return {
    mean: divide(sum(shown, [0, 1]), total), // [heads, dim]
    second: divide(sum(matmul(byHead, byHead, { transposeLeft: true }), 0), total), // [heads, dim, dim]
  };
}

/** The layout of a shape, which begins neutral. */
export function shapeLayout(heads: number, dim: number): FeatureShape<BufferSpec> {
  const transform: BufferSpec = {
    dtype: 'float32',
    shape: [heads, dim, dim],
    draw: () => neutralShape(heads, dim).query,
  };
  const curvature: BufferSpec = {
    dtype: 'float32',
    shape: [heads, dim],
    draw: () => neutralShape(heads, dim).curvature,
  };
  return { query: transform, key: transform, curvature };
}

/** T = I and a = 0, for which shaped features are SM+. */
export function neutralShape(heads: number, dim: number): FeatureShape<HostTensor> {
  const identity = Matrix.eye(dim).to1DArray();
  const transform = () => float32([heads, dim, dim], Array.from({ length: heads }, () => identity).flat());
  return { query: transform(), key: transform(), curvature: float32([heads, dim], new Float32Array(heads * dim)) };
}

/** a(λ), from 0 at λ = 0 towards −∞. */
export function curvatureOf(lambda: number): number {
  const safe = Math.max(lambda, 0);
  return (1 - 2 * safe - Math.sqrt((2 * safe + 1) ** 2 + 8 * safe)) / 16;
}

interface HeadShape {
  readonly query: Matrix;
  readonly key: Matrix;
  readonly curvature: readonly number[];
}

interface HeadMoments {
  readonly dim: number;
  readonly queryMean: Matrix;
  readonly keyMean: Matrix;
  readonly query: Matrix;
  readonly key: Matrix;
}

const methods: Record<ShapeMethod, (moments: HeadMoments) => HeadShape> = {
  oprf: ({ dim, queryMean, keyMean, query, key }) => {
    const lambda = (query.trace() + key.trace() + 2 * queryMean.dot(keyMean)) / dim;
    const identity = Matrix.eye(dim);
    return { query: identity, key: identity, curvature: new Array<number>(dim).fill(curvatureOf(lambda)) };
  },
  sderf: ({ queryMean, keyMean, query, key }) => {
    const crossed = queryMean.mmul(keyMean.transpose());
    const total = Matrix.add(query, key).add(crossed).add(crossed.transpose());
    const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(total, { assumeSymmetric: true });
    const rotation = eigenvectorMatrix.transpose();
    return { query: rotation, key: rotation, curvature: realEigenvalues.map(curvatureOf) };
  },
  aderf: ({ dim, queryMean, keyMean, query, key }) => {
    const left = rootsOf(query);
    const right = rootsOf(key);
    const decomposition = new SingularValueDecomposition(left.root.mmul(right.root.transpose()));
    const values = decomposition.diagonal;
    const u = decomposition.leftSingularVectors.transpose();
    const scaled = (power: number, inner: Matrix) =>
      Matrix.diag(values.map((value) => Math.max(value, 1e-12) ** power))
        .mmul(u)
        .mmul(inner);
    const lambda = (2 * (values.reduce((a, b) => a + b, 0) + queryMean.dot(keyMean))) / dim;
    return {
      query: scaled(0.5, left.inverseRoot),
      key: scaled(-0.5, left.root),
      curvature: new Array<number>(dim).fill(curvatureOf(lambda)),
    };
  },
};

/** Λ^½Qᵀ and Λ^−½Qᵀ of QΛQᵀ; directions in which the rows hardly vary are given a little, so that both exist. */
function rootsOf(second: Matrix): { root: Matrix; inverseRoot: Matrix } {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(second, { assumeSymmetric: true });
  const least = 1e-4 * Math.max(...realEigenvalues, 1e-12);
  const power = (exponent: number) =>
    Matrix.diag(realEigenvalues.map((value) => Math.max(value, least) ** exponent)).mmul(eigenvectorMatrix.transpose());
  return { root: power(0.5), inverseRoot: power(-0.5) };
}

/**
 * The shape that suits queries and keys with these moments: T [heads, dim, dim] and a [heads, dim].
 *
 * @throws NUMERIC for moments that are not finite.
 */
export function shapeFromMoments(
  method: ShapeMethod,
  { query, key }: FeatureMoments<HostTensor>,
): FeatureShape<HostTensor> {
  const [heads, dim] = query.mean.shape as [number, number];
  for (const { data } of [query.mean, query.second, key.mean, key.second]) {
    if (!data.every(Number.isFinite)) {
      throw new PerformerError('NUMERIC', 'shapeFromMoments: expected finite moments, got NaN or infinity.');
    }
  }
  const numbers = ({ data }: HostTensor, head: number, size: number) =>
    Array.from(data.subarray(head * size, (head + 1) * size));
  const shapes = Array.from({ length: heads }, (_, head) =>
    methods[method]({
      dim,
      queryMean: Matrix.columnVector(numbers(query.mean, head, dim)),
      keyMean: Matrix.columnVector(numbers(key.mean, head, dim)),
      query: Matrix.from1DArray(dim, dim, numbers(query.second, head, dim * dim)),
      key: Matrix.from1DArray(dim, dim, numbers(key.second, head, dim * dim)),
    }),
  );
  const joined = (side: 'query' | 'key') =>
    float32(
      [heads, dim, dim],
      shapes.flatMap((shape) => shape[side].to1DArray()),
    );
  return {
    query: joined('query'),
    key: joined('key'),
    curvature: float32(
      [heads, dim],
      shapes.flatMap(({ curvature }) => curvature),
    ),
  };
}
