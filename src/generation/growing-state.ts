/**
 * Reading into a state that grows: each row takes as many places more as it has read tokens, however many others read
 * beside it.
 */
import type { Model } from '../models/index.js';
import { emptyMemory } from './memory.js';
import { growingParts, placesOf, withoutGaps, withRows } from './memory-rows.js';
import type { HeldReading } from './reader.js';

/** A run of a reader: what stands after a reading and tokens of each row, of which some may have none. */
export type ReadingRun = (from: HeldReading, rows: readonly Int32Array[]) => Promise<HeldReading>;

/** The reading after the tokens of each row. Throws what the engine throws. */
export async function readGrowing(
  model: Model,
  run: ReadingRun,
  from: HeldReading,
  rows: readonly Int32Array[],
): Promise<HeldReading> {
  const position = from.state.position.data;
  const begins = rows.map(({ length }, row) => length > 0 && position[row] === 0);
  const isAlike = !begins.includes(true) || position.every((count) => count === 0);
  if (isAlike || model.config.memoryTokens === 0 || growingParts(model).length === 0) {
    return readInPlace(model, run, from, rows);
  }
  // A state that grows takes memory tokens where it is empty alone: rows begin in such a one, and others go on without them.
  const of = (isBeginning: boolean) => rows.map((row, at) => (begins[at] === isBeginning ? row : row.subarray(0, 0)));
  const { logits, state } = emptyMemory(model, 1);
  const empty = withRows<HeldReading>(
    model,
    rows.map((_, row) => (begins[row] ? { from, row } : { from: { logits, state }, row: 0 })),
  );
  const begun = await readInPlace(model, run, empty, of(true));
  const others = of(false);
  const goOn = others.some(({ length }) => length > 0);
  const after = goOn ? await readInPlace(model, run, from, others) : from;
  return withRows<HeldReading>(
    model,
    rows.map((_, row) => ({ from: begins[row] ? begun : after, row })),
  );
}

async function readInPlace(
  model: Model,
  run: ReadingRun,
  from: HeldReading,
  rows: readonly Int32Array[],
): Promise<HeldReading> {
  const { logits, state } = await run(from, rows);
  const [before, after] = [from.state, state].map(({ position }) => placesOf(model, position.data));
  return { logits, state: withoutGaps(model, state, { before: before!, after: after! }) };
}
