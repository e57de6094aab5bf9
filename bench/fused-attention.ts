/** The strongest exact opponent on this engine: ONNX Runtime's fused attention, com.microsoft.MultiHeadAttention. */
import { apply, type Op, type Tensor } from '../src/graph/tensor.js';

interface FusedAttributes {
  readonly heads: number;
  readonly isCausal: boolean;
}

const fusedOp: Op<FusedAttributes> = {
  name: 'fusedAttention',
  infer: ([query]) => [{ dtype: 'float32', shape: query!.shape }],
  evaluate: () => {
    throw new Error('fusedAttention: expected the native engine, got the oracle.');
  },
  differentiate: { notDifferentiable: 'error' },
  lower: (emitter, inputs, { heads, isCausal }) => [
    emitter.emit(
      'MultiHeadAttention',
      inputs,
      { num_heads: heads, unidirectional: Number(isCausal) },
      { domain: 'com.microsoft' },
    ),
  ],
};

/** Exact attention of [batch, length, heads·dim], as linear layers give it. */
export function fusedAttention(query: Tensor, key: Tensor, value: Tensor, attributes: FusedAttributes): Tensor {
  return apply(fusedOp, [query, key, value], attributes);
}
