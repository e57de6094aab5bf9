/** `performer bench` measuring, and profiling. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileChainedProducts, type Engine } from '../engine/index.js';
import {
  forwardOperations,
  inTurns,
  type Profile,
  type Timing,
  tokenBytes,
  trainingOperations,
} from '../measure/index.js';
import { peakBytes, readProfiles } from '../measure/node.js';
import {
  type BenchWork,
  type Part,
  type PartName,
  partNames,
  prepareReading,
  prepareTraining,
  readingOf,
} from './bench-parts.js';

/** The first training steps touch fresh memory; the other parts are warm after one run. */
const warmupSteps = 6;
const warmupRounds = 1;
/** Runs of a part under the profiler: the first one is not counted. */
const profiledRuns = 3;

/** How many runs there are in all, for progress. */
export const runCounts = {
  measuring: (rounds: number) => warmupSteps + (warmupRounds + rounds) * (partNames.length + 1),
  profiling: profiledRuns * partNames.length,
};

export interface Watch {
  /** Asks to end after the run under way. */
  readonly signal: AbortSignal;
  /** Called after each run. */
  onRun(): void;
}

/** How long a part took, and what follows from that. */
export interface Measured {
  /** Of a run; in decoding, of a token. */
  readonly milliseconds: Timing;
  /** In a run. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** What compiling took. */
  readonly creationMilliseconds: number;
}

/** Of what products of matrices limit. */
export interface Computed extends Measured {
  readonly gigaflops: number;
  /** Of the reference rate. */
  readonly share: number;
}

export interface BenchResult {
  /** Large products: the machine's limit. */
  readonly reference: { readonly milliseconds: Timing; readonly gigaflops: number };
  /** And the most memory that the process has held. */
  readonly training: Computed & { readonly peakBytes: number };
  readonly prompt: Computed;
  readonly decoding: Measured & { readonly bytesPerToken: number; readonly gigabytesPerSecond: number };
}

/** Times every part in turns. Throws the signal's reason where it came before a whole round was measured. */
export async function measure(
  engine: Engine,
  work: BenchWork,
  rounds: number,
  { signal, onRun }: Watch,
): Promise<BenchResult> {
  const open: { dispose(): Promise<void> }[] = [];
  try {
    const training = await prepareTraining(engine, work);
    open.push(training);
    for (let step = 0; step < warmupSteps; step++) {
      signal.throwIfAborted();
      await training.run();
      onRun();
    }
    const peak = peakBytes();
    const { prompt, decoding } = await prepareReading({ prompt: engine, decoding: engine }, work);
    open.push(prompt, decoding);
    const reference = await compileChainedProducts(engine);
    open.push(reference);
    const runs = { reference: reference.run, training: training.run, prompt: prompt.run, decoding: decoding.run };
    const times = await inTurns(runs, { warmup: warmupRounds, rounds, signal, onRun });
    return resultOf(work, {
      parts: { training, prompt, decoding },
      times,
      operations: reference.operations,
      peakBytes: peak,
    });
  } finally {
    for (const each of open) await each.dispose();
  }
}

interface Taken {
  readonly parts: Readonly<Record<PartName, Part>>;
  readonly times: Readonly<Record<PartName | 'reference', Timing>>;
  /** Of the reference. */
  readonly operations: number;
  readonly peakBytes: number;
}

function resultOf(
  { loaded: { model }, length, batch }: BenchWork,
  { parts, times, operations, peakBytes }: Taken,
): BenchResult {
  const { prompt, decoded } = readingOf(model, length);
  const rate = (name: keyof typeof times, done: number) => done / times[name].median / 1e6;
  const measured = (name: PartName, tokens: number): Measured => ({
    milliseconds: times[name],
    tokens,
    tokensPerSecond: (tokens * 1000) / times[name].median,
    creationMilliseconds: parts[name].creation(),
  });
  const gigaflops = rate('reference', operations);
  const computed = (name: PartName, tokens: number, done: number): Computed => ({
    ...measured(name, tokens),
    gigaflops: rate(name, done),
    share: rate(name, done) / gigaflops,
  });
  const { median, fastest, slowest, runs } = times.decoding;
  const bytesPerToken = tokenBytes(model, prompt + (decoded - 1) / 2);
  return {
    reference: { milliseconds: times.reference, gigaflops },
    training: {
      ...computed('training', batch * length, batch * trainingOperations(model, length)),
      peakBytes,
    },
    prompt: computed('prompt', prompt, forwardOperations(model, prompt, 1)),
    decoding: {
      ...measured('decoding', decoded),
      milliseconds: { median: median / decoded, fastest: fastest / decoded, slowest: slowest / decoded, runs },
      bytesPerToken,
      gigabytesPerSecond: rate('decoding', bytesPerToken * decoded),
    },
  };
}

/**
 * Where the time of each part goes. Being profiled slows sessions, so these are their own. Throws the signal's reason.
 */
export async function profileParts(
  engineOf: (profilePrefix: string) => Promise<Engine>,
  work: BenchWork,
  { signal, onRun }: Watch,
): Promise<Record<PartName, Profile>> {
  signal.throwIfAborted();
  const folder = await mkdtemp(join(tmpdir(), 'performer-profile-'));
  const prefixOf = (name: PartName) => join(folder, name);
  const open: Part[] = [];
  const run = async (part: Part) => {
    for (let index = 0; index < profiledRuns; index++) {
      signal.throwIfAborted();
      await part.run();
      onRun();
    }
  };
  const close = async () => {
    for (const part of open.splice(0)) await part.dispose();
  };
  try {
    const training = await prepareTraining(await engineOf(prefixOf('training')), work);
    open.push(training);
    await run(training);
    await close(); // a session writes its profile when it is closed
    const engines = { prompt: await engineOf(prefixOf('prompt')), decoding: await engineOf(prefixOf('decoding')) };
    const { prompt, decoding } = await prepareReading(engines, work);
    open.push(prompt, decoding);
    await run(prompt);
    await run(decoding);
    await close();
    const read = (name: PartName) => readProfiles(prefixOf(name), { warmup: 1 });
    return { training: await read('training'), prompt: await read('prompt'), decoding: await read('decoding') };
  } finally {
    await close();
    await rm(folder, { recursive: true, force: true });
  }
}
