/** The last tokens of a session that its state does not hold yet: a window of rows on the host. */
import { type AttentionState, largestDeferredWeight, type RecentTokens } from '../attention/index.js';
import { type HostTensor, zeros } from '../base/array.js';
import { internalError } from '../base/errors.js';
import type { BlockState } from '../blocks/index.js';

/** At this size, reading the window costs a token about as much as its part of adding the window to the state. */
export const windowSize = 16;

export class RecentRows {
  /** By block, [batch, heads, window, ·], zeros where there is no token. */
  readonly blocks: readonly RecentTokens<HostTensor>[];
  #count = 0;

  /** For blocks with such states. */
  constructor(states: readonly BlockState<{ readonly shape: readonly number[] }>[]) {
    this.blocks = states.map(({ attention }) => {
      if (!('sum' in attention)) throw internalError('recent rows of attention without sums');
      const [batch, heads, features, columns] = attention.sum.shape as [number, number, number, number];
      const rows = (size: number) => zeros('float32', [batch, heads, windowSize, size]);
      return { weight: rows(features), value: rows(columns) };
    });
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  get isFull(): boolean {
    return this.#count === windowSize;
  }

  /** The states with these rows after them. */
  after<T>(states: readonly BlockState<T>[]): readonly BlockState<T | HostTensor>[] {
    return states.map((state, index) => {
      const attention = {
        ...(state.attention as AttentionState<T>),
        recent: this.blocks[index] as RecentTokens<HostTensor>,
      };
      return { ...state, attention };
    });
  }

  /** Takes a token of each block, [batch, heads, 1, ·]; takes nothing and returns false where a weight is too large. */
  push(blocks: readonly RecentTokens<HostTensor>[]): boolean {
    if (!blocks.every(({ weight }) => isWithin(weight.data as Float32Array, largestDeferredWeight))) return false;
    const place = this.#count++;
    this.blocks.forEach((own, index) => {
      const { weight, value } = blocks[index] as RecentTokens<HostTensor>;
      copyRow(own.weight, place, weight);
      copyRow(own.value, place, value);
    });
    return true;
  }

  clear(): void {
    if (this.isEmpty) return;
    this.#count = 0;
    for (const { weight, value } of this.blocks) {
      (weight.data as Float32Array).fill(0);
      (value.data as Float32Array).fill(0);
    }
  }
}

/** Whether no value is above the limit, nor NaN. */
function isWithin(values: Float32Array, limit: number): boolean {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i] as number) <= limit)) return false;
  return true;
}

/** Puts a row [batch, heads, 1, size] into its place of rows [batch, heads, window, size]. */
function copyRow(rows: HostTensor, place: number, row: HostTensor): void {
  const size = rows.shape[3] as number;
  const [to, from] = [rows.data as Float32Array, row.data as Float32Array];
  for (let start = 0, at = place * size; start < from.length; start += size, at += windowSize * size) {
    to.set(from.subarray(start, start + size), at);
  }
}
