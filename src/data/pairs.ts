/** Pairs of texts: a source, and what is to be written of it. They are encoded once and kept in memory. */
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { heldOutOf } from './labelled.js';
import { framedTokens, type TextFrame } from './text-frame.js';
import type { Tokenizer } from './tokenizer.js';

/** A text, and what is to be written of it. */
export interface TextPair {
  readonly source: string | Uint8Array;
  readonly target: string | Uint8Array;
}

/** The same as tokens. */
export interface TokenPair {
  readonly source: Int32Array;
  readonly target: Int32Array;
}

/** What is learned from, and what is evaluated on. */
export interface PairData {
  readonly train: readonly TokenPair[];
  readonly heldOut: readonly TokenPair[];
}

/** What stands around sources, and at how many tokens they are cut with it. */
export interface PairOptions {
  readonly frame?: TextFrame | undefined;
  readonly window?: number | undefined;
}

/** Pairs as tokens. */
export function encodePairs(
  pairs: readonly TextPair[],
  tokenizer: Tokenizer,
  { frame, window }: PairOptions = {},
): readonly TokenPair[] {
  return pairs.map(({ source, target }) => ({
    source: framedTokens(tokenizer.encode(source), frame, window),
    target: tokenizer.encode(target),
  }));
}

/** Holds out a part of items, chosen at random: one at least. Throws DATA for fewer than two. */
export function splitItems<T>(
  items: readonly T[],
  heldOut: number,
  random: Random,
): { readonly train: readonly T[]; readonly heldOut: readonly T[] } {
  if (items.length < 2) {
    throw new PerformerError('DATA', `splitItems: expected two items at least, got ${items.length}. Give more.`);
  }
  const chosen = new Set(heldOutOf(items.length, heldOut, random));
  return {
    train: items.filter((_, index) => !chosen.has(index)),
    heldOut: items.filter((_, index) => chosen.has(index)),
  };
}
