/** metrics.jsonl: a line of JSON for each step, and one for each evaluation, as they happen. */
import { createReadStream } from 'node:fs';
import { appendFile, type FileHandle, open, stat, truncate } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';
import { writeFully } from '../interop/node-files.js';
import type { CurvePoints } from './loss-curve.js';

export type MetricsLine =
  | {
      readonly kind: 'step';
      readonly step: number;
      /** Nats a token. */
      readonly loss: number;
      readonly bitsPerByte?: number | undefined;
      readonly gradientNorm: number;
      readonly learningRate: number;
      readonly tokensPerSecond: number;
      /** Bytes that the process holds. */
      readonly memory: number;
      /** Seconds that the step took. */
      readonly seconds: number;
      /** ISO 8601. */
      readonly time: string;
    }
  | {
      readonly kind: 'evaluation';
      readonly step: number;
      /** Nats a token on the held-out text, read as the run was trained. */
      readonly loss: number;
      readonly bitsPerByte?: number | undefined;
      readonly isBest: boolean;
      readonly time: string;
      /** All that the task measures, by name: windows and streaming, in nats a token. */
      readonly [measure: string]: unknown;
    };

async function* linesOf(path: string): AsyncGenerator<string> {
  if ((await stat(path).catch(() => undefined)) === undefined) return;
  yield* createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
}

function parse(line: string): MetricsLine | undefined {
  try {
    const value = JSON.parse(line);
    return typeof value?.step === 'number' && typeof value.loss === 'number' ? value : undefined;
  } catch {
    return undefined; // a line cut short, when the process was killed
  }
}

function failure(path: string, cause: unknown): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const reason = reasonOf(cause);
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(reason);
  const advice = isFull ? 'Free some space.' : 'It must be a file that may be read and written.';
  return new PerformerError('DATA', `${path}: expected to write a line, got ${reason}. ${advice}`, { cause });
}

/** Cuts off the lines after a step, and one that was cut short, so that what follows comes once. */
async function cutAfter(path: string, step: number): Promise<void> {
  let length = 0;
  for await (const line of linesOf(path)) {
    const parsed = parse(line);
    if (parsed === undefined || parsed.step > step) break;
    length += Buffer.byteLength(line) + 1;
  }
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size < length) await appendFile(path, '\n'); // all but the end of the last line was written
  if (size > length) await truncate(path, length);
}

export class MetricsFile {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** Opens the file to go on after a step. Throws DATA when it cannot be written. */
  static async open(path: string, step: number): Promise<MetricsFile> {
    try {
      await cutAfter(path, step);
      return new MetricsFile(path, await open(path, 'a'));
    } catch (cause) {
      throw failure(path, cause);
    }
  }

  /** Adds a line. Throws DATA when the disk is full. */
  async append(line: MetricsLine): Promise<void> {
    try {
      await writeFully(this.file, Buffer.from(`${JSON.stringify(line)}\n`));
    } catch (cause) {
      throw failure(this.path, cause);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** Seconds of the median step, NaN where there is no step, and of all steps. */
export async function readTimes(path: string): Promise<{ readonly median: number; readonly total: number }> {
  const times: number[] = [];
  for await (const line of linesOf(path)) {
    const parsed = parse(line);
    if (parsed?.kind === 'step') times.push(parsed.seconds);
  }
  times.sort((a, b) => a - b);
  return {
    median: times[Math.floor(times.length / 2)] ?? Number.NaN,
    total: times.reduce((sum, seconds) => sum + seconds, 0),
  };
}

/** All losses that a file tells of. */
export async function readCurve(path: string): Promise<CurvePoints> {
  const points: CurvePoints = { train: [], heldOut: [] };
  for await (const line of linesOf(path)) {
    const parsed = parse(line);
    if (parsed === undefined) continue;
    const { kind, step, loss } = parsed;
    (kind === 'step' ? points.train : points.heldOut).push({ step, loss });
  }
  return points;
}
