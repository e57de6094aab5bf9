/** `performer kernel fit` at work. */

import { PerformerError } from '../base/errors.js';
import { openCsv } from '../data/node.js';
import { fitPlan } from '../machines/config.js';
import { type FitOptions, type FitReport, fitKernelMachine, fitSchema, tableSamples } from '../machines/index.js';
import { prepareMachineFolder, saveMachine } from '../machines/node.js';
import { usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import { type FlagValues, flagName } from './flags.js';
import { formatCount, formatDuration } from './format.js';
import { type Io, shellWord } from './io.js';
import { metricsText } from './kernel-metrics.js';
import { rowProgress } from './row-progress.js';

const stages = {
  survey: 'reading columns',
  features: 'normal equations',
  solve: 'solving',
  measure: 'measuring',
} as const;

/** The options among the flags. Throws USAGE. */
function optionsOf(flags: FlagValues): FitOptions {
  const options = Object.fromEntries(
    Object.keys(fitSchema.shape).flatMap((key) => (key in flags ? [[key, flags[key]]] : [])),
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
  return options as FitOptions;
}

/** The delimiter as it was typed, with a word for the tab. */
export function delimiterOf(typed: unknown): string {
  if (typed === undefined) return ',';
  const delimiter = typed === 'tab' || typed === '\\t' ? '\t' : (typed as string);
  if ([...delimiter].length === 1 && !/["\r\n]/.test(delimiter)) return delimiter;
  throw usageError(`--delimiter: expected one character, or tab, got ${JSON.stringify(typed)}.`);
}

export async function runFit(path: string, flags: FlagValues, io: Io): Promise<void> {
  const out = flags.out as string | undefined;
  if (out === undefined) throw usageError('kernel fit: expected --out with a folder, got none. Add --out runs/…');
  const targets = flags.target as readonly string[] | undefined;
  if (targets === undefined) throw usageError('kernel fit: expected --target with a column, got none.');
  const options = optionsOf(flags);
  const task = options.task ?? 'regression';
  if (task === 'classification' && targets.length > 1) {
    throw usageError(`--target: expected one column in classification, got ${targets.length}.`);
  }
  const format = { header: flags.header !== false, delimiter: delimiterOf(flags.delimiter) };
  await prepareMachineFolder(out);
  const table = await openCsv(path, format);
  const choice = { task, targets, ignore: (flags.ignore as readonly string[] | undefined) ?? [] };
  const { samples, names } = tableSamples(table, choice, format);
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
