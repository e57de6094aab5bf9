/** GELU (Hendrycks & Gimpel 2016), exact: x·Φ(x). */
import { apply, expectDtype, type Op, type Tensor } from '../tensor.js';
import { add, erf, exp, multiply } from './elementwise.js';
import { inBlocks } from './in-blocks.js';
import { erf as erfOf } from './special.js';

const geluOp: Op<null> = {
  name: 'gelu',
  infer: ([x]) => {
    expectDtype('gelu', [x!], 'float32');
    return [{ dtype: 'float32', shape: x!.shape }];
  },
  evaluate: ([x]) => [x!.data.map((value) => 0.5 * value * (1 + erfOf(value * Math.SQRT1_2)))],
  differentiate: ({ inputs: [x], gradients: [g] }) =>
    inBlocks([x!, g!], ([input, given]) => [multiply(given, slope(input))]),
  lower: (emitter, inputs) => [emitter.emit('Gelu', inputs)],
};

/** Φ(x) + x·φ(x) = ½(1 + erf u) + u·e^{−u²}/√π with u = x/√2. */
function slope(x: Tensor): Tensor {
  const u = multiply(x, Math.SQRT1_2);
  const density = multiply(u, exp(multiply(multiply(u, -1), u)));
  return add(multiply(add(erf(u), 1), 0.5), multiply(density, 1 / Math.sqrt(Math.PI)));
}

/** x·Φ(x) with the exact normal distribution function Φ, not its approximation by tanh (Hendrycks & Gimpel 2016). */
export function gelu(x: Tensor): Tensor {
  return apply(geluOp, [x], null);
}
