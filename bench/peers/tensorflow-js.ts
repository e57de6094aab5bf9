/**
 * A process that computes bidirectional attention with TensorFlow.js, as fast as it could be written there.
 *
 * Its matrix product is fast (XNNPACK) for two matrices that are not to be transposed, and ten times slower for a batch of
 * them; its softmax takes a fifth of the time of its exp. So heads go one by one, and features are a softmax: the scales
 * that it takes out of queries cancel, and those of keys weigh the values.
 */
import {
  concat,
  div,
  exp,
  log,
  matMul,
  max,
  mul,
  reshape,
  slice,
  softmax,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { startTensorFlow } from './tensorflow-js-backend.js';

/** Arrays of [length, heads·dim], and of the projection [features, dim]. */
export interface AttentionArrays {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly projection: Float32Array;
}

export interface AttentionSizes {
  readonly length: number;
  readonly heads: number;
  readonly dim: number;
  readonly features: number;
}

export type PeerForm = 'favor' | 'exact';
export type PeerResult = 'sum' | 'output';

export type PeerRequest =
  | { readonly kind: 'start'; readonly threads: number }
  | { readonly kind: 'give'; readonly arrays: AttentionArrays; readonly sizes: AttentionSizes }
  | { readonly kind: 'run'; readonly form: PeerForm; readonly returns: PeerResult };

/** Rows of one head, [length, dim]. */
interface Head {
  readonly query: Tensor2D;
  readonly key: Tensor2D;
  readonly value: Tensor2D;
}

function exactHead({ query, key, value }: Head): Tensor2D {
  const scaled = mul(query, 1 / Math.sqrt(query.shape[1]));
  return matMul(softmax(matMul(scaled, transpose(key))), value);
}

/** Positive features exp(Wx − |x|²/2) as softmax(Wx), and the log of what that divided them by: [length, 1]. */
function favorHead({ query, key, value }: Head, rows: Tensor2D): Tensor2D {
  const [length, dim] = value.shape;
  const keyProducts = matMul(key, rows); // [length, features]
  const keyFeatures = softmax(keyProducts);
  // The largest product less the log of the largest feature is the log of the sum of all exponentials.
  const logSum = sub(max(keyProducts, 1, true), log(max(keyFeatures, 1, true)));
  const logScale = sub(logSum, mul(sum(square(key), 1, true), 0.5 / Math.sqrt(dim)));
  const weight = exp(sub(logScale, max(logScale)));
  const extended = concat([mul(value, weight), weight], 1); // [length, dim + 1]
  // The features are the larger of the two matrices: it is the other that is transposed.
  const sums = transpose(matMul(transpose(extended), keyFeatures)); // [features, dim + 1]
  const weighted = matMul(softmax(matMul(query, rows)), sums);
  return div(slice(weighted, [0, 0], [length, dim]), slice(weighted, [0, dim], [length, 1]));
}

/** Heads are cut on the host: there every slice copies all of the tensor that it is of. */
function cut(data: Float32Array, { length, heads, dim }: AttentionSizes): readonly Tensor2D[] {
  return Array.from({ length: heads }, (_, head) => {
    const rows = new Float32Array(length * dim);
    for (let row = 0; row < length; row++) {
      const start = (row * heads + head) * dim;
      rows.set(data.subarray(start, start + dim), row * dim);
    }
    return tensor2d(rows, [length, dim]);
  });
}

function attention(form: PeerForm, arrays: AttentionArrays, sizes: AttentionSizes): Tensor {
  const { length, heads, dim, features } = sizes;
  const [keys, values] = [cut(arrays.key, sizes), cut(arrays.value, sizes)];
  const rows = mul(transpose(tensor2d(arrays.projection, [features, dim])), dim ** -0.25) as Tensor2D;
  const outputs = cut(arrays.query, sizes).map((query, at) => {
    const head = { query, key: keys[at]!, value: values[at]! };
    return form === 'exact' ? exactHead(head) : favorHead(head, rows);
  });
  return reshape(transpose(stack(outputs), [1, 0, 2]), [length, heads * dim]);
}

let run: ((form: PeerForm, returns: PeerResult) => Promise<Float32Array>) | undefined;

async function answer(request: PeerRequest): Promise<Float32Array | undefined> {
  if (request.kind === 'run') return run?.(request.form, request.returns);
  if (request.kind === 'start') {
    await startTensorFlow(request.threads);
    return undefined;
  }
  const { arrays, sizes } = request;
  run = async (form, returns) => {
    const result = tidy(() => {
      const output = attention(form, arrays, sizes);
      return returns === 'sum' ? sum(output) : output;
    });
    const data = await result.data<'float32'>();
    result.dispose();
    return data;
  };
  return undefined;
}

process.on('message', (request: PeerRequest) => {
  answer(request).then((data) => process.send?.(data ?? null));
});
process.on('disconnect', () => process.exit());
