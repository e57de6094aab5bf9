/** `performer evaluate` at work. */
import { withArticle } from '../base/article.js';
import { type TokenSource, tokenSource } from '../data/index.js';
import { type LoadedModel, type Model, tokenizerOf } from '../models/index.js';
import { type BatchSize, type Task, taskOfModel } from '../tasks/index.js';
import { Evaluator } from '../training/index.js';
import { type Given, usageError } from './command.js';
import { trainingWindow } from './corpus.js';
import { encodingProgress } from './encoding-progress.js';
import { chooseEngine } from './engine-flags.js';
import { type EvaluateOptions, onlyWindow } from './evaluate.js';
import { expectFinite } from './finite.js';
import { formatCount, formatMeasures } from './format.js';
import type { Io } from './io.js';
import { expectColumns } from './labelled-flags.js';
import { readModel } from './read-model.js';
import { openTexts } from './standard-input.js';

/** Windows side by side, where each is read on its own. */
const sideBySide = 4;

export async function runEvaluate(
  { arguments: [folder, words], options }: Given<EvaluateOptions>,
  io: Io,
): Promise<void> {
  const loaded = await readModel(folder as string, io);
  const family = taskOfModel(loaded.model);
  if (options.compareDtypes && (options.record || options.dtype !== 'float32')) {
    throw usageError('--compare-dtypes: expected neither --record nor --dtype beside it, got one. Leave it out.');
  }
  const hasPositions = family.data === 'text' && loaded.model.isCausal;
  if (options.record && !hasPositions) {
    throw usageError(`--record: expected a model that continues texts, got ${withArticle(loaded.model.config.model)}.`);
  }
  if (family.data !== 'text') {
    const { evaluateLabelled } = await import('./evaluate-labelled.js');
    io.stdout.write(await evaluateLabelled(family, loaded, folder as string, words as readonly string[], options));
    return;
  }
  expectColumns(family, options);
  const files = await openTexts(words as readonly string[], io);
  try {
    const text = await tokenSource(tokenizerOf(loaded.model.config), files, encodingProgress(io));
    const trained = (await trainingWindow(folder as string)) ?? loaded.context?.window;
    if (options.compareDtypes && hasPositions) {
      const taskOf = (size: BatchSize) => family.build(loaded.model, size, { train: text, heldOut: text });
      const { compareDtypes } = await import('./evaluate-dtypes.js');
      const window = Math.min(onlyWindow(options.window ?? []) ?? trained ?? 1024, text.length - 1);
      io.stdout.write(await compareDtypes(loaded, { text, taskOf }, { ...options, window }));
      return;
    }
    const windows = chooseWindows(loaded.model, text, options.window ?? trained ?? 1024);
    if (hasPositions) {
      const { evaluateContext } = await import('./evaluate-context.js');
      const evaluation = { folder: folder as string, loaded, text, windows, trainingWindow: trained, options };
      return await evaluateContext(evaluation, io);
    }
    const window = onlyWindow(windows) as number;
    const size = { batch: sideBySide, window, accumulation: 1, carryState: false, seed: 0 };
    const task = family.build(loaded.model, size, { train: text, heldOut: text });
    const measure = (own: EvaluateOptions) => measuresOf(task, loaded, own);
    if (options.compareDtypes) {
      const { compareMeasures } = await import('./evaluate-dtypes.js');
      io.stdout.write(await compareMeasures(loaded, measure, options));
      return;
    }
    const measures = await measure(options);
    const bytes = text.byteLength;
    const json = () => JSON.stringify({ bytes, window, ...measures });
    io.stdout.write(options.json ? `${json()}\n` : `${formatCount(bytes)} bytes\n${formatMeasures(measures)}\n`);
  } finally {
    await files.close();
  }
}

async function measuresOf(task: Task, loaded: LoadedModel, options: EvaluateOptions) {
  const evaluator = new Evaluator(await chooseEngine(options), task);
  try {
    const { measures } = await evaluator.run(loaded);
    expectFinite(measures);
    return measures;
  } finally {
    await evaluator.dispose();
  }
}

/** The windows that were asked for, or the usual one: none longer than the text. Throws USAGE for one that the model cannot read. */
function chooseWindows(
  { maxLength = Number.POSITIVE_INFINITY }: Model,
  text: TokenSource,
  asked: readonly number[] | number,
): readonly number[] {
  const list = typeof asked === 'number' ? [Math.min(asked, maxLength)] : asked;
  const longest = Math.max(...list);
  if (longest > maxLength) {
    throw usageError(`--window: expected at most the ${maxLength} tokens that the model can read, got ${longest}.`);
  }
  return [...new Set(list.map((window) => Math.max(1, Math.min(window, text.length - 1))))];
}
