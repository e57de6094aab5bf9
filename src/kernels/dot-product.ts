/**
 * Kernels of the dot product, for z = scale·x·y (scale 1/√dim unless given):
 *
 *   softmax      exp(z)               Taylor: aₖ = 1/k!,               |remainder| ≤ e^{max(0, z)}·|z|^{p+1}/(p+1)!
 *   polynomial   (z + offset)^degree  aₖ = C(degree, k)·offset^{degree−k}, nothing left from p = degree on; before that
 *                                     C(degree, p+1)·max(offset, |z + offset|)^{degree−p−1}·|z|^{p+1} (Lagrange)
 *   linear       z
 */
import { PerformerError } from '../base/errors.js';
import { add, exp, matmul, multiply, type Tensor } from '../graph/index.js';
import { expectPositive, type Kernel, type ScaleOptions, squaredNorms } from './kernel.js';
import { type Preparation, type Series, taylorExpansion } from './taylor.js';
import { dotProduct, type Vector } from './vector.js';

function scaleFor(dim: number, scale: number | undefined): number {
  return scale ?? dim ** -0.5;
}

/** z of all pairs of rows. */
function products(x: Tensor, y: Tensor, scale: number | undefined): Tensor {
  return matmul(x, y, { transposeRight: true, scale: scaleFor(x.staticDim(-1), scale) });
}

/** x·√scale, without a factor. */
function scaled(scale: number | undefined): Preparation {
  return {
    host: (x: Vector) => {
      const root = Math.sqrt(scaleFor(x.length, scale));
      return { vector: Array.from(x, (value) => value * root), factor: 1 };
    },
    graph: (x) => ({ rows: multiply(x, Math.sqrt(scaleFor(x.staticDim(-1), scale))) }),
  };
}

/** exp(t) */
export const exponentialSeries: Series = {
  coefficient: (k) => Math.exp(-logFactorial(k)),
  remainder: (t, degree) =>
    t === 0 ? 0 : Math.exp(Math.max(0, t) + (degree + 1) * Math.log(Math.abs(t)) - logFactorial(degree + 1)),
};

function logFactorial(n: number): number {
  let total = 0;
  for (let i = 2; i <= n; i++) total += Math.log(i);
  return total;
}

/** exp(scale·x·y), the kernel of softmax attention. Throws CONFIG unless the scale is above 0. */
export function softmaxKernel({ scale }: ScaleOptions = {}): Kernel {
  expectPositive('softmaxKernel', 'scale', scale);
  const logMatrix = (x: Tensor, y: Tensor) => products(x, y, scale);
  return {
    name: 'softmax',
    isSigned: false,
    evaluate: (x, y) => Math.exp(scaleFor(x.length, scale) * dotProduct(x, y)),
    matrix: (x, y) => exp(logMatrix(x, y)),
    logMatrix,
    diagonal: (x) => exp(multiply(squaredNorms(x), scaleFor(x.staticDim(-1), scale))),
    taylor: (degree) => taylorExpansion(degree, exponentialSeries, scaled(scale)),
  };
}

/** The polynomial (scale·x·y + offset)^degree. */
export interface PolynomialKernelOptions extends ScaleOptions {
  /** An integer of 1 or more. */
  readonly degree: number;
  /** Added to the product, 0 or more; 1 unless given. */
  readonly offset?: number;
}

/** x^n by products, for tensors. */
function integerPower(x: Tensor, exponent: number): Tensor {
  if (exponent === 1) return x;
  const half = integerPower(x, Math.floor(exponent / 2));
  const squared = multiply(half, half);
  return exponent % 2 === 0 ? squared : multiply(squared, x);
}

function binomialSeries(power: number, offset: number): Series {
  const choose = (k: number) => {
    let result = k > power ? 0 : 1;
    for (let i = 1; i <= k && i <= power; i++) result = (result * (power - i + 1)) / i;
    return result;
  };
  return {
    coefficient: (k) => (k > power ? 0 : choose(k) * offset ** (power - k)),
    remainder: (t, degree) =>
      degree >= power
        ? 0
        : choose(degree + 1) *
          Math.max(offset, Math.abs(t + offset)) ** (power - degree - 1) *
          Math.abs(t) ** (degree + 1),
  };
}

/** (scale·x·y + offset)^degree. Throws CONFIG for a degree, offset or scale out of range. */
export function polynomialKernel({ degree, offset = 1, scale }: PolynomialKernelOptions): Kernel {
  expectPositive('polynomialKernel', 'scale', scale);
  if (!Number.isSafeInteger(degree) || degree < 1) {
    throw new PerformerError('CONFIG', `polynomialKernel: expected a degree of 1 or more, got ${degree}.`);
  }
  if (!(offset >= 0 && offset < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `polynomialKernel: expected an offset of 0 or more, got ${offset}.`);
  }
  const raised = (z: Tensor) => integerPower(offset === 0 ? z : add(z, offset), degree);
  return {
    name: 'polynomial',
    isSigned: true, // zero is reached by even degrees too
    evaluate: (x, y) => (scaleFor(x.length, scale) * dotProduct(x, y) + offset) ** degree,
    matrix: (x, y) => raised(products(x, y, scale)),
    diagonal: (x) => raised(multiply(squaredNorms(x), scaleFor(x.staticDim(-1), scale))),
    taylor: (order) => taylorExpansion(order, binomialSeries(degree, offset), scaled(scale)),
  };
}

/** scale·x·y. */
export function linearKernel(options: ScaleOptions = {}): Kernel {
  return { ...polynomialKernel({ degree: 1, offset: 0, ...options }), name: 'linear' };
}
