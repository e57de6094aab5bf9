/** `performer evaluate --compare-dtypes`: one model with weights of 32, 8 and 4 bits, one after another. */
import type { TokenSource } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { heldBytes } from '../export/index.js';
import { GenerationSession } from '../generation/index.js';
import type { LoadedModel } from '../models/index.js';
import { type ProductDtype, productDtypes } from '../onnx/index.js';
import type { BatchSize, Task } from '../tasks/index.js';
import { Evaluator } from '../training/index.js';
import { chooseEngine } from './engine-flags.js';
import type { EvaluateOptions } from './evaluate.js';
import { alignedLines } from './format.js';

/** Windows side by side. */
const sideBySide = 4;
/** How often each is timed; the median counts. */
const [prompts, tokens] = [5, 64];

interface Measured {
  readonly dtype: ProductDtype;
  /** What a session holds of the model. */
  readonly megabytes: number;
  /** Nats a token, in windows. */
  readonly loss: number;
  /** Milliseconds of a prompt as long as the window, and of a token after it. */
  readonly prompt: number;
  readonly token: number;
}

export async function compareDtypes(
  loaded: LoadedModel,
  { text, taskOf }: { readonly text: TokenSource; readonly taskOf: (size: BatchSize) => Task },
  options: Omit<EvaluateOptions, 'window'> & { readonly window: number },
): Promise<string> {
  const size = { batch: sideBySide, window: options.window, accumulation: 1, carryState: false, seed: 0 };
  const rows: Measured[] = [];
  for (const dtype of productDtypes) {
    const engine = await chooseEngine({ ...options, dtype });
    const loss = await lossOf(engine, loaded, taskOf(size));
    const times = await timesOf(engine, loaded, await text.read(0, options.window));
    rows.push({ dtype, megabytes: heldBytes(loaded, dtype) / 1e6, loss, ...times });
  }
  if (options.json) return `${JSON.stringify({ window: options.window, dtypes: rows })}\n`;
  const heads = ['dtype', 'MB', 'loss', `ms for ${options.window} tokens`, 'ms a token'];
  const cells = rows.map(({ dtype, megabytes, loss, prompt, token }) => [
    ...[dtype, megabytes.toFixed(1), loss.toFixed(4), prompt.toFixed(1), token.toFixed(2)],
  ]);
  return `${alignedLines([heads, ...cells]).join('\n')}\n`;
}

/** The same of a model that does not continue texts: its measures, and how long they take, its sessions counted. */
export async function compareMeasures(
  loaded: LoadedModel,
  measure: (options: EvaluateOptions) => Promise<Readonly<Record<string, number>>>,
  options: EvaluateOptions,
): Promise<string> {
  const rows = [];
  for (const dtype of productDtypes) {
    const begin = performance.now();
    const measures = await measure({ ...options, dtype });
    rows.push({
      dtype,
      megabytes: heldBytes(loaded, dtype) / 1e6,
      measures,
      seconds: (performance.now() - begin) / 1e3,
    });
  }
  if (options.json) return `${JSON.stringify({ dtypes: rows })}\n`;
  const names = Object.keys(rows[0]!.measures);
  const cells = rows.map(({ dtype, megabytes, measures, seconds }) => [
    ...[dtype, megabytes.toFixed(1), ...names.map((name) => measures[name]!.toFixed(4)), seconds.toFixed(1)],
  ]);
  return `${alignedLines([['dtype', 'MB', ...names, 's'], ...cells]).join('\n')}\n`;
}

async function lossOf(engine: Engine, loaded: LoadedModel, task: Task): Promise<number> {
  const evaluator = new Evaluator(engine, task);
  try {
    return (await evaluator.run(loaded)).chosen;
  } finally {
    await evaluator.dispose();
  }
}

async function timesOf(
  engine: Engine,
  loaded: LoadedModel,
  prompt: Int32Array,
): Promise<{ readonly prompt: number; readonly token: number }> {
  const session = await GenerationSession.create(engine, loaded);
  const { maxLength = Number.POSITIVE_INFINITY } = loaded.model;
  const own = prompt.subarray(0, Math.max(1, Math.min(prompt.length, maxLength - tokens)));
  try {
    const read = async () => {
      session.reset();
      await session.read([own]);
    };
    await read();
    const ofPrompt = await median(prompts, read);
    const count = Math.min(tokens, session.room - 1);
    await session.step(own.subarray(0, 1));
    return { prompt: ofPrompt, token: await median(count, async () => void (await session.step(own.subarray(0, 1)))) };
  } finally {
    await session.dispose();
  }
}

/** The median time of a run, in milliseconds. */
async function median(count: number, run: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}
