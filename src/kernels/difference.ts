/**
 * Kernels of the difference, for γ > 0:
 *
 *   Gaussian    exp(−γ|x − y|²)    = e^{−γ|x|²}·exp(2γ x·y)·e^{−γ|y|²}, of which the middle has a Taylor expansion
 *   Laplacian   exp(−γ|x − y|₁)
 *
 * The distance of the Gaussian comes from one product, |x|² + |y|² − 2x·y, taken as 0 where rounding makes it negative.
 * The Laplacian has no such form: its matrix needs n·m·dim numbers on the way.
 */
import { PerformerError } from '../base/errors.js';
import {
  abs,
  add,
  broadcastTo,
  exp,
  matmul,
  maximum,
  multiply,
  reshape,
  scalar,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { exponentialSeries } from './dot-product.js';
import { asRow, expectPositive, type Kernel, squaredNorms } from './kernel.js';
import { taylorExpansion } from './taylor.js';
import { dotProduct, type Vector } from './vector.js';

function ones(x: Tensor): Tensor {
  return broadcastTo(scalar(1), [...x.shape.slice(0, -1), 1]);
}

/** Throws CONFIG unless gamma was given and is above 0. */
function expectGamma(where: string, gamma: number | undefined): void {
  expectPositive(where, 'gamma', gamma ?? Number.NaN);
}

/** The width of a kernel of the difference x − y. */
export interface DifferenceOptions {
  /** γ > 0 */
  readonly gamma: number;
}

/** exp(−γ|x − y|²). Throws CONFIG unless γ > 0. */
export function gaussianKernel({ gamma }: DifferenceOptions): Kernel {
  expectGamma('gaussianKernel', gamma);
  const logMatrix = (x: Tensor, y: Tensor) => {
    const norms = add(squaredNorms(x), asRow(squaredNorms(y))); // [..., n, m]
    return multiply(maximum(subtract(norms, matmul(x, y, { transposeRight: true, scale: 2 })), 0), -gamma);
  };
  const root = Math.sqrt(2 * gamma);
  return {
    name: 'gaussian',
    isSigned: false,
    isShiftInvariant: true,
    evaluate: (x, y) => Math.exp(-gamma * distance(x, y, (difference) => difference * difference)),
    matrix: (x, y) => exp(logMatrix(x, y)),
    logMatrix,
    diagonal: ones,
    taylor: (degree) =>
      taylorExpansion(degree, exponentialSeries, {
        host: (x) => ({
          vector: Array.from(x, (value) => value * root),
          factor: Math.exp(-gamma * dotProduct(x, x)),
        }),
        graph: (x) => ({ rows: multiply(x, root), factor: exp(multiply(squaredNorms(x), -gamma)) }),
      }),
  };
}

/** exp(−γ Σᵢ|xᵢ − yᵢ|). Throws CONFIG unless γ > 0. */
export function laplacianKernel({ gamma }: DifferenceOptions): Kernel {
  expectGamma('laplacianKernel', gamma);
  const logMatrix = (x: Tensor, y: Tensor) => {
    const [rows, columns] = [x.dim(-2), y.dim(-2)];
    const dim = x.staticDim(-1);
    const left = reshape(x, [...x.shape.slice(0, -2), rows, 1, dim]);
    const right = reshape(y, [...y.shape.slice(0, -2), 1, columns, dim]);
    return multiply(sum(abs(subtract(left, right)), -1), -gamma); // [..., n, m]
  };
  return {
    name: 'laplacian',
    isSigned: false,
    isShiftInvariant: true,
    evaluate: (x, y) => Math.exp(-gamma * distance(x, y, Math.abs)),
    matrix: (x, y) => exp(logMatrix(x, y)),
    logMatrix,
    diagonal: ones,
  };
}

function distance(x: Vector, y: Vector, size: (difference: number) => number): number {
  if (x.length !== y.length) {
    throw new PerformerError('SHAPE', `kernel: expected vectors of one length, got ${x.length} and ${y.length}.`);
  }
  let total = 0;
  for (let i = 0; i < x.length; i++) total += size((x[i] as number) - (y[i] as number));
  return total;
}
