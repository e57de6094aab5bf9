/**
 * The kernels themselves, over all pairs of rows in a graph: [n, dim] and [m, dim] → [n, m]. For z = x·y/√dim,
 *
 *   gaussian    exp(−γ|x − y|²)      softmax   exp(z)      polynomial   (z + offset)^degree      linear   z
 */
import {
  add,
  exp,
  matmul,
  maximum,
  multiply,
  power,
  reshape,
  square,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';

export type PairKernel = (x: Tensor, y: Tensor) => Tensor;

const scaledProducts: PairKernel = (x, y) => matmul(x, y, { transposeRight: true, scale: x.staticDim(-1) ** -0.5 });

export function gaussianPairs(gamma: number): PairKernel {
  return (x, y) => {
    const norms = add(sum(square(x), -1, true), reshape(sum(square(y), -1, true), [1, y.dim(0)]));
    const distance = subtract(norms, matmul(x, y, { transposeRight: true, scale: 2 }));
    return exp(multiply(maximum(distance, 0), -gamma)); // rounding can make a distance negative
  };
}

export const softmaxPairs: PairKernel = (x, y) => exp(scaledProducts(x, y));

export function polynomialPairs(degree: number, offset: number): PairKernel {
  return (x, y) => power(add(scaledProducts(x, y), offset), degree);
}

export const linearPairs: PairKernel = scaledProducts;
