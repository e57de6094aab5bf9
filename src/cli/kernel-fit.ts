/** `performer kernel fit` at work. */

import { PerformerError } from '../base/errors.js';
import { flagName } from '../base/options.js';
import { repeatedName, type Table } from '../data/index.js';
import { openCsv } from '../data/node.js';
import { fitPlan } from '../machines/config.js';
import {
  type FitOptions,
  type FitReport,
  fitKernelMachine,
  fitSchema,
  type TableChoice,
  tableSamples,
} from '../machines/index.js';
import { prepareMachineFolder, saveMachine } from '../machines/node.js';
import { type Given, usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount, formatDuration } from './format.js';
import { type Io, shellWord } from './io.js';
import type { FitFlags } from './kernel.js';
import { delimiterOf } from './kernel-format.js';
import { metricsText } from './kernel-metrics.js';
import { rowProgress } from './row-progress.js';

const stages = {
  survey: 'reading columns',
  features: 'normal equations',
  solve: 'solving',
  measure: 'measuring',
} as const;

/** The options among the flags. Throws USAGE. */
function optionsOf(flags: FitFlags): FitOptions {
  const options: FitOptions = Object.fromEntries(
    Object.entries(flags).filter(([key]) => Object.keys(fitSchema.shape).includes(key)),
  );
  try {
    fitPlan(options, 'kernel fit');
  } catch (cause) {
    if (!(cause instanceof PerformerError)) throw cause;
    const named = Object.keys(fitSchema.shape).find((key) => cause.message.includes(` ${key}: `));
    const message =
      named === undefined ? cause.message : cause.message.replace(` ${named}: `, ` --${flagName(named)}: `);
    throw usageError(message, { cause });
  }
  return options;
}

/** The columns as they were named. Throws USAGE. */
function choiceOf(flags: FitFlags, task: TableChoice['task']): TableChoice {
  // The names of a header are trimmed too.
  const named = (given: readonly string[] = []) => given.map((name) => name.trim());
  const [targets, ignore] = [named(flags.target), named(flags.ignore)];
  if (targets.length === 0) throw usageError('kernel fit: expected --target with a column, got none.');
  const repeated = repeatedName([...targets, ...ignore]);
  if (repeated !== undefined) {
    throw usageError(`--target, --ignore: expected each column once, got "${repeated}" twice.`);
  }
  if (task === 'classification' && targets.length > 1) {
    throw usageError(`--target: expected one column in classification, got ${targets.length}.`);
  }
  return { task, targets, ignore };
}

function noteUnnamed({ unnamed = [] }: Table, { targets, ignore }: TableChoice, io: Io): void {
  const leftOut = unnamed.filter((name) => ![...targets, ...ignore].includes(name));
  if (leftOut.length === 0) return;
  const some = `${leftOut.slice(0, 5).join(', ')}${leftOut.length > 5 ? ', …' : ''}`;
  io.stderr.write(
    `performer: left out ${some}: no name in the header, as of the numbers of rows. ` +
      'Name it there to learn from it, or say --ignore to leave it out without this note.\n',
  );
}

export async function runFit({ arguments: [file], options: flags }: Given<FitFlags>, io: Io): Promise<void> {
  const path = file as string;
  const { out, header, encoding } = flags;
  if (out === undefined) throw usageError('kernel fit: expected --out with a folder, got none. Add --out runs/…');
  const options = optionsOf(flags);
  const choice = choiceOf(flags, options.task ?? 'regression');
  const format = { header, delimiter: delimiterOf(flags.delimiter), encoding };
  await prepareMachineFolder(out);
  const table = await openCsv(path, format);
  const { samples, names } = tableSamples(table, choice, format);
  noteUnnamed(table, choice, io);
  const engine = await chooseEngine(flags);
  const progress = rowProgress(io.stderr);
  const began = performance.now();
  try {
    const { machine, report } = await fitKernelMachine(engine, samples, options, {
      names,
      onProgress: (stage, rows) => progress.show(stages[stage], rows),
    });
    progress.close();
    await saveMachine(out, machine);
    const { kernel, map, featureCount, dim, gamma, lambda } = machine.config;
    const width = gamma === undefined ? '' : `, gamma ${gamma.toPrecision(3)}`;
    io.stdout.write(
      `${formatCount(report.rows)} rows of ${dim} columns, ${kernel} kernel by ${featureCount} ${map} features${width}, ` +
        `lambda ${lambda.toPrecision(3)}, ${formatDuration((performance.now() - began) / 1000)}\n`,
    );
    io.stdout.write(reportText(report, names()));
    io.stdout.write(`The machine is in ${out}. Try:\n`);
    io.stdout.write(`  ${io.command} kernel predict ${shellWord(out)} ${shellWord(path)}\n`);
  } finally {
    progress.close();
  }
}

function reportText({ heldOut, heldOutRows }: FitReport, names: Parameters<typeof metricsText>[1]): string {
  if (heldOut === undefined) return 'No rows were held out to measure it.\n';
  const told = metricsText(heldOut, names);
  return `On ${formatCount(heldOutRows)} held-out rows, before it saw them:\n${told}`;
}
