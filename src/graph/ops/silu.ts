/** SiLU, also called Swish (Elfwing et al. 2017): x·σ(x). */
import type { Tensor } from '../tensor.js';
import { withGradient } from './custom.js';
import { add, multiply, sigmoid, subtract } from './elementwise.js';
import { inBlocks } from './in-blocks.js';

/** x·sigmoid(x), also called swish (Ramachandran et al. 2017). */
export function silu(x: Tensor): Tensor {
  // σ(x)·(1 + x·(1 − σ(x))), in one pass over x and the gradient.
  const [y] = withGradient([x], [multiply(x, sigmoid(x))], ([g]) =>
    inBlocks([x, g!], ([input, given]) => {
      const gate = sigmoid(input);
      return [multiply(given, multiply(gate, add(multiply(input, subtract(1, gate)), 1)))];
    }),
  );
  return y!;
}
