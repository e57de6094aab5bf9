/** Cross-entropy of logits against target tokens. */
import { elementCount } from '../base/shape.js';
import {
  divide,
  exp,
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
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const classes = logits.staticDim(-1);
  const rows = elementCount(targets.shape);
  const flat = reshape(logits, [rows, classes]);
  const hot = oneHot(reshape(targets, [rows]), classes);
  const shifted = subtract(flat, max(flat, -1, true));
  const weights = exp(shifted);
  const total = sum(weights, -1, true);
  const losses = subtract(log(total), sum(multiply(shifted, hot), -1, true)); // [rows, 1]
  const [result] = withGradient([flat], [losses], ([g]) => [multiply(subtract(divide(weights, total), hot), g!)]);
  return reshape(result!, targets.shape);
}
