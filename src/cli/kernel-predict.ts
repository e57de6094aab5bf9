/** `performer kernel predict` and `evaluate` at work. */
import { PerformerError } from '../base/errors.js';
import type { Table } from '../data/index.js';
import { openCsv } from '../data/node.js';
import {
  classesOf,
  type KernelMachine,
  MachinePredictor,
  measure,
  type TableNames,
  tableInputs,
  tableLabels,
} from '../machines/index.js';
import { loadMachine } from '../machines/node.js';
import type { Given } from './command.js';
import { csvLine } from './csv-line.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount } from './format.js';
import type { Io } from './io.js';
import type { EvaluateMachineFlags, PredictFlags } from './kernel.js';
import { delimiterOf } from './kernel-format.js';
import { metricsJson, metricsText } from './kernel-metrics.js';
import { expectWritable, isStandardOutput, writeOutput } from './output-file.js';
import { rowProgress } from './row-progress.js';

/** How the file is written, where it is written otherwise than that of the fit. */
type Format = Pick<PredictFlags, 'delimiter' | 'encoding'>;

interface Opened {
  readonly machine: KernelMachine;
  readonly names: TableNames;
  readonly table: Table;
}

async function open([folder, path]: readonly string[], flags: Format, io: Io): Promise<Opened> {
  const machine = await loadMachine(folder as string, { onNote: (note) => void io.stderr.write(`${note}\n`) });
  const { names } = machine.config;
  if (names === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a machine that was fitted to a table, got one without names of columns.`,
    );
  }
  const { encoding = names.encoding, delimiter } = flags;
  const own = { ...names, delimiter: delimiter === undefined ? names.delimiter : delimiterOf(delimiter), encoding };
  return { machine, names: own, table: await openCsv(path as string, own) };
}

export async function runPredict({ arguments: places, options }: Given<PredictFlags>, io: Io): Promise<void> {
  const { out = '-' } = options;
  await expectWritable('--out', out);
  const { machine, names, table } = await open(places as readonly string[], options, io);
  const engine = await chooseEngine(options);
  const predictor = await MachinePredictor.create(engine, machine);
  const progress = rowProgress(io.stderr);
  let rows = 0;
  const watched = async function* () {
    for await (const { text, count } of predictionText(predictor, table, names)) {
      rows += count;
      progress.show('predicting', rows);
      yield text;
    }
  };
  try {
    await writeOutput(io, out, watched());
  } finally {
    progress.close();
    await predictor.dispose();
  }
  if (!isStandardOutput(out)) io.stdout.write(`${formatCount(rows)} predictions are in ${out}.\n`);
}

async function* predictionText(
  predictor: MachinePredictor,
  table: Table,
  names: TableNames,
): AsyncGenerator<{ readonly text: string; readonly count: number }> {
  const line = (fields: readonly string[]) => csvLine(fields, names.delimiter);
  yield { text: names.header ? line(names.targets) : '', count: 0 };
  let first = 0;
  for await (const inputs of tableInputs(table, names)) {
    const predictions = await predictor.predict(inputs, first);
    const [count, outputs] = predictions.shape as [number, number];
    first += count;
    const { classes } = names;
    const rows =
      classes === undefined
        ? Array.from({ length: count }, (_, row) =>
            Array.from(predictions.data.subarray(row * outputs, (row + 1) * outputs), String),
          )
        : Array.from(classesOf(predictions), (index) => [classes[index] as string]);
    yield { text: rows.map(line).join(''), count };
  }
}

export async function runEvaluateMachine(
  { arguments: places, options }: Given<EvaluateMachineFlags>,
  io: Io,
): Promise<void> {
  const { machine, names, table } = await open(places as readonly string[], options, io);
  const engine = await chooseEngine(options);
  const predictor = await MachinePredictor.create(engine, machine);
  try {
    const metrics = await measure(predictor, tableLabels(table, names));
    io.stdout.write(
      options.json ? metricsJson(metrics, names) : `${formatCount(metrics.rows)} rows\n${metricsText(metrics, names)}`,
    );
  } finally {
    await predictor.dispose();
  }
}
