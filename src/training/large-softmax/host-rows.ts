/** Rows of tables that live on the host: taken out for a step, and put back after it. */
import { float32, type HostTensor } from '../../base/array.js';
import { PerformerError } from '../../base/errors.js';
import { elementCount } from '../../base/shape.js';
import { leavesOf, mapTree } from '../../base/tree.js';

function checkIndices(where: string, indices: ArrayLike<number>, count: number): void {
  for (let at = 0; at < indices.length; at++) {
    const index = indices[at] as number;
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new PerformerError('DATA', `${where}: expected a row from 0 to ${count - 1}, got ${index}.`);
    }
  }
}

/** The distinct indices in order of their first appearance, and the place of each index among them. */
export function distinctRows(indices: ArrayLike<number>): { distinct: Float64Array; places: Int32Array } {
  const placeOf = new Map<number, number>();
  const places = Int32Array.from(indices, (index) => {
    const place = placeOf.get(index) ?? placeOf.size;
    placeOf.set(index, place);
    return place;
  });
  return { distinct: Float64Array.from(placeOf.keys()), places };
}

/** The rows `indices` of every table of a tree: float32 [rows, ...rest] → [indices, ...rest]. Throws DATA. */
export function gatherRows<P>(tables: P, indices: ArrayLike<number>): P {
  return mapTree(tables, ({ shape, data }: HostTensor) => {
    const [count = 0, ...rest] = shape;
    checkIndices('gatherRows', indices, count);
    const width = elementCount(rest);
    const out = new Float32Array(indices.length * width);
    for (let at = 0; at < indices.length; at++) {
      const from = (indices[at] as number) * width;
      out.set(data.subarray(from, from + width), at * width);
    }
    return float32([indices.length, ...rest], out);
  }) as P;
}

/** Writes rows [indices, ...rest] to their places in every table, in place. Throws DATA. */
export function scatterRows<P>(tables: P, indices: ArrayLike<number>, rows: P): void {
  const rowsOf = new Map(leavesOf<P, HostTensor>(rows));
  mapTree(tables, ({ shape, data }: HostTensor, path) => {
    const [count = 0, ...rest] = shape;
    checkIndices('scatterRows', indices, count);
    const width = elementCount(rest);
    const values = rowsOf.get(path)?.data;
    if (values?.length !== indices.length * width) {
      throw new PerformerError(
        'SHAPE',
        `scatterRows: expected ${path} to have ${indices.length} rows of ${width} numbers, got ${values?.length}.`,
      );
    }
    for (let at = 0; at < indices.length; at++) {
      data.set(values.subarray(at * width, (at + 1) * width), (indices[at] as number) * width);
    }
  });
}
