/** The last tokens of a session that its state does not hold yet: a window of rows on the host. */
import { type AttentionState, largestDeferredWeight, type RecentTokens } from '../attention/index.js';
import { float32, type HostTensor, zeros } from '../base/array.js';
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

  /** A copy of the rows of the tokens that there are: by block, [batch, heads, count, ·]. */
  copy(): readonly RecentTokens<HostTensor>[] {
    const cut = (rows: HostTensor) => copiedRows(rows, this.#count, this.#count);
    return this.blocks.map(({ weight, value }) => ({ weight: cut(weight), value: cut(value) }));
  }

  /** Holds the rows of such a copy, and no others. */
  restore(copy: readonly RecentTokens<HostTensor>[]): void {
    const count = copy[0]?.weight.shape[2] ?? 0;
    this.blocks.forEach((own, index) => {
      const { weight, value } = copy[index] as RecentTokens<HostTensor>;
      (own.weight.data as Float32Array).set(copiedRows(weight, count, windowSize).data as Float32Array);
      (own.value.data as Float32Array).set(copiedRows(value, count, windowSize).data as Float32Array);
    });
    this.#count = count;
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

/** The first `count` rows of each head of [batch, heads, rows, size] as [batch, heads, places, size], zeros behind them. */
function copiedRows({ shape, data }: HostTensor, count: number, places: number): HostTensor {
  const [batch, heads, rows, size] = shape as [number, number, number, number];
  const copy = new Float32Array(batch * heads * places * size);
  for (let head = 0; head < batch * heads; head++) {
    const start = head * rows * size;
    copy.set((data as Float32Array).subarray(start, start + count * size), head * places * size);
  }
  return float32([batch, heads, places, size], copy);
}
