/** Tables as samples: columns of text to numbers and classes, with the line of what is wrong. */
import { type HostTensor, hostTensor, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { parseNumber } from '../base/number.js';
import { delimiterHint, repeatedName, type Table, type TableRow } from '../data/index.js';
import type { TableNames } from './config.js';
import type { SampleBatch, Samples, Task } from './samples.js';

/** Rows of a batch, and its fields where there are many columns: fields are text, and take some ten times their number. */
const batchRows = 1024;
const batchFields = 2 ** 20;
/** More classes than this are values that someone wants to fit. */
const mostClasses = 1000;

/** Which columns of a table are learned from which. */
export interface TableChoice {
  readonly task: Task;
  /** The columns to predict: one in classification, one or more in regression. */
  readonly targets: readonly string[];
  /** Columns to leave out. */
  readonly ignore: readonly string[];
}

/** The positions of columns. Throws DATA for one that the table does not have. */
function positionsOf({ name, columns }: Table, wanted: readonly string[]): number[] {
  const positions = new Map(columns.map((column, position) => [column, position]));
  return wanted.map((column) => {
    const position = positions.get(column);
    if (position !== undefined) return position;
    const some = columns.slice(0, 10).join(', ');
    throw new PerformerError(
      'DATA',
      `${name}: expected a column "${column}", got ${some}${columns.length > 10 ? `, … (${columns.length})` : ''}.` +
        delimiterHint(columns),
    );
  });
}

/** A field as a finite number. Throws DATA with its line and column. */
function numberOf(table: Table, { fields, line }: TableRow, position: number): number {
  const text = (fields[position] as string).trim();
  const value = parseNumber(text);
  if (value !== undefined && Number.isFinite(value)) return value;
  const got = text === '' ? 'nothing' : JSON.stringify(text.slice(0, 40));
  throw new PerformerError(
    'DATA',
    `${table.name}, line ${line}: expected a number in column "${table.columns[position]}", got ${got}. ` +
      'Fill it in, leave out the row, or leave out the column.',
  );
}

async function* rowBatches(table: Table): AsyncGenerator<TableRow[]> {
  const most = Math.max(1, Math.min(batchRows, Math.floor(batchFields / table.columns.length)));
  let rows: TableRow[] = [];
  for await (const row of table.rows()) {
    rows.push(row);
    if (rows.length < most) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

function numbersOf(table: Table, rows: readonly TableRow[], positions: readonly number[]): HostTensor<'float64'> {
  const data = new Float64Array(rows.length * positions.length);
  rows.forEach((row, index) => {
    positions.forEach((position, at) => {
      data[index * positions.length + at] = numberOf(table, row, position);
    });
  });
  return hostTensor('float64', [rows.length, positions.length], data);
}

/** Classes by name, numbered as they are met. */
class ClassNames {
  readonly #indices: Map<string, number>;

  constructor(
    private readonly table: Table,
    /** No others are accepted, where given. */
    private readonly known?: readonly string[],
  ) {
    this.#indices = new Map(known?.map((name, index) => [name, index]));
  }

  get all(): string[] {
    return [...this.#indices.keys()];
  }

  indexOf({ fields, line }: TableRow, position: number): number {
    const name = (fields[position] as string).trim();
    const index = this.#indices.get(name);
    if (index !== undefined) return index;
    const where = `${this.table.name}, line ${line}`;
    if (name === '') throw new PerformerError('DATA', `${where}: expected a class, got nothing. Leave out the row.`);
    if (this.known !== undefined) {
      const some = this.known.slice(0, 10).join(', ');
      throw new PerformerError('DATA', `${where}: expected one of the classes ${some}, got "${name}".`);
    }
    if (this.#indices.size === mostClasses) {
      throw new PerformerError(
        'DATA',
        `${where}: expected at most ${mostClasses} classes, got more. Is this a regression?`,
      );
    }
    this.#indices.set(name, this.#indices.size);
    return this.#indices.size - 1;
  }
}

/** The rows of a table as samples. */
export interface TableSamples {
  readonly samples: Samples;
  /** To be asked when all rows have been read once. */
  names(): TableNames;
}

/**
 * The rows of a table as samples to fit. Inputs are all columns that are neither predicted nor left out, and have a name of
 * their own: those without are mostly the numbers of the rows. Throws CONFIG for a column that is named twice, DATA for
 * columns that are not there and, while it is read, for text in a column of numbers.
 */
export function tableSamples(
  table: Table,
  { task, targets, ignore }: TableChoice,
  format: Pick<TableNames, 'header' | 'delimiter' | 'encoding'>,
): TableSamples {
  const repeated = repeatedName([...targets, ...ignore]);
  if (repeated !== undefined) {
    throw new PerformerError(
      'CONFIG',
      `${table.name}: expected each column once, got "${repeated}" twice. Name it once.`,
    );
  }
  const targetPositions = positionsOf(table, targets);
  positionsOf(table, ignore);
  const leftOut = new Set([...targets, ...ignore, ...(table.unnamed ?? [])]);
  const inputs = table.columns.filter((column) => !leftOut.has(column));
  if (inputs.length === 0) {
    throw new PerformerError('DATA', `${table.name}: expected a column beside the targets, got none.`);
  }
  const classes = new ClassNames(table);
  return {
    samples: {
      [Symbol.asyncIterator]: () => labelled(table, positionsOf(table, inputs), targetPositions, task, classes),
    },
    names: () => ({
      ...format,
      columns: [...table.columns],
      inputs,
      targets: [...targets],
      ...(task === 'classification' ? { classes: classes.all } : {}),
    }),
  };
}

async function* labelled(
  table: Table,
  inputs: readonly number[],
  targets: readonly number[],
  task: Task,
  classes: ClassNames,
): AsyncGenerator<SampleBatch> {
  for await (const rows of rowBatches(table)) {
    yield {
      inputs: numbersOf(table, rows, inputs),
      targets:
        task === 'classification'
          ? int32(
              [rows.length],
              rows.map((row) => classes.indexOf(row, targets[0] as number)),
            )
          : numbersOf(table, rows, targets),
    };
  }
}

/**
 * Where the inputs of a machine stand in another table: by name where tables have headers, else by position, in a table
 * that has all the columns of the first, or the inputs alone. Throws DATA.
 */
function inputPositions(table: Table, { inputs, columns, header }: TableNames): number[] {
  if (header || table.columns.length === columns.length) return positionsOf(table, inputs);
  if (table.columns.length === inputs.length) return inputs.map((_, index) => index);
  throw new PerformerError(
    'DATA',
    `${table.name}: expected ${columns.length} columns as in the fit, or the ${inputs.length} inputs alone, ` +
      `got ${table.columns.length}.`,
  );
}

/** Batches of the inputs that a machine was fitted to, [rows, dim]. Throws DATA. */
export async function* tableInputs(table: Table, names: TableNames): AsyncGenerator<HostTensor<'float64'>> {
  const positions = inputPositions(table, names);
  for await (const rows of rowBatches(table)) yield numbersOf(table, rows, positions);
}

/** The rows of a table as samples to measure a machine with: its targets must be there. Throws DATA. */
export function tableLabels(table: Table, names: TableNames): Samples {
  const task = names.classes === undefined ? 'regression' : 'classification';
  const classes = new ClassNames(table, names.classes ?? []);
  const inputs = inputPositions(table, names);
  const targets = positionsOf(table, names.targets);
  return { [Symbol.asyncIterator]: () => labelled(table, inputs, targets, task, classes) };
}
