/**
 * The losses of a language model on a text by position: in windows of several lengths, each on its own, and as one stream.
 *
 * Windows longer than a piece are read piece by piece as the stream is, with states that are carried, so that memory stays
 * flat; of models whose state cannot be carried they are read whole.
 */
import { PerformerError } from '../base/errors.js';
import type { TokenSource } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import {
  type ContextRecord,
  canCarryState,
  contextRecord,
  type LoadedModel,
  type OctaveLoss,
  type WindowLosses,
} from '../models/index.js';
import {
  type EvaluationSums,
  languageModelling,
  streamReading,
  type TaskEvaluation,
  windowsReading,
} from '../tasks/index.js';
import { Evaluator } from './evaluator.js';

/** How a text is read. */
export interface ContextOptions {
  /** Tokens of a window, one for each reading; each at least 1. */
  readonly windows: readonly number[];
  /** Tokens of a window of the training; the first of `windows` unless given. */
  readonly trainingWindow?: number | undefined;
  /** Once it is given, its reason is thrown before the next batch. */
  readonly signal?: AbortSignal | undefined;
  /** Told how many targets of a reading have been read. */
  readonly onProgress?: ((progress: ContextProgress) => void) | undefined;
}

/** How far a reading came. */
export interface ContextProgress {
  /** Tokens of a window; infinite of the stream. */
  readonly window: number;
  /** Targets so far, and in all. */
  readonly targets: number;
  readonly of: number;
}

/** The loss of windows that were each read on their own. */
export interface WindowsLoss extends WindowLosses {
  readonly window: number;
  /** The mean over all targets: nats a token. */
  readonly loss: number;
}

/** The losses of a text by position. */
export interface ContextLosses {
  /** In the order in which they were asked for. */
  readonly windows: readonly WindowsLoss[];
  /** The text as one stream; absent where the model's state cannot be carried. */
  readonly stream?: { readonly loss: number; readonly byPosition: readonly OctaveLoss[] } | undefined;
  /** What this shows of long texts. */
  readonly context: ContextRecord;
}

/** Tokens that are read at once, of a model that can go on from a state. */
const pieceTokens = 1024;
/** Windows side by side; fewer where what is read at once is longer, so that memory does not grow with both. */
const sideBySide = 4;

/**
 * Reads a text in windows of each length, and as one stream where the model can. Every token but the first is predicted once
 * in each reading.
 *
 * @throws CONFIG for windows that are none, and for a model that continues no texts; DATA for a text of fewer than 2 tokens;
 *   the signal's reason.
 */
export async function contextLosses(
  engine: Engine,
  loaded: LoadedModel,
  text: TokenSource,
  { windows: asked, trainingWindow, signal, onProgress }: ContextOptions,
): Promise<ContextLosses> {
  const { model } = loaded;
  const [first] = asked;
  if (first === undefined) throw new PerformerError('CONFIG', 'contextLosses: expected at least one window, got none.');
  const size = { batch: 1, window: first, accumulation: 1, carryState: false, seed: 0 };
  const task = languageModelling(model, size, { train: text, heldOut: text });
  const of = text.length - 1;
  const read = async (window: number, evaluation: TaskEvaluation): Promise<EvaluationSums> => {
    const evaluator = new Evaluator(engine, task);
    try {
      return await evaluator.sums(evaluation, loaded, signal, (targets) => onProgress?.({ window, targets, of }));
    } finally {
      await evaluator.dispose();
    }
  };
  const isCarried = canCarryState(model);
  const windows: WindowsLoss[] = [];
  for (const window of asked) {
    const piece = isCarried ? pieceTokens : window;
    const most = Math.min(sideBySide, Math.floor((sideBySide * pieceTokens) / piece));
    const batch = Math.max(1, Math.min(most, Math.ceil(of / window)));
    const { total, count, positions } = await read(window, windowsReading(text, { batch, window, piece }));
    windows.push({ window, loss: total / count, ...(positions as WindowLosses) });
  }
  const trained = trainingWindow ?? first;
  if (!isCarried) {
    const longest = windows.reduce((a, b) => (b.window > a.window ? b : a));
    return { windows, context: contextRecord(trained, longest) };
  }
  const piece = Math.min(pieceTokens, Math.max(...asked));
  const { total, count, positions } = await read(Number.POSITIVE_INFINITY, streamReading(text, piece));
  const { byPosition } = positions as WindowLosses;
  const near = windows.find(({ window }) => window >= trained) ?? (windows.at(-1) as WindowsLoss);
  const context = contextRecord(trained, near, byPosition);
  return { windows, stream: { loss: total / count, byPosition }, context };
}
