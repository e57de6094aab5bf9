/**
 * Muon (Jordan et al. 2024): a step of a matrix W [inputs, outputs] whose singular values are all about equally large.
 *
 *   B ← μB + G,   W ← W − rate·0.2·√max(inputs, outputs)·polar(G + μB)
 *
 * | letter | is |
 * |---|---|
 * | G | the gradient |
 * | B | the sum of the gradients so far, each a little less than the one after it |
 * | μ | the momentum |
 * | polar(M) | UVᵀ of the singular value decomposition M = UΣVᵀ: M with singular values of 1 |
 *
 * A gradient has a few large singular values and many small ones, so that a step along it moves the weights in few directions; this one
 * moves them in all. The factor is that of Liu et al. 2025 (arXiv 2502.16982, equation 4): it makes the root of the mean square of a
 * step 0.2·rate, which is about that of AdamW, so that one rate and one weight decay serve both.
 */
import {
  add,
  cast,
  divide,
  equal,
  matmul,
  multiply,
  range,
  reshape,
  sqrt,
  square,
  sum,
  type Tensor,
} from '../graph/index.js';

/** The polynomial of each iteration, as Jordan et al. have it: fast rather than exact, to singular values from 0.7 to 1.2. */
const [linear, cubic, quintic] = [3.4445, -4.775, 2.0315] as const;
const iterations = 5;

/** The smaller of XXᵀ and XᵀX: iterations by either lead to the same. */
function gramOf(x: Tensor, isTall: boolean): Tensor {
  return matmul(x, x, isTall ? { transposeLeft: true } : { transposeRight: true });
}

/** The polynomial of a Gram matrix G without its constant: the iteration is X ← (linear·I + this)X. */
function changeOf(gram: Tensor): Tensor {
  return add(multiply(gram, cubic), multiply(matmul(gram, gram), quintic));
}

function identity(size: number): Tensor {
  const places = range(size);
  return cast(equal(reshape(places, [size, 1]), places), 'float32');
}

/** One iteration after another. */
function iterated(matrix: Tensor, isTall: boolean): Tensor {
  let x = matrix;
  for (let index = 0; index < iterations; index++) {
    const change = changeOf(gramOf(x, isTall));
    x = add(multiply(x, linear), isTall ? matmul(x, change) : matmul(change, x));
  }
  return x;
}

/**
 * The same for a matrix that is much longer one way, with little more than half of the operations: with P_k = linear·I + change_k all
 * iterations are X ← (P₅ ⋯ P₁)X, and G ← P G P, as powers of G commute.
 */
function iteratedByGram(matrix: Tensor, isTall: boolean): Tensor {
  let gram = gramOf(matrix, isTall);
  const times = (change: Tensor, x: Tensor) => add(multiply(x, linear), matmul(change, x));
  let change = changeOf(gram);
  let product = add(change, multiply(identity(gram.staticDim(0)), linear)); // P₁
  for (let index = 1; index < iterations; index++) {
    gram = times(change, times(change, gram));
    change = changeOf(gram);
    product = times(change, product);
  }
  return isTall ? matmul(matrix, product) : matmul(product, matrix);
}

/** polar(M) of M [rows, columns], by Newton–Schulz iterations: products of matrices alone. */
export function polarFactor(matrix: Tensor): Tensor {
  const [rows, columns] = [matrix.staticDim(0), matrix.staticDim(1)];
  // Singular values of at most 1 are where the iteration begins; a matrix of zeros stays one.
  const x = divide(matrix, add(sqrt(sum(square(matrix))), 1e-20));
  const isLong = Math.max(rows, columns) >= 2 * Math.min(rows, columns);
  return (isLong ? iteratedByGram : iterated)(x, rows > columns);
}

/** The factor of a step of a matrix of this shape, times the rate. */
export function stepScale(matrix: Tensor): number {
  return 0.2 * Math.sqrt(Math.max(matrix.staticDim(0), matrix.staticDim(1)));
}
