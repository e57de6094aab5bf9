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
  lower: (emitter, [x, ...angles], { heads }, { inputs: [type] }) => {
    // The op came with opset 23.
    if (emitter.target !== 'standard') {
      return [emitter.emit('RotaryEmbedding', [x!, ...angles], { num_heads: heads })];
    }
    const width = type!.shape[2] as number;
    const split = emitter.constant('int64', [4], [0, 0, heads, width / heads]);
    const rows = emitter.emit('Reshape', [x!, split]);
    const halves = emitter.emitMany('Split', [rows], { axis: 3, num_outputs: 2 }, { outputCount: 2 });
    const [cosine, sine] = angles.map((angle) =>
      emitter.emit('Unsqueeze', [angle, emitter.constant('int64', [1], [2])]),
    );
    const product = (half: number, angle: string) => emitter.emit('Mul', [halves[half]!, angle]);
    const turned = [
      emitter.emit('Sub', [product(0, cosine!), product(1, sine!)]),
      emitter.emit('Add', [product(1, cosine!), product(0, sine!)]),
    ];
    const joined = emitter.emit('Concat', turned, { axis: 3 });
    return [emitter.emit('Reshape', [joined, emitter.constant('int64', [3], [0, 0, width])])];
  },
};

/** x [batch, length, heads·dim], cosine and sine [batch, length, dim/2]; the angles get no gradient. */
export function rotary(x: Tensor, cosine: Tensor, sine: Tensor, heads: number): Tensor {
  return apply(rotaryOp, [x, cosine, sine], { heads });
}
