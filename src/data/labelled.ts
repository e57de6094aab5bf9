/**
 * Labelled texts: each text has a target, which is the name of a class, a list of labels, or numbers. They are read one by
 * one, from wherever they lie, and their targets and sizes are known before any is read.
 */
import { internalError, PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { framedTokens, type TextFrame } from './text-frame.js';
import { type TokenSource, tokensSource } from './token-source.js';
import { type Tokenizer, tokenSource } from './tokenizer.js';

/** The name of a class, the labels that a text has, of which there may be none, or the values of a regression. */
export type Target = string | readonly string[] | readonly number[];

/** A text, and what is to be told of it. */
export interface LabelledText {
  /** UTF-8; the caller must not write to them. */
  readonly bytes: Uint8Array;
  readonly target: Target;
}

/** The same text for a model. */
export interface TokenText {
  /** The caller must not write to them. */
  readonly tokens: Int32Array;
  readonly target: Target;
}

/** The targets of texts. */
export interface TargetList {
  /** How many texts there are. */
  readonly length: number;
  /** One for each text. */
  readonly targets: readonly Target[];
}

/** Texts with their targets, as bytes or as tokens. */
export interface Labelled<Text> extends TargetList {
  /** Bytes of each text, or tokens. */
  readonly sizes: readonly number[];
  /** A text by its number, from 0. Throws DATA for one that is not there. */
  read(index: number): Promise<Text>;
}

export interface LabelledTexts extends Labelled<LabelledText> {}

export interface LabelledTokens extends Labelled<TokenText> {}

/** What is learned from, and what is evaluated on. */
export interface LabelledData<Text = TokenText> {
  readonly train: Labelled<Text>;
  readonly heldOut: Labelled<Text>;
}

/** A text as it is given in memory. */
export interface GivenText {
  readonly text: string | Uint8Array;
  readonly target: Target | number;
}

/** Throws DATA unless there is a text of this number. */
export function expectIndex(where: string, index: number, length: number): void {
  if (Number.isSafeInteger(index) && index >= 0 && index < length) return;
  throw new PerformerError('DATA', `${where}: expected the number of one of ${length} texts, from 0, got ${index}.`);
}

/** Texts in memory; bytes are kept and not copied. Throws DATA for targets of two kinds, or that are not finite. */
export function labelledTexts(given: readonly GivenText[], where = 'labelledTexts'): LabelledTexts {
  const encoder = new TextEncoder();
  const texts = given.map(({ text, target }) => ({
    bytes: typeof text === 'string' ? encoder.encode(text) : text,
    target: typeof target === 'number' ? [target] : target,
  }));
  const targets = texts.map(({ target }) => target);
  checkTargets(where, targets);
  return {
    length: texts.length,
    targets,
    sizes: texts.map(({ bytes }) => bytes.length),
    async read(index) {
      expectIndex(where, index, texts.length);
      return texts[index] as LabelledText;
    },
  };
}

/** Throws DATA unless all are names, or all lists of names, or all as many finite numbers. */
function checkTargets(where: string, targets: readonly Target[]): void {
  const [first] = targets;
  for (const [index, target] of targets.entries()) {
    const told = `${where}, text ${index}: expected`;
    const expected = kindOf(first as Target);
    if (kindOf(target) !== expected) {
      throw new PerformerError('DATA', `${told} ${expected} as its target, as the first has, got ${kindOf(target)}.`);
    }
    if (areNumbers(target) && !target.every(Number.isFinite)) {
      throw new PerformerError('DATA', `${told} finite numbers as its target, got ${target.join(', ')}.`);
    }
  }
}

function kindOf(target: Target): string {
  if (typeof target === 'string') return 'a name';
  return areNumbers(target) ? `${target.length} numbers` : 'a list of names';
}

/** Whether a target is the values of a regression. An empty list is one of labels. */
export function areNumbers(target: Target): target is readonly number[] {
  return typeof target !== 'string' && typeof target[0] === 'number';
}

/** All texts one after another. Throws DATA for targets of two kinds. */
export function joinTexts(parts: readonly LabelledTexts[], where = 'joinTexts'): LabelledTexts {
  const targets = parts.flatMap((part) => part.targets);
  checkTargets(where, targets);
  return {
    length: targets.length,
    targets,
    sizes: parts.flatMap(({ sizes }) => sizes),
    async read(index) {
      expectIndex(where, index, targets.length);
      let first = 0;
      for (const part of parts) {
        if (index < first + part.length) return part.read(index - first);
        first += part.length;
      }
      throw internalError(`${where} has no text ${index}`);
    },
  };
}

/** What stands around each text, and how many tokens both are at most. */
export interface Framing {
  readonly frame?: TextFrame | undefined;
  readonly window?: number | undefined;
}

/**
 * Texts as tokens. Where a tokenizer tells how many tokens a text has without reading it, as that of bytes does, nothing is
 * read yet; where not, every text is read and encoded once, and its tokens are kept. Those of a frame stand around them.
 */
export async function encodeTexts(
  texts: LabelledTexts,
  tokenizer: Tokenizer,
  { frame, window }: Framing = {},
): Promise<LabelledTokens> {
  const sources: TokenSource[] = [];
  for (const [index, length] of texts.sizes.entries()) {
    const read = async (offset: number, count: number) =>
      (await texts.read(index)).bytes.subarray(offset, offset + count);
    const source = await tokenSource(tokenizer, { length, read });
    if (frame === undefined) sources.push(source);
    else sources.push(tokensSource(framedTokens(await source.read(0, source.length), frame, window), length));
  }
  const { length, targets } = texts;
  return {
    length,
    targets,
    sizes: sources.map((source) => source.length),
    async read(index) {
      expectIndex('encodeTexts', index, length);
      const source = sources[index] as TokenSource;
      return { tokens: await source.read(0, source.length), target: targets[index] as Target };
    },
  };
}

/** Some of the texts, by their numbers, as texts of their own. */
export function pickTexts<Text>(texts: Labelled<Text>, indices: readonly number[]): Labelled<Text> {
  return {
    length: indices.length,
    targets: indices.map((index) => texts.targets[index] as Target),
    sizes: indices.map((index) => texts.sizes[index] as number),
    async read(index) {
      expectIndex('pickTexts', index, indices.length);
      return texts.read(indices[index] as number);
    },
  };
}

/** The places of those held out of `count` items, chosen at random: one at least, and never all. */
export function heldOutOf(count: number, heldOut: number, random: Random): Uint32Array {
  return random.permutation(count).subarray(0, Math.min(count - 1, Math.max(1, Math.round(count * heldOut))));
}

/**
 * Holds out a part of the texts, chosen at random: of each class the same part, and one text at least of a class that has
 * two. Of lists of labels and of values, the part of them all.
 *
 * @throws CONFIG for a part that is not between 0 and 1, DATA where nothing would be left on either side.
 */
export function splitTexts<Text>(texts: Labelled<Text>, heldOut: number, random: Random): LabelledData<Text> {
  if (!(heldOut > 0 && heldOut < 1)) {
    throw new PerformerError('CONFIG', `splitTexts: expected a held-out part between 0 and 1, got ${heldOut}.`);
  }
  const members = new Map<string, number[]>();
  for (const [index, target] of texts.targets.entries()) {
    const name = typeof target === 'string' ? target : '';
    const own = members.get(name) ?? [];
    own.push(index);
    members.set(name, own);
  }
  const isHeldOut = new Set<number>();
  for (const [name, own] of members) {
    for (const at of heldOutOf(own.length, heldOut, random.split(name))) isHeldOut.add(own[at] as number);
  }
  const all = Array.from({ length: texts.length }, (_, index) => index);
  const train = all.filter((index) => !isHeldOut.has(index));
  if (train.length === 0 || isHeldOut.size === 0) {
    const got = `${train.length} to learn from and ${isHeldOut.size} held out`;
    throw new PerformerError(
      'DATA',
      `splitTexts: expected two texts of a class at least, got ${got}. Give more texts.`,
    );
  }
  return {
    train: pickTexts(texts, train),
    heldOut: pickTexts(
      texts,
      all.filter((index) => isHeldOut.has(index)),
    ),
  };
}
