/** The last tokens that were read, which attention to a window keeps: one size, however many tokens there were. */
import { addDims, type Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { StateSpec } from '../base/layout.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  max,
  range,
  reshape,
  scalar,
  slice,
  type Tensor,
  where,
} from '../graph/index.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import { takeOfEach } from './take.js';

/** The last tokens, the latest one last. */
export interface WindowState<T = Tensor> {
  /** [batch, keyHeads, window, dim] */
  readonly key: T;
  /** [batch, keyHeads, window, valueDim] */
  readonly value: T;
  /** 1 where there is a token that may be attended to, [batch, 1, window, 1]. */
  readonly isReal: T;
}

/** What such a state is made of: nothing is there before the first token. */
export function windowStateLayout(sizes: {
  readonly batch: Dim;
  readonly keyHeads: Dim;
  readonly window: number;
  readonly dim: number;
  readonly valueDim: number;
}): WindowState<StateSpec> {
  const { batch, keyHeads, window, dim, valueDim } = sizes;
  const part = (heads: Dim, last: number): StateSpec => ({
    dtype: 'float32',
    shape: [batch, heads, window, last],
    initial: 0,
  });
  return { key: part(keyHeads, dim), value: part(keyHeads, valueDim), isReal: part(1, 1) };
}

/** The state before the first token. */
export function emptyWindow({ key, value }: Pick<AttentionInputs, 'key' | 'value'>, window: number): WindowState {
  const [batch, , keyHeads] = key.shape as [Dim, Dim, Dim];
  const sizes = { batch, keyHeads, window, dim: key.staticDim(-1), valueDim: value.staticDim(-1) };
  const layout = windowStateLayout(sizes);
  const empty = ({ shape }: StateSpec) => broadcastTo(scalar(0), shape);
  return { key: empty(layout.key), value: empty(layout.value), isReal: empty(layout.isReal) };
}

/** Throws CONFIG unless a window is one. */
export function expectWindow(where: string, window: number): void {
  if (Number.isSafeInteger(window) && window >= 1) return;
  throw new PerformerError('CONFIG', `${where}: expected a positive integer as window, got ${window}.`);
}

/** Throws CONFIG where attention that is not causal was given a state. */
export function refuseState(where: string, state: object | undefined): void {
  if (state === undefined) return;
  throw new PerformerError('CONFIG', `${where}: expected no state where attention is not causal, got one.`);
}

/** How many tokens of each row there are up to the last real one, [batch, 1] int32; all where nothing is hidden. */
export function readCounts({ key, keyMask }: Pick<AttentionInputs, 'key' | 'keyMask'>): Tensor<'int32'> | undefined {
  if (keyMask === undefined) return undefined;
  return max(where(keyMask, add(range(key.dim(1)), scalar(1, 'int32')), scalar(0, 'int32')), 1, true);
}

/** Some tokens and those after them, [batch, keyHeads, tokens, ·]. */
export function joinRows(first: WindowState, second: WindowState): WindowState {
  const both = (name: keyof WindowState) => concatenate([first[name], second[name]], 2);
  return { key: both('key'), value: both('value'), isReal: both('isReal') };
}

/** Tokens in the layout of a state, [batch, keyHeads, length, ·]. */
export function headRows(inputs: AttentionInputs): WindowState {
  return { key: swapHeads(inputs.key), value: swapHeads(inputs.value), isReal: swapHeads(realOf(inputs)) };
}

/** The state and the tokens after it, [batch, keyHeads, window + length, ·]. */
export function joinWindow(state: WindowState, inputs: AttentionInputs): WindowState {
  return joinRows(state, headRows(inputs));
}

/** 1 for keys that are there, [batch, length, 1, 1]. */
export function realOf({ key, keyMask }: Pick<AttentionInputs, 'key' | 'keyMask'>): Tensor {
  const shape = [...key.shape.slice(0, 2), 1, 1];
  return keyMask === undefined ? broadcastTo(scalar(1), shape) : reshape(cast(keyMask, 'float32'), shape);
}

/** The state after some tokens: of each row those up to its last real one. */
export function readOn(state: WindowState, inputs: AttentionInputs): WindowState {
  const [window, length] = [state.key.staticDim(2), inputs.key.dim(1)];
  const all = joinWindow(state, inputs);
  const counts = readCounts(inputs);
  const last = (x: Tensor) =>
    counts === undefined ? slice(x, 2, length, addDims(length, window)) : lastRows(x, counts, window);
  return { key: last(all.key), value: last(all.value), isReal: last(all.isReal) };
}

/** Of x [batch, heads, rows, ·] the `window` rows of each item from `first` [batch, 1] on. */
function lastRows(x: Tensor, first: Tensor<'int32'>, window: number): Tensor {
  const [batch, heads] = x.shape as [Dim, Dim, Dim, Dim];
  const place = add(reshape(first, [batch, 1, 1]), range(window)); // [batch, 1, window]
  return takeOfEach(x, broadcastTo(place, [batch, heads, window]));
}
