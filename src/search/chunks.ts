/** Long texts as chunks of words that a model reads whole, each of which may begin with the last words of the one before. */
import { PerformerError } from '../base/errors.js';
import type { TextFrame, Tokenizer } from '../data/index.js';

/** How long chunks are. */
export interface ChunkOptions {
  /** The most tokens that a chunk has, those of the frame among them. */
  readonly tokens: number;
  /** Tokens at most that a chunk shares with the one before; an eighth of `tokens` unless given. */
  readonly overlap?: number | undefined;
  /** What the model reads around a text, such as [CLS] and [SEP]: `textFrameOf(config)`. */
  readonly frame?: TextFrame | undefined;
}

/** A part of a text, from `start` up to `end`, which is none of it, in UTF-16 code units, as `slice` of JavaScript counts. */
export interface Chunk {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

interface Piece {
  readonly start: number;
  readonly end: number;
  /** Its tokens, those of the space before it among them. */
  readonly count: number;
}

/** The fewest tokens that a chunk can be asked to have beside its frame. */
const fewestTokens = 8;

/**
 * The chunks of a text, in their order; none of a text of spaces alone. They begin and end at words, as spaces separate them. A word that is
 * longer than a chunk is cut.
 *
 * @throws CONFIG for chunks of fewer than 8 tokens beside the frame, and for an overlap that is not smaller than that.
 */
export function textChunks(text: string, tokenizer: Tokenizer, options: ChunkOptions): readonly Chunk[] {
  const { room, overlap } = sizesOf(options);
  const countOf = tokenCounter(tokenizer);
  const pieces = piecesOf(text, room, countOf);
  const chunks: Chunk[] = [];
  for (let first = 0; first < pieces.length; ) {
    let last = first;
    let total = pieces[first]!.count;
    while (last + 1 < pieces.length && total + pieces[last + 1]!.count <= room) total += pieces[++last]!.count;
    // Words together may have other tokens than each alone: what is told of a chunk holds of its own tokens.
    const textUpTo = (piece: number) => text.slice(pieces[first]!.start, pieces[piece]!.end);
    while (last > first && tokenizer.encode(textUpTo(last)).length > room) last--;
    const own = textUpTo(last);
    chunks.push({ start: pieces[first]!.start, end: pieces[last]!.end, text: own });
    if (last + 1 === pieces.length) break;
    const before = first;
    first = last + 1;
    for (let shared = pieces[last]!.count; first - 1 > before && shared <= overlap; shared += pieces[first - 1]!.count)
      first--;
  }
  return chunks;
}

function sizesOf({ tokens, overlap = Math.floor(tokens / 8), frame }: ChunkOptions) {
  const framing = (frame?.before.length ?? 0) + (frame?.after.length ?? 0);
  const room = tokens - framing;
  if (!(Number.isSafeInteger(tokens) && room >= fewestTokens)) {
    const least = fewestTokens + framing;
    throw new PerformerError('CONFIG', `textChunks: expected chunks of at least ${least} tokens, got ${tokens}.`);
  }
  if (!(Number.isSafeInteger(overlap) && overlap >= 0 && overlap < room)) {
    throw new PerformerError('CONFIG', `textChunks: expected an overlap from 0 to ${room - 1} tokens, got ${overlap}.`);
  }
  return { room, overlap };
}

/** How many tokens a piece of text has. Words occur again and again. */
function tokenCounter(tokenizer: Tokenizer): (piece: string) => number {
  const known = new Map<string, number>();
  return (piece) => {
    const count = known.get(piece) ?? tokenizer.encode(piece).length;
    known.set(piece, count);
    return count;
  };
}

/** The words of a text with the tokens of each. */
function piecesOf(text: string, room: number, countOf: (piece: string) => number): readonly Piece[] {
  const pieces: Piece[] = [];
  let read = 0;
  for (const { 0: word, index: start } of text.matchAll(/\S+/g)) {
    const end = start + word.length;
    const count = countOf(text.slice(read, end));
    if (count <= room) pieces.push({ start, end, count });
    else pieces.push(...halves(text, { start, end }, Math.max(1, Math.floor(room / 8)), countOf));
    read = end;
  }
  return pieces;
}

/** A word, such as a sentence of a language without spaces, as parts of a few tokens each, which end with a whole character. */
function halves(
  text: string,
  { start, end }: Pick<Piece, 'start' | 'end'>,
  most: number,
  countOf: (piece: string) => number,
): readonly Piece[] {
  const count = countOf(text.slice(start, end));
  let middle = start + Math.floor((end - start) / 2);
  if (/[\udc00-\udfff]/.test(text[middle] as string)) middle++;
  if (count <= most || middle === start || middle >= end) return [{ start, end, count }];
  return [
    ...halves(text, { start, end: middle }, most, countOf),
    ...halves(text, { start: middle, end }, most, countOf),
  ];
}
