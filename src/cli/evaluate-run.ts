/** `performer evaluate` at work. */
import { bytesPerToken, type TokenSource, tokenSource } from '../data/index.js';
import { type Model, tokenizerOf } from '../models/index.js';
import { taskOfModel } from '../tasks/index.js';
import { Evaluator } from '../training/index.js';
import { type Given, usageError } from './command.js';
import { trainingWindow } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import type { EvaluateOptions } from './evaluate.js';
import { expectFinite } from './finite.js';
import { bitsPerByte, formatCount, formatLoss, formatMeasures } from './format.js';
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
  if (family.data !== 'text') {
    const { evaluateLabelled } = await import('./evaluate-labelled.js');
    io.stdout.write(await evaluateLabelled(family, loaded, folder as string, words as readonly string[], options));
    return;
  }
  expectColumns(family, options);
  const files = await openTexts(words as readonly string[], io);
  try {
    const text = await tokenSource(tokenizerOf(loaded.model.config), files);
    const window = await chooseWindow(folder as string, loaded.model, text, options.window);
    const size = { batch: sideBySide, window, accumulation: 1, carryState: false, seed: 0 };
    const task = family.build(loaded.model, size, { train: text, heldOut: text });
    const evaluator = new Evaluator(await chooseEngine(options), task);
    try {
      const { measures } = await evaluator.run(loaded);
      expectFinite(measures);
      const report = { text, window, measures };
      io.stdout.write(options.json ? jsonOf(report) : textOf(report));
    } finally {
      await evaluator.dispose();
    }
  } finally {
    await files.close();
  }
}

interface Report {
  readonly text: TokenSource;
  readonly window: number;
  /** Nats a token, by how the text was read. */
  readonly measures: Readonly<Record<string, number>>;
}

function jsonOf({ text, window, measures }: Report): string {
  const bytes = text.byteLength;
  if (measures.windows === undefined) return `${JSON.stringify({ bytes, window, ...measures })}\n`;
  const bits = (loss: number) => bitsPerByte(loss, bytesPerToken(text));
  const told = Object.entries(measures).map(([name, loss]) => [name, { loss, bitsPerByte: bits(loss) }]);
  return `${JSON.stringify({ bytes, predicted: text.length - 1, window, ...Object.fromEntries(told) })}\n`;
}

function textOf({ text, window, measures }: Report): string {
  const { windows, streaming } = measures;
  const size = `${formatCount(text.byteLength)} bytes`;
  if (windows === undefined) return `${size}\n${formatMeasures(measures)}\n`;
  const lines = [
    size,
    `each window of ${window} on its own: ${formatLoss(windows, bytesPerToken(text))}`,
    streaming === undefined
      ? 'streaming: not possible with this attention and these positions'
      : `streaming, as one text: ${formatLoss(streaming, bytesPerToken(text))}`,
  ];
  return `${lines.join('\n')}\n`;
}

async function chooseWindow(
  folder: string,
  { maxLength = Number.POSITIVE_INFINITY }: Model,
  text: TokenSource,
  asked: number | undefined,
): Promise<number> {
  if (asked !== undefined && asked > maxLength) {
    throw usageError(`--window: expected at most the ${maxLength} tokens that the model can read, got ${asked}.`);
  }
  const usual = asked ?? (await trainingWindow(folder)) ?? 1024;
  return Math.max(1, Math.min(usual, maxLength, text.length - 1));
}
