/**
 * `performer evaluate` on labelled texts, pairs or images: a model's measures, which classes a classifier takes for which, and
 * how many texts have each label and were told to.
 */
import { type LoadedModel, targetsOf } from '../models/index.js';
import { labelTallies, type Task, type TaskFamily, type TextTaskFamily } from '../tasks/index.js';
import { Evaluator } from '../training/index.js';
import { usageError } from './command.js';
import { runNoteOf } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import type { EvaluateOptions } from './evaluate.js';
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
    const window = Math.min(options.window ?? note?.window ?? 1024, maxLength);
    const size = { batch, window, accumulation: 1, carryState: false, seed: 0 };
    const { task, count, unit } = await wholeTask(family, loaded.model, size, data);
    const measured = await measure(task, loaded, options);
    const report = { [unit]: count, window, ...measured };
    return options.json ? `${JSON.stringify(report)}\n` : textOf({ count, unit, ...measured });
  } finally {
    await data.text.close();
  }
}

interface Confusion {
  readonly names: readonly string[];
  /** How many texts of each class were taken for each: a row for each class. */
  readonly counts: readonly (readonly number[])[];
}

interface Measured {
  readonly measures: Readonly<Record<string, number>>;
  readonly confusion?: Confusion | undefined;
  /** Of each label, how many texts have it, were told to have it, and rightly. */
  readonly labels?: readonly ({ readonly name: string } & ReturnType<typeof labelTallies>[number])[] | undefined;
}

async function measure(task: Task, { model, ...weights }: LoadedModel, options: EvaluateOptions): Promise<Measured> {
  const evaluator = new Evaluator(await chooseEngine(options), task);
  try {
    const [evaluation] = task.evaluations;
    const sums = await evaluator.sums(evaluation as (typeof task.evaluations)[number], weights);
    const { confusion } = sums.sums;
    const { kind, names = [] } = targetsOf(model) ?? {};
    const rowOf = (row: number) => Array.from((confusion ?? []).slice(row * names.length, (row + 1) * names.length));
    const measures = task.measures(evaluation?.name ?? '', sums);
    expectFinite({ loss: measures.loss ?? Number.NaN });
    return {
      measures,
      confusion: confusion && { names, counts: names.map((_, row) => rowOf(row)) },
      labels:
        kind === 'labels'
          ? labelTallies(names, sums.sums).map((tally, index) => ({ name: names[index] as string, ...tally }))
          : undefined,
    };
  } finally {
    await evaluator.dispose();
  }
}

function textOf({
  count,
  unit,
  measures,
  confusion,
  labels,
}: Measured & { readonly count: number; readonly unit: string }): string {
  const lines = [`${formatCount(count)} ${unit}`, formatMeasures(measures)];
  if (labels !== undefined) {
    const counts = labels.map(({ name, texts, told, right }) => [name, ...[texts, told, right].map(formatCount)]);
    lines.push(`${unit} with each label, told to have it, and rightly:`);
    lines.push(...alignedLines([['', 'with', 'told', 'right'], ...counts]));
  }
  if (confusion === undefined) return `${lines.join('\n')}\n`;
  const { names, counts } = confusion;
  const rows = [['', ...names], ...counts.map((row, index) => [names[index] as string, ...row.map(formatCount)])];
  const table = alignedLines(rows, { left: 0 });
  return `${[...lines, `${unit} of each class, by the class that they were taken for:`, ...table].join('\n')}\n`;
}
