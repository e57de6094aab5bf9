/** The loop of a training as the terminal and metrics.jsonl see it. */
import { bytesPerToken, type SplitTokens } from '../data/index.js';
import { modelOf } from '../models/index.js';
import { type CheckpointStore, type RunEvent, runTraining, type Trainer } from '../training/index.js';
import { bitsPerByte, formatLoss, formatMeasures } from './format.js';
import type { Io } from './io.js';
import type { MetricsFile } from './metrics.js';
import { Pace } from './pace.js';
import { trainingProgress } from './progress.js';
import { kernelText } from './train-flags.js';

export interface LoopOptions {
  readonly store: CheckpointStore;
  readonly metrics: MetricsFile;
  readonly io: Io;
  /** What it learns from, where that is running text, whose losses are in nats a token. */
  readonly text?: SplitTokens | undefined;
}

/** Trains until the last step, or until the user asks to stop; both end with a checkpoint. */
export async function trainLoop(trainer: Trainer, { store, metrics, io, text }: LoopOptions): Promise<void> {
  const { step: start, training, model } = trainer.snapshot;
  if (modelOf(model).mixers.some(({ traits }) => traits.isFlat)) {
    io.stderr.write(
      `note: ${kernelText(model)} have no gradient, so that the weights of queries and keys stay as they were ` +
        'drawn, but for weight decay.\n',
    );
  }
  const progress = trainingProgress(io.stdout, start, training.steps);
  const stop = new AbortController();
  const release = io.onStop(() => {
    progress.note('Ending after this step, and saving. Once more ends at once.');
    stop.abort();
  });
  const pace = new Pace();
  const events = runTraining(trainer, { store, signal: stop.signal });
  try {
    for (;;) {
      const asked = performance.now(); // each event is what was done since it was asked for
      const { value: event, done } = await events.next();
      if (done) break;
      await tell(event, (performance.now() - asked) / 1000);
    }
  } finally {
    release();
    progress.close();
  }

  async function tell(event: RunEvent, seconds: number): Promise<void> {
    const time = new Date().toISOString();
    if (event.kind === 'step') {
      pace.noteStep(seconds, event.tokens);
      const { step, loss, gradientNorm, learningRate } = event;
      const bits = text && bitsPerByte(loss, bytesPerToken(text.train));
      const speed = { tokensPerSecond: Math.round(pace.tokensPerSecond), memory: process.memoryUsage.rss() };
      const figures = { loss, bitsPerByte: bits, gradientNorm, learningRate, ...speed };
      await metrics.append({ kind: 'step', step, ...figures, seconds, time });
      progress.step({ step, loss, bitsPerByte: bits, ...speed, secondsLeft: pace.secondsLeft(step, training) });
    } else if (event.kind === 'evaluation') {
      pace.noteEvaluation(seconds);
      const { step, isBest, chosen, measures } = event;
      const heldOut = text && bytesPerToken(text.heldOut);
      const bits = heldOut && bitsPerByte(chosen, heldOut);
      const figures = { loss: chosen, bitsPerByte: bits, ...measures };
      await metrics.append({ kind: 'evaluation', step, ...figures, isBest, time });
      progress.note(
        `step ${step}/${training.steps}  held out: ${heldOut ? formatLoss(chosen, heldOut) : formatMeasures(measures)}${isBest ? ' (best)' : ''}`,
      );
    }
  }
}
