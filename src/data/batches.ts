/**
 * Batches of windows of tokens. A window of W tokens is read as W + 1: the model sees the first W and
 * predicts the last W, so tokens [batch, window+1]. Each kind of batch is a pure function of the source and a step
 * (and a random key): a resumed run needs no stored position.
 */
import { type HostTensor, int32, zeros } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { type ByteSource, sliceSource } from './byte-source.js';
import type { TokenSource } from './token-source.js';
import { type SourceOptions, type Tokenizer, tokenSource } from './tokenizer.js';

export interface Windows {
  /** [batch, window+1] */
  readonly tokens: HostTensor<'int32'>;
}

export interface LaneWindows extends Windows {
  /** The lanes begin here: a carried state must be cleared first. */
  readonly isStart: boolean;
}

export interface EvaluationWindows extends Windows {
  /** [batch, window], 1 where the target counts, 0 where it is padding. */
  readonly mask: HostTensor;
}

export interface WindowSize {
  /** Windows side by side, at least 1. */
  readonly batch: number;
  /** Predicted tokens per window, at least 1. */
  readonly window: number;
}

/** The two parts of a corpus as tokens. */
export interface SplitTokens {
  readonly train: TokenSource;
  readonly heldOut: TokenSource;
}

/**
 * The tokens of a text, of which the last part is held out: the same bytes with every tokenizer.
 *
 * @param heldOut the part, between 0 and 1.
 * @throws DATA when either part has no window+1 tokens.
 */
export async function splitCorpus(
  text: ByteSource,
  tokenizer: Tokenizer,
  { heldOut, window }: { readonly heldOut: number; readonly window: number },
  options: SourceOptions = {},
): Promise<SplitTokens> {
  expectCount('splitCorpus', 'window', window, 1);
  if (!(heldOut > 0 && heldOut < 1)) {
    throw configError('splitCorpus', 'a held-out fraction between 0 and 1', heldOut);
  }
  const end = text.length - Math.round(text.length * heldOut);
  const parts = {
    train: await tokenSource(tokenizer, sliceSource(text, 0, end), options),
    heldOut: await tokenSource(tokenizer, sliceSource(text, end, text.length), options),
  };
  if (Math.min(parts.train.length, parts.heldOut.length) < window + 1) {
    throw new PerformerError(
      'DATA',
      `splitCorpus: expected at least ${window + 1} tokens (window + 1) in each part, got ${parts.train.length} to ` +
        `train on and ${parts.heldOut.length} held out. Give more text or a smaller window.`,
    );
  }
  return parts;
}

/** Windows [batch, window+1] from anywhere in the source, each start equally likely; a pure function of key and step. */
export async function randomWindows(
  source: TokenSource,
  { batch, window, random, step }: WindowSize & { readonly random: Random; readonly step: number },
): Promise<HostTensor<'int32'>> {
  expectSizes('randomWindows', { batch, window }, step);
  expectTokens('randomWindows', source.length, window + 1);
  const draws = random.split(step);
  const starts = Array.from({ length: batch }, (_, row) => draws.split(row).integer(source.length - window));
  return readWindows(source, starts, window);
}

/** Tokens of each of `batch` contiguous lanes. Throws DATA when they are too short for a window. */
export function laneLength(source: Pick<TokenSource, 'length'>, { batch, window }: WindowSize): number {
  expectSizes('laneLength', { batch, window }, 0);
  const length = Math.floor(source.length / batch);
  expectTokens(`laneWindows with ${batch} lanes of ${source.length} tokens`, length, window + 1);
  return length;
}

/**
 * Windows [batch, window+1] of `batch` contiguous lanes, for truncated backpropagation: lane b is the tokens from
 * b·⌊N/batch⌋ on, and step s reads the s-th window of every lane, which begins with the last target of the one before.
 * After the last whole window of the lanes it begins again.
 */
export async function laneWindows(
  source: TokenSource,
  { batch, window, step }: WindowSize & { readonly step: number },
): Promise<LaneWindows> {
  expectSizes('laneWindows', { batch, window }, step);
  const length = laneLength(source, { batch, window });
  const index = step % Math.floor((length - 1) / window);
  const starts = Array.from({ length: batch }, (_, lane) => lane * length + index * window);
  return { tokens: await readWindows(source, starts, window), isStart: index === 0 };
}

/** How many windows cover the source; `evaluationWindows` yields ⌈count / batch⌉ times. */
export function evaluationWindowCount(source: Pick<TokenSource, 'length'>, window: number): number {
  expectCount('evaluationWindowCount', 'window', window, 1);
  return Math.ceil(Math.max(source.length - 1, 0) / window);
}

/**
 * The whole source in order: every token but the first is a target exactly once. The last batch is padded with zeros.
 *
 * @param piece tokens of each window that a batch has: longer windows come in several batches, [batch, piece+1] each, of
 *   which every one begins with the last targets of the one before. Unless given, windows are whole.
 */
export async function* evaluationWindows(
  source: TokenSource,
  { batch, window, piece = window }: WindowSize & { readonly piece?: number | undefined },
): AsyncGenerator<EvaluationWindows, void, undefined> {
  expectSizes('evaluationWindows', { batch, window }, 0);
  expectCount('evaluationWindows', 'piece', piece, 1);
  expectTokens('evaluationWindows', source.length, 2);
  for (let start = 0; start + 1 < source.length; start += batch * window) {
    for (let at = 0; at < window && start + at + 1 < source.length; at += piece) {
      const tokens = zeros('int32', [batch, piece + 1]);
      const mask = zeros('float32', [batch, piece]);
      for (let row = 0; row < batch; row++) {
        const from = start + row * window + at;
        const targets = Math.min(piece, window - at, source.length - 1 - from);
        if (targets < 1) continue; // a row without a target stays empty, although its first token may be there
        tokens.data.set(await source.read(from, targets + 1), row * (piece + 1));
        mask.data.fill(1, row * piece, row * piece + targets);
      }
      yield { tokens, mask };
    }
  }
}

async function readWindows(
  source: TokenSource,
  starts: readonly number[],
  window: number,
): Promise<HostTensor<'int32'>> {
  const tokens = new Int32Array(starts.length * (window + 1));
  await Promise.all(
    starts.map(async (start, row) => tokens.set(await source.read(start, window + 1), row * (window + 1))),
  );
  return int32([starts.length, window + 1], tokens);
}

function configError(where: string, expected: string, got: number): PerformerError {
  return new PerformerError('CONFIG', `${where}: expected ${expected}, got ${got}.`);
}

function expectCount(where: string, name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw configError(where, `${name} to be an integer of at least ${least}`, value);
  }
}

function expectSizes(where: string, { batch, window }: WindowSize, step: number): void {
  expectCount(where, 'batch', batch, 1);
  expectCount(where, 'window', window, 1);
  expectCount(where, 'step', step, 0);
}

function expectTokens(where: string, length: number, least: number): void {
  if (length < least) {
    throw new PerformerError(
      'DATA',
      `${where}: expected at least ${least} tokens, got ${length}. Give more text or a smaller window or batch.`,
    );
  }
}
