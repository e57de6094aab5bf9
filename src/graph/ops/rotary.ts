/**
 * Rotary positions (Su et al., "RoFormer", 2021): each pair (xᵢ, xᵢ₊d/2) of a head is turned by an angle that grows
 * with the position, so that products of queries and keys depend on relative positions alone. Norms are unchanged,
 * which is why the rotation comes before the random features and never after.
 */
import { multiplyDims, sameDim } from '../../base/dimension.js';
import { apply, expectDtype, type Op, shapeError, type Tensor, type TensorType } from '../tensor.js';
import { negate } from './elementwise.js';

interface RotaryAttributes {
  readonly heads: number;
}

const rotaryOp: Op<RotaryAttributes> = {
  name: 'rotary',
  infer: (inputs, { heads }) => {
    const [x, cosine, sine] = inputs as readonly [TensorType, TensorType, TensorType];
    expectDtype('rotary', inputs, 'float32');
    const width = x.shape[2];
    const half = cosine.shape[2];
    const fits =
      width !== undefined &&
      half !== undefined &&
      sameDim(width, multiplyDims(half, 2 * heads)) &&
      [cosine, sine].every(({ shape }) => sameDim(shape[0]!, x.shape[0]!) && sameDim(shape[1]!, x.shape[1]!));
    if (!fits) throw shapeError('rotary', 'x [batch, length, heads·dim] and angles [batch, length, dim/2]', ...inputs);
    return [{ dtype: 'float32', shape: x.shape }];
  },
  evaluate: ([x, cosine, sine], { heads }) => {
    const half = cosine!.shape[2] as number;
    const out = new Float64Array(x!.data.length);
    for (let head = 0; head < out.length; head += 2 * half) {
      const angles = Math.floor(head / (2 * half * heads)) * half;
      for (let i = 0; i < half; i++) {
        const [c, s] = [cosine!.data[angles + i] as number, sine!.data[angles + i] as number];
        const [first, second] = [x!.data[head + i] as number, x!.data[head + half + i] as number];
        out[head + i] = first * c - second * s;
        out[head + half + i] = second * c + first * s;
      }
    }
    return [out];
  },
  differentiate: ({ inputs: [, cosine, sine], gradients: [g], attributes }) => [
    apply(rotaryOp, [g!, cosine!, negate(sine!)], attributes),
    undefined,
    undefined,
  ],
  lower: (emitter, inputs, { heads }) => [emitter.emit('RotaryEmbedding', inputs, { num_heads: heads })],
};

/** x [batch, length, heads·dim], cosine and sine [batch, length, dim/2]; the angles get no gradient. */
export function rotary(x: Tensor, cosine: Tensor, sine: Tensor, heads: number): Tensor {
  return apply(rotaryOp, [x, cosine, sine], { heads });
}
