/** Which classes are taken for which: a matrix of counts, and what is measured by it. */
import { argMax, constant, matmul, multiply, oneHot, reshape, type Tensor, transpose } from '../graph/index.js';
import type { Tally } from './f1.js';

/** The weight of the class of each row: [batch]. */
export function weightOf(hot: Tensor, weights: readonly number[]): Tensor {
  return reshape(matmul(hot, constant('float32', [weights.length, 1], weights)), [hot.dim(0)]);
}

/** How many of each class (row of the result) were taken for each (column): [classes, classes]. Rows of `weights` 0 count nothing. */
export function confusionOf(logits: Tensor, hot: Tensor, weights: Tensor): Tensor {
  const told = oneHot(argMax(logits, -1), hot.staticDim(-1)); // [batch, classes]
  const counted = multiply(hot, reshape(weights, [hot.dim(0), 1]));
  return matmul(transpose(counted, [1, 0]), told);
}

/** The part that was told right. */
export function accuracyOf(confusion: Float64Array, classes: number): number {
  const right = confusion.filter((_, at) => at % (classes + 1) === 0);
  return right.reduce((a, b) => a + b, 0) / confusion.reduce((a, b) => a + b, 0);
}

/** Of each class, how many have it, were taken for it, and rightly. */
export function confusionTallies(confusion: Float64Array, classes: number): readonly Tally[] {
  return Array.from({ length: classes }, (_, own) => {
    let [texts, told] = [0, 0];
    for (let other = 0; other < classes; other++) {
      texts += confusion[own * classes + other] as number;
      told += confusion[other * classes + own] as number;
    }
    return { texts, told, right: confusion[own * classes + own] as number };
  });
}

/** A list for each class. */
export function confusionRows(confusion: ArrayLike<number> = [], classes: number): readonly (readonly number[])[] {
  const all = Array.from(confusion);
  return Array.from({ length: classes }, (_, row) => all.slice(row * classes, (row + 1) * classes));
}
