/**
 * Streaming decoders of a `tokenizer.json`: each token becomes bytes as it comes, a character may be cut between two, and
 * all bytes together are what decoding at once would give. No token is changed by a later one, but for the end of a word,
 * which is held back until the next token shows that it was not the last.
 */
import { PerformerError } from '../../base/errors.js';
import type { DecoderPart, Pattern } from './file.js';

/** What a token has become: text, or bytes of which it may hold a part of a character. */
type Piece = string | Uint8Array;
/** A step of a decoder that is at some place of a text. */
type Step = (piece: Piece, isFirst: boolean) => Piece;

/** What makes steps at the beginning of a text. */
export type StepMaker = () => Step;

const encoder = new TextEncoder();

/** The byte that each character of byte-level BPE stands for (`bytes_to_unicode` of GPT-2). */
const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  (() => {
    let next = 256;
    return Array.from({ length: 256 }, (_, byte) => {
      const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
      return [String.fromCodePoint(isPrintable ? byte : next++), byte] as const;
    });
  })(),
);

/** A function of text alone, which leaves bytes as they are. */
const ofText =
  (change: (text: string, isFirst: boolean) => Piece): StepMaker =>
  () =>
  (piece, isFirst) =>
    typeof piece === 'string' ? change(piece, isFirst) : piece;

const cleaned = (text: string) =>
  text
    .replace(/ ([.?!,])/g, '$1')
    .replace(/ ' /g, "'")
    .replace(/ (n't|'m|'s|'ve|'re)/g, '$1');

function byteLevel(added: ReadonlySet<string>): StepMaker {
  return ofText((token) => {
    if (added.has(token)) return token;
    const bytes: number[] = [];
    for (const character of token) {
      const byte = byteOfCharacter.get(character);
      if (byte === undefined) bytes.push(...encoder.encode(character));
      else bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  });
}

function replaced(pattern: Pattern, content: string): StepMaker {
  const searched = 'String' in pattern ? pattern.String : new RegExp(pattern.Regex, 'gu');
  return ofText((text) => text.replaceAll(searched, () => content));
}

/** Strips what a text begins with, once its tokens are one text. */
function strippedStart(content: string, start: number): StepMaker {
  const byte = content.charCodeAt(0);
  return () => {
    let left = start;
    return (piece) => {
      const bytes = typeof piece === 'string' ? encoder.encode(piece) : piece;
      let at = 0;
      while (left > 0 && at < bytes.length) {
        if (bytes[at] === byte) {
          at++;
          left--;
        } else left = 0;
      }
      return bytes.subarray(at);
    };
  };
}

/** Strips each token. */
function stripped(content: string, start: number, stop: number): StepMaker {
  return ofText((text) => {
    let [from, to] = [0, text.length];
    while (from < start && text[from] === content) from++;
    while (text.length - to < stop && to > from && text[to - 1] === content) to--;
    return text.slice(from, to);
  });
}

function endOfWord(suffix: string): StepMaker {
  return () => {
    let isPending = false;
    return (piece) => {
      if (typeof piece !== 'string') return piece;
      const before = isPending ? ' ' : '';
      isPending = piece.endsWith(suffix);
      const own = isPending ? piece.slice(0, -suffix.length) : piece;
      return before + own.replaceAll(suffix, ' ');
    };
  };
}

/**
 * The steps of a decoder, in their order. `null` is Hugging Face's word for none: tokens then stand apart.
 *
 * @throws CHECKPOINT for an order of them that cannot be followed token by token.
 */
export function decoderSteps(
  where: string,
  decoder: DecoderPart | null | undefined,
  added: ReadonlySet<string>,
  wordEnd: string | null | undefined,
): readonly StepMaker[] {
  if (decoder === null || decoder === undefined) return [ofText((text, isFirst) => (isFirst ? text : ` ${text}`))];
  const parts = flat(decoder);
  const fused = parts.findIndex(({ type }) => type === 'Fuse');
  const steps = parts.flatMap((part, at) => {
    const isFused = fused >= 0 && at > fused;
    if (isFused && !canFollow(part)) {
      const expected = 'Strip of the beginning of a text, or Replace of one character, behind Fuse';
      throw new PerformerError('CHECKPOINT', `${where}: decoder: expected ${expected}, got ${JSON.stringify(part)}.`);
    }
    return stepOf(part, isFused, added);
  });
  return wordEnd ? [ofText((text) => (added.has(text) ? text : text.replaceAll(wordEnd, ' '))), ...steps] : steps;
}

function flat(part: DecoderPart): readonly DecoderPart[] {
  return part.type === 'Sequence' ? part.decoders.flatMap(flat) : [part];
}

function canFollow(part: DecoderPart): boolean {
  if (part.type === 'Strip') return part.stop === 0 && part.content.charCodeAt(0) < 0x80;
  return (
    part.type === 'Fuse' ||
    (part.type === 'Replace' && 'String' in part.pattern && [...part.pattern.String].length === 1)
  );
}

function stepOf(part: DecoderPart, isFused: boolean, added: ReadonlySet<string>): readonly StepMaker[] {
  switch (part.type) {
    case 'ByteLevel':
      return [byteLevel(added)];
    case 'WordPiece': {
      const { prefix, cleanup } = part;
      const joined = (token: string, isFirst: boolean) => {
        if (isFirst) return token;
        return prefix !== '' && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      };
      return [ofText((token, isFirst) => (cleanup ? cleaned(joined(token, isFirst)) : joined(token, isFirst)))];
    }
    case 'Metaspace': {
      const { replacement, prepend_scheme: scheme } = part;
      return [
        ofText((token, isFirst) => {
          const text = token.replaceAll(replacement, ' ');
          return isFirst && scheme !== 'never' && text.startsWith(' ') ? text.slice(1) : text;
        }),
      ];
    }
    case 'BPEDecoder':
      return [endOfWord(part.suffix)];
    case 'Replace':
      return [replaced(part.pattern, part.content)];
    case 'Strip':
      return [isFused ? strippedStart(part.content, part.start) : stripped(part.content, part.start, part.stop)];
    case 'ByteFallback':
      return [
        ofText((token) =>
          /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Uint8Array.of(Number.parseInt(token.slice(3, 5), 16)) : token,
        ),
      ];
    default:
      return []; // Fuse changes nothing by itself, and Sequence is gone
  }
}

/** A decoder at the beginning of a text, from tokens as they are written to bytes. */
export function decoderOf(makers: readonly StepMaker[]): (tokens: readonly string[]) => Uint8Array {
  const steps = makers.map((make) => make());
  let isFirst = true;
  return (tokens) => {
    const pieces = tokens.map((token) => {
      const piece = steps.reduce((own: Piece, step) => step(own, isFirst), token);
      isFirst = false;
      return typeof piece === 'string' ? encoder.encode(piece) : piece;
    });
    const bytes = new Uint8Array(pieces.reduce((total, { length }) => total + length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  };
}
