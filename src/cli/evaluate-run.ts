/** `performer evaluate` at work. */
import { PerformerError } from '../base/errors.js';
import type { ByteSource } from '../data/index.js';
import type { Model } from '../models/index.js';
import { loadModel } from '../models/node.js';
import { Evaluator } from '../training/index.js';
import { type Given, usageError } from './command.js';
import { trainingWindow } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import type { EvaluateOptions } from './evaluate.js';
import { bitsPerByte, formatCount, formatLoss } from './format.js';
import type { Io } from './io.js';
import { openTexts } from './standard-input.js';
import { textTaskOfModel } from './text-task.js';

/** Windows side by side, where each is read on its own. */
const sideBySide = 4;

export async function runEvaluate(
  { arguments: [folder, files], options }: Given<EvaluateOptions>,
  io: Io,
): Promise<void> {
  const loaded = await loadModel(folder as string);
  const text = await openTexts(files as readonly string[], io);
  try {
    const window = await chooseWindow(folder as string, loaded.model, text, options.window);
    const size = { batch: sideBySide, window, accumulation: 1, carryState: false, seed: 0 };
    const task = textTaskOfModel(loaded.model).build(loaded.model, size, { train: text, heldOut: text });
    const evaluator = new Evaluator(await chooseEngine(options), task);
    try {
      const { measures } = await evaluator.run(loaded);
      expectFinite(measures);
      const report = { bytes: text.length, window, measures };
      io.stdout.write(options.json ? jsonOf(report) : textOf(report));
    } finally {
      await evaluator.dispose();
    }
  } finally {
    await text.close();
  }
}

/** Throws NUMERIC for a loss that is not finite. */
function expectFinite(measures: Report['measures']): void {
  const bad = Object.values(measures).find((loss) => !Number.isFinite(loss));
  if (bad === undefined) return;
  const advice = 'Weights of the model are no numbers, or so large that they overflow. Evaluate an earlier checkpoint.';
  throw new PerformerError('NUMERIC', `evaluate: expected a finite loss, got ${bad}. ${advice}`);
}

interface Report {
  readonly bytes: number;
  readonly window: number;
  /** Nats a byte, by how the text was read. */
  readonly measures: Readonly<Record<string, number>>;
}

function jsonOf({ bytes, window, measures }: Report): string {
  const told = Object.entries(measures).map(([name, loss]) => [name, { loss, bitsPerByte: bitsPerByte(loss) }]);
  return `${JSON.stringify({ bytes, predicted: bytes - 1, window, ...Object.fromEntries(told) })}\n`;
}

function textOf({ bytes, window, measures: { windows, streaming } }: Report): string {
  const lines = [
    `${formatCount(bytes)} bytes`,
    windows === undefined ? '' : `each window of ${window} on its own: ${formatLoss(windows)}`,
    streaming === undefined
      ? 'streaming: not possible with this attention and these positions'
      : `streaming, as one text: ${formatLoss(streaming)}`,
  ];
  return `${lines.filter((line) => line !== '').join('\n')}\n`;
}

async function chooseWindow(
  folder: string,
  { maxLength = Number.POSITIVE_INFINITY }: Model,
  text: ByteSource,
  asked: number | undefined,
): Promise<number> {
  if (asked !== undefined && asked > maxLength) {
    throw usageError(`--window: expected at most the ${maxLength} tokens that the model can read, got ${asked}.`);
  }
  const usual = asked ?? (await trainingWindow(folder)) ?? 1024;
  return Math.max(1, Math.min(usual, maxLength, text.length - 1));
}
