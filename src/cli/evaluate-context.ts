/** `performer evaluate` on a model that continues texts: its loss by position, in windows of several lengths and as one stream. */
import { bytesPerToken, type TokenSource } from '../data/index.js';
import type { LoadedModel, OctaveLoss } from '../models/index.js';
import { writeContext } from '../models/node.js';
import { type ContextLosses, contextLosses } from '../training/index.js';
import { noteRise } from './context-note.js';
import { chooseEngine } from './engine-flags.js';
import type { EvaluateOptions } from './evaluate.js';
import { expectFinite } from './finite.js';
import { alignedLines, bitsPerByte, formatCount, formatLoss } from './format.js';
import type { Io } from './io.js';
import { rowProgress } from './row-progress.js';

/** What is evaluated. */
export interface ContextEvaluation {
  readonly folder: string;
  readonly loaded: LoadedModel;
  readonly text: TokenSource;
  readonly windows: readonly number[];
  /** Tokens of a window of the training, where that is known. */
  readonly trainingWindow: number | undefined;
  readonly options: EvaluateOptions;
}

/** Prints the losses; where the user asks to stop before they are known, nothing. */
export async function evaluateContext(evaluation: ContextEvaluation, io: Io): Promise<void> {
  const { folder, loaded, text, windows, trainingWindow, options } = evaluation;
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  const progress = rowProgress(io.stderr, 'tokens');
  let losses: ContextLosses;
  try {
    losses = await contextLosses(await chooseEngine(options), loaded, text, {
      ...{ windows, trainingWindow, signal: stop.signal },
      onProgress: ({ window, targets, of }) => {
        const stage = Number.isFinite(window) ? `windows of ${formatCount(window)}` : 'one text';
        progress.show(`${stage}, ${Math.round((100 * targets) / of)} %`, targets);
      },
    });
  } catch (cause) {
    if (cause === stop.signal.reason) return;
    throw cause;
  } finally {
    release();
    progress.close();
  }
  expectFinite({ loss: losses.windows[0]?.loss ?? Number.NaN, streaming: losses.stream?.loss ?? 0 });
  io.stdout.write(options.json ? jsonOf(losses, text) : textOf(losses, text));
  if (options.record) await writeContext(folder, losses.context);
  noteRise(io, 'The text', losses.context);
}

function jsonOf({ windows, stream }: ContextLosses, text: TokenSource): string {
  const told = (loss: number) => ({ loss, bitsPerByte: bitsPerByte(loss, bytesPerToken(text)) });
  const [{ window, loss }] = windows as [ContextLosses['windows'][number]];
  const report = {
    ...{ bytes: text.byteLength, predicted: text.length - 1, window, windows: told(loss) },
    ...(stream && { streaming: { ...told(stream.loss), byPosition: stream.byPosition } }),
    byWindow: windows.map(({ window, loss, ...positions }) => ({ window, ...told(loss), ...positions })),
  };
  return `${JSON.stringify(report)}\n`;
}

function textOf({ windows, stream }: ContextLosses, text: TokenSource): string {
  const told = (loss: number) => formatLoss(loss, bytesPerToken(text));
  const lines = [
    `${formatCount(text.byteLength)} bytes`,
    ...windows.map(({ window, loss }) => `each window of ${window} on its own: ${told(loss)}`),
    stream === undefined
      ? 'streaming: not possible with this attention and these positions'
      : `streaming, as one text: ${told(stream.loss)}`,
  ];
  const [{ window: first, byPlace }] = windows as [ContextLosses['windows'][number]];
  const columns: readonly (readonly [string, readonly OctaveLoss[]])[] = [
    ...windows.map(({ window, byPosition }) => [`windows of ${formatCount(window)}`, byPosition] as const),
    ...(stream === undefined
      ? []
      : ([
          ['as one text', stream.byPosition],
          [`same tokens, windows of ${formatCount(first)}`, byPlace],
        ] as const)),
  ];
  return [...lines, '', ...positionTable(columns), ''].join('\n');
}

/** A row for each octave of positions, and a column for each way of reading. */
function positionTable(columns: readonly (readonly [title: string, losses: readonly OctaveLoss[]])[]): string[] {
  const octaves = columns.reduce((most, [, losses]) => (losses.length > most.length ? losses : most), columns[0]![1]);
  const rows = octaves.map(({ from, to }) => [
    from === to ? formatCount(from) : `${formatCount(from)}–${formatCount(to)}`,
    ...columns.map(([, losses]) => losses.find((own) => own.from === from)?.loss.toFixed(4) ?? ''),
  ]);
  return alignedLines([['loss at position', ...columns.map(([title]) => title)], ...rows]);
}
