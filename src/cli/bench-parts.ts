/** What `performer bench` times: a training step, a prompt, and tokens after it, each to be run again and again. */
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { tokensSource } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { GenerationSession } from '../generation/index.js';
import { buffersDigest, type LoadedModel, type Model, presets, tokenConfig } from '../models/index.js';
import { taskOfModel } from '../tasks/index.js';
import { initMoments, type Moments, type Snapshot, Trainer, trainingConfig } from '../training/index.js';

export const partNames = ['training', 'prompt', 'decoding'] as const;
export type PartName = (typeof partNames)[number];

export interface BenchWork {
  readonly loaded: LoadedModel;
  /** Tokens of a window in training. */
  readonly length: number;
  /** Windows side by side in training. */
  readonly batch: number;
}

export interface Part {
  run(): Promise<unknown>;
  dispose(): Promise<void>;
  /** Milliseconds that compiling has taken so far; what a session compiles is ready after the first run. */
  creation(): number;
}

/** The prompt, and the tokens that are decoded after it in one run: fewer where a model can read no more. */
export function readingOf({ maxLength = Number.POSITIVE_INFINITY }: Model, length: number) {
  const decoded = Math.max(1, Math.min(32, Math.floor(maxLength / 2)));
  return { prompt: Math.max(1, Math.min(length, maxLength - decoded)), decoded };
}

function randomTokens({ config }: Model, count: number): Int32Array {
  const { vocabularySize } = tokenConfig(config);
  const words = Random.fromSeed(1).split('tokens').bits(count);
  return Int32Array.from(words, (word) => (word >>> 24) % vocabularySize);
}

/** An engine that keeps the time it takes to compile. */
function clocked(engine: Engine): { engine: Engine; taken: () => number } {
  let taken = 0;
  const compile: Engine['compile'] = async (build, args) => {
    const start = performance.now();
    const executable = await engine.compile(build, args);
    taken += performance.now() - start;
    return executable;
  };
  return { engine: { ...engine, compile }, taken: () => taken };
}

/** A positive learning rate that is 0 in float32. */
const zeroRate = 1e-300;

/**
 * Training as the trainer does it, by the optimizer of presets, on random tokens. The weights stay as they are, since reading
 * shares them.
 */
export async function prepareTraining(plain: Engine, { loaded, length, batch }: BenchWork): Promise<Part> {
  const { engine, taken } = clocked(plain);
  const { model, params, buffers } = loaded;
  const own = { steps: 1, batch, window: length, learningRate: zeroRate, redrawInterval: 0 };
  const training = trainingConfig({ optimizer: presets.tiny.training.optimizer, ...own });
  const snapshot: Snapshot = {
    model: model.config,
    training,
    step: 1_000_001, // past the first ones, before which maps with a shape measure it
    params,
    moments: initMoments(params, training.optimizer) as Moments<object>,
    buffers,
    states: [],
    statesDigest: buffersDigest(buffers),
  };
  const text = tokensSource(randomTokens(model, length + 1), length + 1);
  const family = taskOfModel(model);
  if (family.data !== 'text') {
    const expected = 'a model that learns from running text';
    throw new PerformerError('CONFIG', `${family.name}: expected ${expected}, got another.`);
  }
  const task = family.build(model, training, { train: text, heldOut: text });
  const trainer = await Trainer.create(snapshot, { engine, task });
  return { run: () => trainer.step(), dispose: () => trainer.dispose(), creation: taken };
}

/** A prompt, and tokens after it, which begin again from the same state in each run. */
export async function prepareReading(
  engines: Readonly<Record<'prompt' | 'decoding', Engine>>,
  { loaded, length }: BenchWork,
): Promise<Record<'prompt' | 'decoding', Part>> {
  const { prompt, decoded } = readingOf(loaded.model, length);
  const tokens = randomTokens(loaded.model, prompt);
  const prepare = async (plain: Engine, run: (session: GenerationSession) => Promise<unknown>) => {
    const { engine, taken } = clocked(plain);
    const session = await GenerationSession.create(engine, loaded);
    return { session, run: () => run(session), dispose: () => session.dispose(), creation: taken };
  };
  const reader = await prepare(engines.prompt, async (session) => {
    session.reset();
    await session.read(tokens);
  });
  await reader.run();
  const state = await reader.session.saveState();
  const decoder = await prepare(engines.decoding, async (session) => {
    session.loadState(state);
    for (let index = 0; index < decoded; index++) await session.step(tokens.subarray(0, 1));
  });
  return { prompt: reader, decoding: decoder };
}
