/** Cross-entropy of logits against target tokens. */
import { elementCount } from '../base/shape.js';
import {
  divide,
  exp,
  inBlocks,
  log,
  max,
  multiply,
  oneHot,
  reshape,
  subtract,
  sum,
  type Tensor,
  withGradient,
} from '../graph/index.js';

/** −log softmax(logits)[target] for each position: logits [..., classes], targets [...] int32 → [...] in nats. */
export function crossEntropy(logits: Tensor, targets: Tensor<'int32'>): Tensor {
  const classes = logits.staticDim(-1);
  const rows = elementCount(targets.shape);
  const flat = reshape(logits, [rows, classes]);
  const goals = reshape(targets, [rows, 1]);
  const hot = (goal: Tensor<'int32'>) => oneHot(reshape(goal, [goal.dim(0)]), classes);
  const [losses, top, total] = inBlocks([flat, goals], ([x, goal]) => {
    const top = max(x, -1, true);
    const shifted = subtract(x, top);
    const total = sum(exp(shifted), -1, true);
    return [subtract(log(total), sum(multiply(shifted, hot(goal)), -1, true)), top, total]; // [rows, 1] each
  });
  // The softmax is computed again, so that a large vocabulary costs no memory between (small ones share the first).
  const [result] = withGradient([flat], [losses], ([g]) =>
    inBlocks([flat, goals, top, total, g!], ([x, goal, top, total, given]) => {
      const weights = divide(exp(subtract(x, top)), total);
      return [multiply(subtract(weights, hot(goal)), given)];
    }),
  );
  return reshape(result!, targets.shape);
}
