/**
 * The rows of a memory: which places of a state that grows they take, and memories that are put together of rows of others.
 *
 * A part of a state that grows has one size for all rows: as many places as the longest of them has tokens. The tokens of a row
 * stand at the front in their order, and what stands behind them is hidden, as mixers hide what is no token
 * (docs/padding.md). So a row that is idle or cleared takes no place, and a row alone has those of its tokens.
 */
import { type AnyHostTensor, type HostTensor, zeros } from '../base/array.js';
import type { StateSpec } from '../base/layout.js';
import { leavesOf, mapTree } from '../base/tree.js';
import type { Model, TrunkState } from '../models/index.js';
import { memoryLayout, noTokens } from './memory.js';
import type { Reading } from './reader.js';

/** The parts of a state that grow with the text, and along which axis. */
export function growingParts(model: Model): readonly (readonly [path: string, axis: number])[] {
  return leavesOf<object, StateSpec>(model.state(1)).flatMap(([path, { growing }]) =>
    growing === undefined ? [] : [[path, growing] as const],
  );
}

/** How many places of a state that grows the rows take that are at these positions: memory tokens stand before the first token. */
export function placesOf({ config }: Model, position: ArrayLike<number>): number[] {
  return Array.from(position, (count) => (count === 0 ? 0 : count + config.memoryTokens));
}

/** A row of a memory all of whose tokens are in its state. */
export interface MemoryRow<T extends Reading> {
  readonly from: T;
  readonly row: number;
}

/** A memory, or the reading of one, of copies of rows of others. */
export function withRows<T extends Reading>(model: Model, rows: readonly MemoryRow<T>[]): T {
  const parts = new Map(leavesOf<object, StateSpec>(memoryLayout(model, rows.length)));
  const given = rows.map(({ from, row }) => ({
    row,
    leaves: new Map(leavesOf<T, AnyHostTensor>(from)),
    places: placesOf(model, from.state.position.data)[row] as number,
  }));
  return mapTree(rows[0]!.from, (_: AnyHostTensor, path) => {
    if (path === 'withheld') return noTokens;
    const part = parts.get(path) as StateSpec;
    const pieces = given.map(({ row, leaves, places }) => {
      const from = leaves.get(path) as AnyHostTensor;
      return [{ from, row, start: 0, count: part.growing === undefined ? placesIn(from, part) : places }];
    });
    return joined(part, pieces);
  }) as T;
}

/**
 * A state that has taken as many places as the longest piece of a row has tokens, with the tokens of each row behind those
 * that it had: it had `before` places and has `after`.
 */
export function withoutGaps(
  model: Model,
  state: TrunkState<HostTensor<'int32'>>,
  { before, after }: { readonly before: readonly number[]; readonly after: readonly number[] },
): TrunkState<HostTensor<'int32'>> {
  const isEven = [before, after].every((places) => places.every((count) => count === places[0]));
  if (isEven) return state;
  const [past, longest] = [Math.max(...before), Math.max(...after)];
  const isInPlace = after.every((count, row) => count === before[row] || before[row] === past);
  const parts = new Map(leavesOf<object, StateSpec>(model.state(before.length)));
  return mapTree<object, AnyHostTensor, AnyHostTensor>(state, (from, path) => {
    const part = parts.get(path) as StateSpec;
    if (part.growing === undefined || (isInPlace && from.shape[part.growing] === longest)) return from;
    const pieces = before.map((kept, row) => [
      { from, row, start: 0, count: kept },
      { from, row, start: past, count: (after[row] as number) - kept },
    ]);
    return joined(part, pieces);
  }) as TrunkState<HostTensor<'int32'>>;
}

/** Places of a row of a part of a state: `count` from `start` on. */
interface Piece {
  readonly from: AnyHostTensor;
  readonly row: number;
  readonly start: number;
  readonly count: number;
}

/** The axis along which a part of a state has places; none where it has one size, which is one place. */
function axisOf({ growing, ofSource }: StateSpec): number | undefined {
  return growing ?? ofSource;
}

function placesIn({ shape }: AnyHostTensor, part: StateSpec): number {
  const axis = axisOf(part);
  return axis === undefined ? 1 : (shape[axis] as number);
}

/** A part of a state whose rows are made of pieces of others, one behind the other; behind them stand first values. */
function joined(part: StateSpec, rows: readonly (readonly Piece[])[]): AnyHostTensor {
  const { dtype, shape } = rows[0]![0]!.from;
  const axis = axisOf(part);
  const places = Math.max(...rows.map((pieces) => pieces.reduce((sum, { count }) => sum + count, 0)));
  const like = shape.with(0, rows.length);
  const whole = zeros(dtype, axis === undefined ? like : like.with(axis, places));
  if (part.initial !== 0) whole.data.fill(part.initial as never);
  const product = (sizes: readonly number[]) => sizes.reduce((total, size) => total * size, 1);
  const outer = product(shape.slice(1, axis ?? 1));
  const inner = product(shape.slice(axis === undefined ? 1 : axis + 1));
  const to = whole.data as Float32Array;
  rows.forEach((pieces, row) => {
    let behind = 0;
    for (const { from, row: own, start, count } of pieces) {
      for (let at = 0; at < outer; at++) {
        const first = ((own * outer + at) * placesIn(from, part) + start) * inner;
        const values = (from.data as Float32Array).subarray(first, first + count * inner);
        to.set(values, ((row * outer + at) * places + behind) * inner);
      }
      behind += count;
    }
  });
  return whole;
}
