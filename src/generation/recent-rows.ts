/** The last tokens of a session that its state does not hold yet: rows on the host, in a window of fixed size. */
import { float32, type HostTensor } from '../base/array.js';
import { emptyState } from '../base/layout.js';
import { flattenTree, leavesOf } from '../base/tree.js';
import type { Deferral } from '../blocks/index.js';
import type { TrunkRows } from '../models/index.js';
import { rowWindow } from './reader.js';

export class RecentRows {
  /** [batch, heads, window, ·], zeros where there is no token. */
  readonly rows: TrunkRows;
  readonly #deferral: Deferral<TrunkRows, TrunkRows>;
  #count = 0;

  constructor(deferral: Deferral<TrunkRows, TrunkRows>, batch: number) {
    this.#deferral = deferral;
    this.rows = emptyState(deferral.rows(batch, rowWindow)) as TrunkRows;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  get isFull(): boolean {
    return this.#count === rowWindow;
  }

  /** Takes the rows of a token, [batch, heads, 1, ·]; takes nothing and returns false where they cannot stand beside the state. */
  push(token: TrunkRows): boolean {
    if (!this.#deferral.isTaken(token as never)) return false;
    const place = this.#count++;
    const own = tensorsIn(this.rows);
    tensorsIn(token).forEach((row, index) => {
      copyRow(own[index] as HostTensor, place, row);
    });
    return true;
  }

  /** A copy of the rows of the tokens that there are: [batch, heads, count, ·]. */
  copy(): TrunkRows {
    const { leaves, restore } = flattenTree<object>(this.rows);
    return restore(
      (leaves as readonly HostTensor[]).map((rows) => copiedRows(rows, this.#count, this.#count)),
    ) as TrunkRows;
  }

  /** Holds the rows of such a copy, and no others. */
  restore(copy: TrunkRows): void {
    const given = tensorsIn(copy);
    const count = given[0]?.shape[2] ?? 0;
    tensorsIn(this.rows).forEach(({ data }, index) => {
      data.set(copiedRows(given[index] as HostTensor, count, rowWindow).data);
    });
    this.#count = count;
  }

  clear(): void {
    if (this.isEmpty) return;
    this.#count = 0;
    for (const { data } of tensorsIn(this.rows)) data.fill(0);
  }
}

function tensorsIn(tree: TrunkRows): readonly HostTensor[] {
  return leavesOf<object>(tree).map(([, leaf]) => leaf as HostTensor);
}

/** Puts a row [batch, heads, 1, size] into its place of rows [batch, heads, window, size]. */
function copyRow(rows: HostTensor, place: number, row: HostTensor): void {
  const size = rows.shape[3] as number;
  const [to, from] = [rows.data, row.data];
  for (let start = 0, at = place * size; start < from.length; start += size, at += rowWindow * size) {
    to.set(from.subarray(start, start + size), at);
  }
}

/** The first `count` rows of each head of [batch, heads, rows, size] as [batch, heads, places, size], zeros behind them. */
function copiedRows({ shape, data }: HostTensor, count: number, places: number): HostTensor {
  const [batch, heads, rows, size] = shape as [number, number, number, number];
  const copy = new Float32Array(batch * heads * places * size);
  for (let head = 0; head < batch * heads; head++) {
    const start = head * rows * size;
    copy.set(data.subarray(start, start + count * size), head * places * size);
  }
  return float32([batch, heads, places, size], copy);
}
