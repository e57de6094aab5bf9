/** The loss of a language model by position: in windows, in long ones piece by piece, and as one stream. */
import { describe, expect, it } from 'vitest';
import { bytesSource, byteTokenizer, splitCorpus, tokensSource } from '../../src/data/index.js';
import { modelOf, Octaves } from '../../src/models/index.js';
import { languageModelling, windowsReading } from '../../src/tasks/index.js';
import { type ContextProgress, contextLosses, Evaluator } from '../../src/training/index.js';
import { drawTokens, parallelLogits, randomModel } from '../generation/models.js';
import { corpus, engine, snapshotOf, trainerFor } from '../support/tiny.js';

const sourceOf = (tokens: Int32Array) => tokensSource(tokens, tokens.length);

/** −log softmax(logits)[target] */
function lossOf(logits: Float64Array, target: number): number {
  const top = Math.max(...logits);
  return top + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0)) - logits[target]!;
}

/** The losses of every target of a text by the definition: those of each window alone. */
async function lossesByDefinition(model: ReturnType<typeof randomModel>, tokens: Int32Array, window: number) {
  const losses: number[] = [];
  for (let start = 0; start + 1 < tokens.length; start += window) {
    const logits = await parallelLogits(engine, model, tokens.slice(start, start + window));
    for (let at = 0; at < window && start + at + 1 < tokens.length; at++) {
      losses.push(lossOf(logits[at]!, tokens[start + at + 1]!));
    }
  }
  return losses;
}

function octavesOf(losses: readonly number[], positionOf: (place: number) => number) {
  const octaves = new Octaves();
  losses.forEach((loss, at) => void octaves.add(positionOf(at + 1), loss));
  return octaves.losses.map(({ loss, ...octave }) => ({ ...octave, loss: expect.closeTo(loss, 4) }));
}

describe('the losses of a text by position', () => {
  it.each(['favor+', 'softmax'] as const)('with %s attention are those of its tokens', async (attention) => {
    const model = randomModel(attention === 'softmax' ? { attention } : {});
    const tokens = drawTokens(45);
    const { windows, stream } = await contextLosses(engine, model, sourceOf(tokens), { windows: [10, 32] });
    for (const [index, window] of [10, 32].entries()) {
      const losses = await lossesByDefinition(model, tokens, window);
      expect(losses).toHaveLength(44);
      expect(windows[index]).toEqual({
        window,
        loss: expect.closeTo(losses.reduce((a, b) => a + b) / 44, 4),
        byPosition: octavesOf(losses, (place) => ((place - 1) % window) + 1),
        byPlace: octavesOf(losses, (place) => place),
      });
    }
    if (attention === 'softmax') return expect(stream).toBeUndefined();
    expect(stream?.byPosition).toEqual(octavesOf(await lossesByDefinition(model, tokens, 44), (place) => place));
  });

  it('are the same where windows are read in pieces, whose states begin anew with each window', async () => {
    const model = randomModel();
    const tokens = drawTokens(3 * 50 + 20);
    const text = sourceOf(tokens);
    const size = { batch: 2, window: 50, accumulation: 1, carryState: false, seed: 0 };
    const evaluator = new Evaluator(engine, languageModelling(model.model, size, { train: text, heldOut: text }));
    const whole = await evaluator.sums(windowsReading(text, { batch: 2, window: 50 }), model);
    const pieces = await evaluator.sums(windowsReading(text, { batch: 2, window: 50, piece: 16 }), model);
    await evaluator.dispose();
    expect(whole.count).toBe(169);
    expect(pieces.count).toBe(169);
    for (const by of ['byPosition', 'byPlace'] as const) {
      const expected = whole.positions![by].map((octave) => ({ ...octave, loss: expect.closeTo(octave.loss, 4) }));
      expect(pieces.positions![by]).toEqual(expected);
    }
  });

  it('are those that the evaluation of a training notes', async () => {
    const snapshot = snapshotOf();
    const trainer = await trainerFor(snapshot);
    const { measures, context } = await trainer.evaluate();
    const { context: kept } = trainer.snapshot;
    expect(kept).toBe(context);
    await trainer.step();
    expect(trainer.snapshot.context).toBeUndefined();
    await trainer.dispose();
    const { heldOut } = await splitCorpus(bytesSource(corpus), byteTokenizer, snapshot.training);
    const loaded = { model: modelOf(snapshot.model), params: snapshot.params, buffers: snapshot.buffers };
    const losses = await contextLosses(engine, loaded, heldOut, { windows: [32] });
    expect(losses.windows[0]!.loss).toBeCloseTo(measures.windows!, 5);
    expect(losses.stream!.loss).toBeCloseTo(measures.streaming!, 5);
    expect(context!.window).toBe(32);
    expect(losses.context.positions).toEqual(
      context!.positions.map(({ loss, excess, ...octave }) => ({
        ...{ ...octave, loss: expect.closeTo(loss, 4), excess: expect.closeTo(excess, 4) },
      })),
    );
  });

  it('tell how far they came, and end by a signal before the next batch', async () => {
    const model = randomModel();
    const text = sourceOf(drawTokens(101));
    const stop = new AbortController();
    const told: ContextProgress[] = [];
    const reading = contextLosses(engine, model, text, {
      ...{ windows: [10], signal: stop.signal },
      onProgress(progress) {
        told.push(progress);
        if (progress.targets === 80) stop.abort();
      },
    });
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    expect(told).toEqual([
      { window: 10, targets: 40, of: 100 },
      { window: 10, targets: 80, of: 100 },
    ]);
    await expect(contextLosses(engine, model, text, { windows: [] })).rejects.toMatchObject({ code: 'CONFIG' });
  });
});
