/**
 * `performer evaluate` on labelled texts, pairs or images: a model's measures, which classes a classifier takes for which, and
 * how many texts, words or spans have each label and were told to.
 */
import type { LoadedModel } from '../models/index.js';
import type { EvaluationDetail, Task, TaskFamily, TextTaskFamily } from '../tasks/index.js';
import { Evaluator } from '../training/index.js';
import { usageError } from './command.js';
import { runNoteOf } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { type EvaluateOptions, onlyWindow } from './evaluate.js';
import { expectFinite } from './finite.js';
import { alignedLines, formatCount, formatMeasures } from './format.js';
import { expectColumns, type LabelledFlags, labelledKeys } from './labelled-flags.js';
import { openRunData, wholeTask } from './run-data.js';

/** Texts that are read at once. */
const batch = 8;

/** What is printed. The columns are those of the training, unless others are named. */
export async function evaluateLabelled(
  family: Exclude<TaskFamily, TextTaskFamily>,
  loaded: LoadedModel,
  folder: string,
  files: readonly string[],
  options: EvaluateOptions,
): Promise<string> {
  const note = await runNoteOf(folder);
  const given = labelledKeys.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]);
  const columns: LabelledFlags = { ...note?.labelled, ...Object.fromEntries(given) };
  expectColumns(family, columns);
  const { maxLength = Number.POSITIVE_INFINITY, image } = loaded.model;
  if (image !== undefined && options.window !== undefined) throw usageError('--window: images are read whole.');
  const data = await openRunData(files, family, columns, image);
  try {
    const asked = options.window && onlyWindow(options.window);
    const window = Math.min(asked ?? note?.window ?? 1024, maxLength);
    const size = { batch, window, accumulation: 1, carryState: false, seed: 0 };
    const { task, count, unit } = await wholeTask(family, loaded.model, size, data);
    if (options.compareDtypes) {
      const { compareMeasures } = await import('./evaluate-dtypes.js');
      return await compareMeasures(loaded, async (own) => (await measure(task, loaded, own)).measures, options);
    }
    const { measures, details } = await measure(task, loaded, options);
    if (options.json) {
      const told = Object.fromEntries(details.map((detail) => [detail.kind, jsonOf(detail)]));
      return `${JSON.stringify({ [unit]: count, window, measures, ...told })}\n`;
    }
    const lines = [`${formatCount(count)} ${unit}`, formatMeasures(measures)];
    return `${[...lines, ...details.flatMap((detail) => linesOf(detail, unit))].join('\n')}\n`;
  } finally {
    await data.text.close();
  }
}

interface Measured {
  readonly measures: Readonly<Record<string, number>>;
  readonly details: readonly EvaluationDetail[];
}

async function measure(task: Task, weights: LoadedModel, options: EvaluateOptions): Promise<Measured> {
  const evaluator = new Evaluator(await chooseEngine(options), task);
  try {
    const [evaluation] = task.evaluations;
    const sums = await evaluator.sums(evaluation as (typeof task.evaluations)[number], weights);
    const measures = task.measures(evaluation?.name ?? '', sums);
    expectFinite({ loss: measures.loss ?? Number.NaN });
    return { measures, details: task.details?.(sums) ?? [] };
  } finally {
    await evaluator.dispose();
  }
}

function jsonOf(detail: EvaluationDetail): object {
  const { kind, names } = detail;
  if (kind === 'confusion') return { names, counts: detail.counts };
  const { unit, tallies } = detail;
  return tallies.map(({ texts, told, right }, at) => ({ name: names[at], [unit]: texts, told, right }));
}

function linesOf(detail: EvaluationDetail, unit: string): readonly string[] {
  const { kind, names } = detail;
  if (kind === 'confusion') {
    const rows = [['', ...names], ...detail.counts.map((row, at) => [names[at] as string, ...row.map(formatCount)])];
    return [`${unit} of each class, by the class that they were taken for:`, ...alignedLines(rows, { left: 0 })];
  }
  const counts = detail.tallies.map(({ texts, told, right }, at) => [
    names[at] as string,
    ...[texts, told, right].map(formatCount),
  ]);
  return [
    `${detail.unit} with each label, told to have it, and rightly:`,
    ...alignedLines([['', 'with', 'told', 'right'], ...counts]),
  ];
}
