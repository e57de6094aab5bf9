/**
 * A forward pass over a long text in windows, as one graph: a loop whose states are the model's own.
 *
 * What the layers compute is as large as a window and stays in cache, so that a token costs the same at any length, and of
 * the whole length only what is asked for is ever in memory.
 */
import type { HostTensor } from '../base/array.js';
import { ceilDivide, type Dim, multiplyDims, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { leavesOf, mapTree } from '../base/tree.js';
import {
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
  slice,
  subtract,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import type { LanguageModelConfig } from './config.js';
import {
  checkLength,
  initialState,
  type LanguageModelInputs,
  type LanguageModelParams,
  type LanguageModelResult,
  type LanguageModelState,
  lengthOfRows,
  readTokens,
} from './language-model.js';

export interface WindowOptions {
  /** Tokens that are read at once, rounded up to whole chunks of the model; 2,048 unless given. */
  readonly window?: number;
}

/**
 * What `readTokens` gives of the same tokens, read in windows. What is not asked for is not kept: a graph that returns
 * `lastHidden` and the state alone takes the memory of one window, whatever the length. It has no gradient. The
 * `lastHidden` of a row without tokens means nothing.
 *
 * @throws CONFIG for exact attention, whose state grows, for a window that is no positive integer, and for a length
 *   beyond the learned positions; where that is known only when the graph runs, the run throws DEVICE.
 */
export function readInWindows(
  config: LanguageModelConfig,
  params: LanguageModelParams,
  inputs: Omit<LanguageModelInputs, 'dropout' | 'recompute'>,
  { window: asked = 2048 }: WindowOptions = {},
): Pick<LanguageModelResult, 'hidden' | 'lastHidden' | 'state'> {
  if (config.attention === 'softmax') {
    throw new PerformerError(
      'CONFIG',
      "readInWindows: expected attention whose state has one size, got attention: 'softmax'. Use readTokens.",
    );
  }
  if (!Number.isSafeInteger(asked) || asked < 1) {
    throw new PerformerError('CONFIG', `readInWindows: expected a positive integer as window, got ${asked}.`);
  }
  const { tokens, projections, state, lengths } = inputs;
  const [batch, length] = tokens.shape as [Dim, Dim];
  checkLength('readInWindows', config, length);
  const window = Math.ceil(asked / config.chunk) * config.chunk;
  const longest = config.maxLength ?? length;
  if (typeof longest === 'number' && longest <= window) {
    return readTokens(config, params, inputs);
  }
  const count = ceilDivide(length, window);
  const whole = multiplyDims(count, window);
  const padding = subtractDims(whole, length);
  const counts = lengths ?? (padding === 0 ? undefined : lengthOfRows(tokens));
  const start = {
    lastHidden: broadcastTo(scalar(0), [batch, 1, config.dim]),
    state: state ?? emptyState(config, batch),
  };
  const paths = leavesOf(start).map(([path]) => path);
  const flat = (tree: typeof start) => {
    const leaves = new Map(leavesOf(tree) as unknown as [string, Tensor][]);
    return paths.map((path) => leaves.get(path) as Tensor);
  };
  const nested = (leaves: readonly Tensor[]) =>
    mapTree(start, (_: Tensor, path) => leaves[paths.indexOf(path)] as Tensor);
  const pieces = transpose(reshape(pad(tokens, 1, 0, padding), [batch, count, window]), [1, 0, 2]);
  const sequences = [pieces, ...(counts === undefined ? [] : [countsOf(counts, count, window)])];
  const { states, items } = scan(flat(start), sequences, (carried, [piece, real]) => {
    const before = nested(carried);
    const {
      lastHidden,
      state: after,
      hidden,
    } = readTokens(config, params, {
      ...{ tokens: piece!, state: before.state },
      ...(projections === undefined ? {} : { projections }),
      ...(real === undefined ? {} : { lengths: real }),
    });
    const isLast = real === undefined ? undefined : reshape(less(0, real), [batch, 1, 1]);
    const last = isLast === undefined ? lastHidden : where(isLast, lastHidden, before.lastHidden);
    return { states: flat({ lastHidden: last, state: after }), items: [hidden] };
  });
  const hidden = reshape(transpose(items[0]!, [1, 0, 2, 3]), [batch, whole, config.dim]);
  return { ...nested(states), hidden: slice(hidden, 1, 0, length) };
}

/** The state before the first token, each of whose tensors has one value throughout. */
function emptyState(config: LanguageModelConfig, batch: Dim): LanguageModelState {
  return mapTree(initialState(config, 1), ({ dtype, shape, data }: HostTensor) =>
    broadcastTo(scalar(data[0] as number, dtype), [batch, ...shape.slice(1)]),
  );
}

/** How many tokens of each window are real: [batch] of the whole text to [windows, batch]. */
function countsOf(counts: Tensor, windows: Dim, window: number): Tensor {
  const before = reshape(multiply(range(windows), window), [windows, 1]);
  return minimum(maximum(subtract(counts, before), 0), window);
}
