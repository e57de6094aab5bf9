/**
 * softmax(QKᵀ/√dim)V of whole sequences as one op, which ONNX Runtime computes on processors in blocks that stay in cache. Its
 * gradient computes the weights again:
 *
 *   P = softmax(QKᵀ/√dim);   dV = Pᵀ g;   dS = P∘(g Vᵀ − Σ g∘o);   dQ = dS K/√dim;   dK = dSᵀ Q/√dim
 */
import { type Dim, multiplyDims, sameDim } from '../../base/dimension.js';
import { type Shape, sameShape } from '../../base/shape.js';
import type { Emitter } from '../emitter.js';
import { type AnyTensor, apply, type Op, shapeError, type Tensor } from '../tensor.js';
import { less } from './compare.js';
import { scalar } from './constant.js';
import { multiply, subtract } from './elementwise.js';
import { sum } from './expand-and-sum.js';
import { reshape, transpose } from './layout.js';
import { matmul } from './matmul.js';
import { softmax } from './normalization.js';
import { where } from './select.js';

/** What a hidden key's score becomes: far below any other, and finite, so that a row of hidden keys stays a number. */
const hidden = -3e38;

/** Query, key and value [batch, length, heads·dim], and which keys are real, if any is not: [batch, keys] int32, 1 or 0. */
const exactAttentionOp: Op<{ readonly heads: number }> = {
  name: 'exactAttention',
  infer: (inputs, { heads }) => {
    const [query, key, value] = inputs.map(({ shape }) => shape) as [Shape, Shape, Shape];
    const fits =
      query.length === 3 && sameDim(query[0]!, key[0]!) && sameShape(key, value) && sameDim(query[2]!, key[2]!);
    const width = query[2];
    if (!fits || typeof width !== 'number' || width % heads !== 0) {
      throw shapeError('exactAttention', 'queries, keys and values [batch, length, heads·dim]', ...inputs);
    }
    return [{ dtype: 'float32', shape: query }];
  },
  evaluate: ([query, key, value, mask], { heads }) => {
    const [batch, queries, width] = query!.shape as [number, number, number];
    const [keys, dim] = [key!.shape[1] as number, width / heads];
    const out = new Float64Array(query!.data.length);
    for (let row = 0; row < batch * queries * heads; row++) {
      const item = Math.floor(row / (queries * heads));
      const keyStart = (at: number) => (item * keys + at) * width + (row % heads) * dim;
      const scores = Float64Array.from({ length: keys }, (_, at) => {
        if (mask?.data[item * keys + at] === 0) return hidden;
        let score = 0;
        for (let i = 0; i < dim; i++) score += query!.data[row * dim + i]! * key!.data[keyStart(at) + i]!;
        return score / Math.sqrt(dim);
      });
      const top = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b);
      weights.forEach((weight, at) => {
        for (let i = 0; i < dim; i++) out[row * dim + i]! += (weight / total) * value!.data[keyStart(at) + i]!;
      });
    }
    return [out];
  },
  differentiate: ({ inputs, outputs: [output], gradients: [g], attributes: { heads } }) => {
    const [query, key, value, own, mean] = [...inputs.slice(0, 3), g!, output!].map((x) => toHeads(x, heads)) as [
      ...[Tensor, Tensor, Tensor, Tensor, Tensor],
    ];
    const scale = query.staticDim(-1) ** -0.5;
    const scores = matmul(query, key, { transposeRight: true, scale });
    const mask = inputs[3] as AnyTensor as Tensor<'int32'> | undefined;
    const [batch, , , keys] = scores.shape as [Dim, Dim, Dim, Dim];
    const shown = mask && less(scalar(0, 'int32'), reshape(mask, [batch, 1, 1, keys]));
    const weights = softmax(shown === undefined ? scores : where(shown, scores, scalar(hidden)));
    const spread = sum(multiply(own, mean), -1, true);
    const gScores = multiply(weights, subtract(matmul(own, value, { transposeRight: true }), spread));
    const found = [
      matmul(gScores, key, { scale }),
      matmul(gScores, query, { transposeLeft: true, scale }),
      matmul(weights, own, { transposeLeft: true }),
    ].map(fromHeads);
    return mask === undefined ? found : [...found, undefined];
  },
  lower: (emitter, [query, key, value, mask], { heads }, { inputs: [type] }) => {
    if (emitter.target === 'native' || emitter.target === 'web') {
      const attributes = { num_heads: heads, mask_filter_value: { float: hidden } };
      const inputs = mask === undefined ? [query!, key!, value!] : [query!, key!, value!, '', mask];
      return [emitter.emit('MultiHeadAttention', inputs, attributes, { domain: 'com.microsoft' })];
    }
    const dim = (type!.shape[2] as number) / heads;
    const split = (x: string, perm: readonly number[]) => {
      const rows = emitter.emit('Reshape', [x, emitter.constant('int64', [4], [0, 0, heads, dim])]);
      return emitter.emit('Transpose', [rows], { perm });
    };
    const scaled = emitter.emit('Mul', [query!, emitter.constant('float32', [], [dim ** -0.5])]);
    const scores = emitter.emit('MatMul', [split(scaled, [0, 2, 1, 3]), split(key!, [0, 2, 3, 1])]);
    const shown =
      mask === undefined ? scores : emitter.emit('Where', [shownOf(emitter, mask), scores, hiddenOf(emitter)]);
    const mean = emitter.emit('MatMul', [emitter.emit('Softmax', [shown], { axis: -1 }), split(value!, [0, 2, 1, 3])]);
    const rows = emitter.emit('Transpose', [mean], { perm: [0, 2, 1, 3] });
    return [emitter.emit('Reshape', [rows, emitter.constant('int64', [3], [0, 0, heads * dim])])];
  },
};

const hiddenOf = (emitter: Emitter) => emitter.constant('float32', [], [hidden]);

/** A mask [batch, keys] as bool [batch, 1, 1, keys]. */
function shownOf(emitter: Emitter, mask: string): string {
  const wide = emitter.emit('Unsqueeze', [mask, emitter.constant('int64', [2], [1, 2])]);
  return emitter.emit('Greater', [wide, emitter.constant('int32', [], [0])]);
}

/** [batch, length, heads·dim] → [batch, heads, length, dim], and back. */
function toHeads(x: Tensor, heads: number): Tensor {
  const [batch, length] = x.shape as [Dim, Dim];
  return transpose(reshape(x, [batch, length, heads, x.staticDim(2) / heads]), [0, 2, 1, 3]);
}

function fromHeads(x: Tensor): Tensor {
  const [batch, heads, length, dim] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, length, multiplyDims(heads, dim)]);
}

/**
 * The mean of the values that each query sees, by softmax(QKᵀ/√dim): query [batch, queries, heads·dim], key and value [batch,
 * keys, heads·dim] → [batch, queries, heads·dim]. `mask` [batch, keys] is 0 for hidden keys; a row of hidden keys alone gives
 * some mean of them.
 */
export function exactSequenceAttention(
  tokens: { readonly query: Tensor; readonly key: Tensor; readonly value: Tensor },
  heads: number,
  mask?: Tensor<'int32'>,
): Tensor {
  const { query, key, value } = tokens;
  return apply(exactAttentionOp, mask === undefined ? [query, key, value] : [query, key, value, mask], { heads });
}
