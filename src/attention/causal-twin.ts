/**
 * The log-space form of a chunked causal attention, as what its branches compute: everything is written inside of the
 * branch that calls it, the features among it, so that it costs nothing where the chunked form is taken.
 */
import type { Dtype } from '../base/array.js';
import { multiplyDims } from '../base/dimension.js';
import { reshape, scalar, scope, type Tensor, transpose, where } from '../graph/index.js';
import { type LogSpaceInputs, logSpaceCausal, logSpaceCausalGradient, logSpaceState } from './causal-log-space.js';
import { type AttentionState, maskedLogScale } from './state.js';

export interface ChunkedTokens {
  /** Compute the logarithms [chunks, batch, heads, chunk, features]: of queries up to a number per row. */
  readonly query: () => Tensor;
  readonly key: () => Tensor;
  /** [chunks, batch, heads, chunk, dim] */
  readonly value: () => Tensor;
  /** [chunks, batch, 1, chunk, 1], false for keys that are hidden and for padding; absent where there are none. */
  readonly mask: Tensor<'bool'> | undefined;
  /** The same, false for queries that see no key; absent where each sees some. */
  readonly visible: Tensor<'bool'> | undefined;
  /** Normalized. */
  readonly state: AttentionState;
}

export interface CausalTwin {
  /** The output [chunks, batch, heads, chunk, dim] and the inverse denominators [..., 1]. */
  outputs(): readonly Tensor[];
  /** The gradients of the log-features of queries and keys and of the values, given [..., dim + 1] of [num, den]. */
  gradients(gWeighted: Tensor): readonly Tensor[];
  /** The sum and the logScale after all tokens. */
  state(): readonly Tensor[];
}

/** [chunks, batch, heads, chunk, ·] → [length, batch, heads, 1, ·], and back. */
function toPositions<D extends Dtype>(x: Tensor<D>): Tensor<D> {
  const [chunks, batch, heads, chunk, dim] = x.shape;
  const length = multiplyDims(chunks!, chunk!);
  return reshape(transpose(x, [0, 3, 1, 2, 4]), [length, batch!, heads!, 1, dim!]);
}

function fromPositions(x: Tensor, [chunks, batch, heads, chunk]: Tensor['shape']): Tensor {
  return transpose(reshape(x, [chunks!, chunk!, batch!, heads!, x.dim(-1)]), [0, 2, 3, 1, 4]);
}

/** The twin for a map with log-features. */
export function causalTwin({ query, key, value, mask, visible, state }: ChunkedTokens): CausalTwin {
  const keysAndValues = () => {
    const plain = key();
    const shown = mask === undefined ? plain : where(mask, plain, scalar(maskedLogScale));
    return { key: toPositions(shown), value: toPositions(value()), state };
  };
  const all = (): LogSpaceInputs => ({
    query: toPositions(query()),
    ...keysAndValues(),
    visible: visible && toPositions(visible),
  });
  const back = (x: Tensor) => fromPositions(x, value().shape);
  return {
    outputs: () =>
      scope('logSpace', () => {
        const { output, inverse } = logSpaceCausal(all());
        return [back(output), back(inverse)];
      }),
    gradients: (gWeighted) =>
      scope('logSpace', () => {
        const gradients = logSpaceCausalGradient(all(), toPositions(gWeighted));
        return [back(gradients.query), back(gradients.key), back(gradients.value)];
      }),
    state: () =>
      scope('logSpace', () => {
        const { sum, logScale } = logSpaceState(keysAndValues());
        return [sum, logScale];
      }),
  };
}
