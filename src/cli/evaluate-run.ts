/** `performer evaluate` at work. */
import { PerformerError } from '../base/errors.js';
import { type ByteSource, evaluationWindows } from '../data/index.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { canCarryState, initialState, type LanguageModelState } from '../models/index.js';
import { compileEvaluation } from '../training/index.js';
import { type LoadedModel, loadModel } from '../training/node.js';
import { usageError } from './command.js';
import { trainingWindow } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import type { FlagValues } from './flags.js';
import { bitsPerByte, formatCount, formatLoss } from './format.js';
import type { Io } from './io.js';
import { openTexts } from './standard-input.js';

/** Windows side by side, where each is read on its own. */
const sideBySide = 4;

export async function runEvaluate(folder: string, files: readonly string[], flags: FlagValues, io: Io): Promise<void> {
  const model = await loadModel(folder);
  const text = await openTexts(files, io);
  try {
    const window = await chooseWindow(folder, model, text, flags.window as number | undefined);
    const engine = await chooseEngine(flags);
    const windows = await meanLoss(engine, model, text, { window, batch: sideBySide, carryState: false });
    const streaming = canCarryState(model.config)
      ? await meanLoss(engine, model, text, { window, batch: 1, carryState: true })
      : undefined;
    const report = { bytes: text.length, window, windows, streaming };
    io.stdout.write(flags.json ? jsonOf(report) : textOf(report));
  } finally {
    await text.close();
  }
}

interface Report {
  readonly bytes: number;
  readonly window: number;
  /** Nats a byte. */
  readonly windows: number;
  readonly streaming: number | undefined;
}

function jsonOf({ bytes, window, windows, streaming }: Report): string {
  const told = (loss: number) => ({ loss, bitsPerByte: bitsPerByte(loss) });
  const streamed = streaming === undefined ? {} : { streaming: told(streaming) };
  return `${JSON.stringify({ bytes, predicted: bytes - 1, window, windows: told(windows), ...streamed })}\n`;
}

function textOf({ bytes, window, windows, streaming }: Report): string {
  const lines = [
    `${formatCount(bytes)} bytes`,
    `each window of ${window} on its own: ${formatLoss(windows)}`,
    streaming === undefined ? 'streaming: not possible with this attention and these positions' : '',
    streaming === undefined ? '' : `streaming, as one text: ${formatLoss(streaming)}`,
  ];
  return `${lines.filter((line) => line !== '').join('\n')}\n`;
}

async function chooseWindow(
  folder: string,
  { config: { maxLength = Number.POSITIVE_INFINITY } }: LoadedModel,
  text: ByteSource,
  asked: number | undefined,
): Promise<number> {
  if (asked !== undefined && asked > maxLength) {
    throw usageError(`--window: expected at most the ${maxLength} tokens that the model can read, got ${asked}.`);
  }
  const usual = asked ?? (await trainingWindow(folder)) ?? 1024;
  return Math.max(1, Math.min(usual, maxLength, text.length - 1));
}

interface Reading {
  readonly window: number;
  readonly batch: number;
  readonly carryState: boolean;
}

/** Nats a byte over all bytes but the first. Throws DATA for less than two bytes, NUMERIC where it is not finite. */
async function meanLoss(
  engine: Engine,
  { config, params, projections }: LoadedModel,
  text: ByteSource,
  reading: Reading,
): Promise<number> {
  const compiled = await compileEvaluation(engine, config, reading);
  try {
    let states: readonly LanguageModelState<EngineTensor>[] = reading.carryState
      ? [initialState(config, reading.batch)]
      : [];
    let total = 0;
    for await (const { tokens, mask } of evaluationWindows(text, reading)) {
      const result = await compiled.run({ params, projections, states, tokens, mask });
      states = result.states;
      total += result.total;
    }
    const loss = total / (text.length - 1);
    if (Number.isFinite(loss)) return loss;
    const advice =
      'Weights of the model are no numbers, or so large that they overflow. Evaluate an earlier checkpoint.';
    throw new PerformerError('NUMERIC', `evaluate: expected a finite loss, got ${loss}. ${advice}`);
  } finally {
    await compiled.dispose();
  }
}
