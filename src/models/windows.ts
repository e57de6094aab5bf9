/**
 * A forward pass over a long text in windows, as one graph: a loop whose states are the model's own.
 *
 * What the layers compute is as large as a window and stays in cache, so that a token costs the same at any length, and of
 * the whole length only what is asked for is ever in memory.
 */
import type { HostTensor } from '../base/array.js';
import { ceilDivide, type Dim, multiplyDims, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { flattenTree, mapTree } from '../base/tree.js';
import type { Weights } from '../blocks/index.js';
import {
  type AnyTensor,
  broadcastTo,
  less,
  maximum,
  minimum,
  multiply,
  pad,
  range,
  reshape,
  scalar,
  scan,
  size,
  slice,
  subtract,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { inputOf, type ModelInputs } from './inputs.js';
import { checkLength, initialState, type Model, type ModelResult } from './model.js';
import type { TrunkState } from './trunk.js';
import { attentionKinds } from './trunk-options.js';

/** How a text is read window by window. */
export interface WindowOptions {
  /** Tokens that are read at once, rounded up to whole chunks of the model; 2,048 unless given. */
  readonly window?: number | undefined;
  /** What was read before. */
  readonly state?: TrunkState | undefined;
}

/**
 * What a model gives of the same tokens, read in windows. What is not asked for is not kept: a graph that returns
 * `lastHidden` and the state alone takes the memory of one window, whatever the length. It has no gradient. The
 * `lastHidden` of a row without tokens means nothing.
 *
 * @throws CONFIG for a model whose state has not one size, for a window that is no positive integer, and for a length
 *   beyond the learned positions; where that is known only when the graph runs, the run throws DEVICE.
 */
export function readInWindows(
  model: Model,
  weights: Weights,
  inputs: ModelInputs,
  { window: asked = 2048, state }: WindowOptions = {},
): Pick<ModelResult, 'hidden' | 'lastHidden' | 'state'> {
  if (!model.isCausal || model.mixers.some(({ traits }) => traits.state === 'growing')) {
    throw new PerformerError(
      'CONFIG',
      `readInWindows: expected causal attention whose state has one size, got attention: '${attentionKinds(model.config)}'. ` +
        'Read the text at once.',
    );
  }
  if (!Number.isSafeInteger(asked) || asked < 1) {
    throw new PerformerError('CONFIG', `readInWindows: expected a positive integer as window, got ${asked}.`);
  }
  const tokens = inputOf('readInWindows', inputs, 'tokens');
  const { lengths } = inputs;
  const [batch, length] = tokens.shape as [Dim, Dim];
  checkLength('readInWindows', model, length);
  const window = Math.ceil(asked / model.chunk) * model.chunk;
  const longest = model.maxLength ?? length;
  if (typeof longest === 'number' && longest <= window) return model.apply(weights, inputs, { state });
  const { dim } = model.config;
  const count = ceilDivide(length, window);
  const whole = multiplyDims(count, window);
  const padding = subtractDims(whole, length);
  const counts = lengths ?? (padding === 0 ? undefined : broadcastTo(size(length, 'int32'), [batch]));
  const start = {
    lastHidden: broadcastTo(scalar(0), [batch, 1, dim]),
    state: state ?? emptyState(model, batch),
  };
  const flat = flattenTree<object>(start);
  const carriedOf = (leaves: readonly AnyTensor[]) => flat.restore(leaves) as typeof start;
  const pieces = transpose(reshape(pad(tokens, 1, 0, padding), [batch, count, window]), [1, 0, 2]);
  const sequences = [pieces, ...(counts === undefined ? [] : [countsOf(counts, count, window)])];
  const { states, items } = scan(flat.leaves as readonly AnyTensor[], sequences, (carried, [piece, real]) => {
    const before = carriedOf(carried);
    const read = model.apply(weights, { tokens: piece!, lengths: real }, { state: before.state });
    const isLast = real === undefined ? undefined : reshape(less(0, real), [batch, 1, 1]);
    const last = isLast === undefined ? read.lastHidden : where(isLast, read.lastHidden, before.lastHidden);
    const after = flattenTree<object>({ lastHidden: last, state: read.state }).leaves as readonly AnyTensor[];
    return { states: after, items: [read.hidden] };
  });
  const hidden = reshape(transpose(items[0]!, [1, 0, 2, 3]), [batch, whole, dim]);
  return { ...carriedOf(states), hidden: slice(hidden, 1, 0, length) };
}

/** The state before the first token, each of whose tensors has one value throughout. */
function emptyState(model: Model, batch: Dim): TrunkState {
  return mapTree<object, HostTensor, AnyTensor>(initialState(model, 1), ({ dtype, shape, data }) =>
    broadcastTo(scalar(data[0] as number, dtype), [batch, ...shape.slice(1)]),
  ) as TrunkState;
}

/** How many tokens of each window are real: [batch] of the whole text to [windows, batch]. */
function countsOf(counts: Tensor<'int32'>, windows: Dim, window: number): Tensor<'int32'> {
  const before = reshape(multiply(range(windows), window), [windows, 1]);
  return minimum(maximum(subtract(counts, before), 0), window);
}
