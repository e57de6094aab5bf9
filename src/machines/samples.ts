/**
 * Where the rows come from: an iterable of batches that begins anew each time it is iterated, so that data larger than
 * memory is read once for each pass. A batch may be reused by its source as soon as the next one is asked for.
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { formatShape } from '../base/shape.js';

/** What a machine tells: values, or a class. */
export type Task = 'regression' | 'classification';

/** Some rows of inputs with their targets. */
export interface SampleBatch {
  /** [rows, dim], finite. */
  readonly inputs: HostTensor | HostTensor<'float64'>;
  /** Regression: [rows, outputs], finite. Classification: int32 [rows], the classes counted from 0. */
  readonly targets: HostTensor | HostTensor<'float64'> | HostTensor<'int32'>;
}

/** Batches in their order; each iteration begins anew, as a fit reads them three times. */
export type Samples = AsyncIterable<SampleBatch>;

/** Arrays in memory as samples. */
export function arraySamples(inputs: SampleBatch['inputs'], targets: SampleBatch['targets']): Samples {
  return {
    async *[Symbol.asyncIterator]() {
      yield { inputs, targets };
    },
  };
}

/** Guards against a class that was meant to be a value: every class has a column of its own. */
const mostClasses = 10_000;

/** What every batch of a source has in common. */
export interface SampleShape {
  readonly dim: number;
  readonly outputs: number;
}

function dataError(where: string, expected: string, got: string): PerformerError {
  return new PerformerError('DATA', `${where}: expected ${expected}, got ${got}.`);
}

/** Throws SHAPE unless rows are a matrix with `dim` columns (any where undefined), and DATA unless all is finite. */
export function checkInputs(where: string, { shape, data }: SampleBatch['inputs'], row: number, dim?: number): void {
  if (shape.length !== 2 || (dim !== undefined && shape[1] !== dim)) {
    throw new PerformerError('SHAPE', `${where}: expected inputs [rows, ${dim ?? 'dim'}], got ${formatShape(shape)}.`);
  }
  if (shape[1] === 0) throw dataError(where, 'at least one input column', 'none');
  checkFinite(where, 'inputs', data, shape[1] as number, row);
}

function checkFinite(where: string, what: string, data: ArrayLike<number>, columns: number, first: number): void {
  for (let at = 0; at < data.length; at++) {
    if (!Number.isFinite(data[at])) {
      const place = `row ${first + Math.floor(at / columns)}, column ${at % columns}`;
      throw dataError(where, `finite ${what}`, `${data[at]} in ${place} (counted from 0)`);
    }
  }
}

/** Checks a batch that begins at row `row` of the source. Throws SHAPE, DTYPE or DATA. */
export function checkBatch(
  where: string,
  { inputs, targets }: SampleBatch,
  task: Task,
  row: number,
  like?: SampleShape,
): void {
  checkInputs(where, inputs, row, like?.dim);
  const rows = inputs.shape[0] as number;
  if (task === 'classification') {
    if (targets.dtype !== 'int32') {
      throw new PerformerError('DTYPE', `${where}: expected classes in int32, got ${targets.dtype}.`);
    }
    if (targets.shape.length !== 1 || targets.shape[0] !== rows) {
      throw new PerformerError('SHAPE', `${where}: expected classes [${rows}], got ${formatShape(targets.shape)}.`);
    }
    const most = like?.outputs ?? mostClasses;
    const bad = targets.data.findIndex((value) => value < 0 || value >= most);
    if (bad >= 0) {
      throw dataError(where, `classes from 0 to ${most - 1}`, `${targets.data[bad]} in row ${row + bad}`);
    }
    return;
  }
  if (targets.dtype === 'int32') {
    throw new PerformerError('DTYPE', `${where}: expected targets in float32 or float64, got int32.`);
  }
  const [targetRows, outputs] = targets.shape;
  if (targets.shape.length !== 2 || targetRows !== rows || outputs !== (like?.outputs ?? outputs)) {
    const expected = `[${rows}, ${like?.outputs ?? 'outputs'}]`;
    throw new PerformerError('SHAPE', `${where}: expected targets ${expected}, got ${formatShape(targets.shape)}.`);
  }
  if (outputs === 0) throw dataError(where, 'at least one target column', 'none');
  checkFinite(where, 'targets', targets.data, outputs as number, row);
}

/** The batches of one pass, checked, each with the number of its first row. */
export async function* checkedBatches(
  where: string,
  samples: Samples,
  task: Task,
  like?: SampleShape,
): AsyncGenerator<SampleBatch & { readonly first: number; readonly rows: number }> {
  let first = 0;
  let shape = like;
  for await (const batch of samples) {
    checkBatch(where, batch, task, first, shape);
    const rows = batch.inputs.shape[0] as number;
    if (shape === undefined && task === 'regression') {
      shape = { dim: batch.inputs.shape[1] as number, outputs: batch.targets.shape[1] as number };
    } else shape ??= { dim: batch.inputs.shape[1] as number, outputs: mostClasses };
    yield { ...batch, first, rows };
    first += rows;
  }
}

/** The batches of a pass after the first, which must have as many rows. Throws DATA as soon as it has more, or ends with less. */
export async function* sameRows(where: string, samples: Samples, rows: number): AsyncGenerator<SampleBatch> {
  let seen = 0;
  const check = (isWrong: boolean) => {
    if (!isWrong) return;
    throw new PerformerError(
      'DATA',
      `${where}: expected the same ${rows} rows in each pass, got ${seen > rows ? 'more' : seen} in a later one. ` +
        'Give an iterable that begins anew each time, and leave the data unchanged.',
    );
  };
  for await (const batch of samples) {
    seen += batch.inputs.shape[0] as number;
    check(seen > rows);
    yield batch;
  }
  check(seen < rows);
}
