/**
 * Any `tokenizer.json` as one of the tokenizers here: BPE, WordPiece and Unigram, by `@huggingface/tokenizers`, which is plain
 * JavaScript and asks no network. Its tokens are those of that library. Decoding is our own, token by token (`decoder.ts`),
 * and so are long texts (`pieces.ts`).
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { messageOf, PerformerError } from '../../base/errors.js';
import type { ByteSource } from '../byte-source.js';
import { TokenList } from '../token-list.js';
import { type TokenSource, tokensSource } from '../token-source.js';
import type { SourceOptions, Tokenizer } from '../tokenizer.js';
import { decoderOf, decoderSteps } from './decoder.js';
import { checkContent, type Part, parseFile, type TokenizerContent } from './file.js';
import { type Encode, PieceEncoder, pieceLength } from './pieces.js';
import { type SpecialConfig, specialConfig, specialTokens } from './special.js';

/** Bytes of a corpus that are read at once. */
const readLength = 2 ** 18;

/** The files of a tokenizer, as they lie in a model folder. */
export interface NamedFiles {
  /** How errors name the files. */
  readonly where: { readonly tokenizer: string; readonly config: string };
  readonly tokenizer: Uint8Array;
  readonly config?: Uint8Array | undefined;
}

/** Throws CHECKPOINT for files that are none of a tokenizer, or of one that is not supported. */
export function buildTokenizer(name: string, { where, ...given }: NamedFiles): Tokenizer {
  const value = parseFile(where.tokenizer, given.tokenizer);
  const { content, tokens } = checkContent(where.tokenizer, value);
  const config = given.config && specialConfig(where.config, parseFile(where.config, given.config));
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const special = specialTokens(where.config, content, config, ids);
  const library = libraryOf(where.tokenizer, content, config);
  const encode = encoderOf(library, content, ids);
  checkSplits(where.tokenizer, library, content.pre_tokenizer);
  const added = new Set((content.added_tokens ?? []).map((token) => token.content));
  const wordEnd = content.model.type === 'BPE' ? content.model.end_of_word_suffix : undefined;
  const steps = decoderSteps(where.tokenizer, content.decoder, added, wordEnd);
  const { begin, classification, end } = special;
  return {
    name,
    vocabularySize: tokens.length,
    documentStart: begin ?? classification ?? end ?? encode('\n')[0] ?? 0,
    lookback: 4, // three tokens of an unfinished character, and one before them: what comes then is not the first
    special,
    frame: frameOf(library, ids),
    encode(text) {
      const whole = typeof text === 'string' ? text : new TextDecoder('utf-8', { ignoreBOM: true }).decode(text);
      if (whole.length <= pieceLength) return Int32Array.from(encode(whole));
      const list = new TokenList(tokens.length);
      const pieces = new PieceEncoder(encode, (own) => list.push(own));
      pieces.push(whole);
      pieces.end();
      return list.tokens();
    },
    decoder() {
      const decode = decoderOf(steps);
      return { push: (given) => decode(Array.from(given, (id) => tokens[id] ?? '')) };
    },
    source: (text, options) => encodedSource(encode, tokens.length, text, options),
    json: () => value as object,
    files: () =>
      new Map([
        ['tokenizer.json', given.tokenizer],
        ...(given.config === undefined ? [] : [['tokenizer_config.json', given.config] as const]),
      ]),
  };
}

function libraryOf(where: string, content: TokenizerContent, config: SpecialConfig | undefined): Library {
  const none = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  const { remove_space, do_lowercase_and_remove_accent } = config ?? {};
  const settings = { remove_space: remove_space === true, do_lowercase_and_remove_accent };
  try {
    return new Library({ ...none, ...content, added_tokens: content.added_tokens ?? [] }, settings);
  } catch (cause) {
    const got = messageOf(cause);
    throw new PerformerError('CHECKPOINT', `${where}: expected a tokenizer that can be built, got: ${got}`, { cause });
  }
}

/** The tokens of a text without those that frame it. */
function encoderOf(library: Library, { model }: TokenizerContent, ids: ReadonlyMap<string, number>): Encode {
  if (model.type !== 'Unigram' || model.byte_fallback !== true) {
    return (text) => library.encode(text, { add_special_tokens: false }).ids;
  }
  // The library has no bytes in Unigram: what is unknown is told by its text, whose bytes are tokens where all of them are.
  const utf8 = new TextEncoder();
  return (text) => {
    const { ids: found, tokens } = library.encode(text, { add_special_tokens: false });
    return (tokens as readonly string[]).flatMap((token, at) => {
      if (ids.has(token)) return [found[at] as number];
      const bytes = Array.from(utf8.encode(token), (byte) => ids.get(byteName(byte)));
      return bytes.every((id) => id !== undefined) ? bytes : [found[at] as number];
    });
  };
}

const byteName = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

/** Splits that the library would make otherwise than the file says, unless what they split at never occurs. */
function checkSplits(where: string, library: Library, part: Part | null | undefined): void {
  const { type, pretokenizers, pattern, behavior, invert } = (part ?? {}) as {
    readonly type?: string;
    readonly pretokenizers?: readonly Part[];
    readonly pattern?: { readonly String?: string };
    readonly behavior?: string;
    readonly invert?: boolean | null;
  };
  for (const each of pretokenizers ?? []) checkSplits(where, library, each);
  if (type !== 'Split') return;
  const text = pattern?.String;
  const never = text !== undefined && library.normalizer !== null && !library.normalizer.normalize(text).includes(text);
  const isKnown = behavior === 'Removed' || (behavior === 'Isolated' && invert !== true);
  if (isKnown || never) return;
  const expected = 'Removed, or Isolated without invert';
  throw new PerformerError(
    'CHECKPOINT',
    `${where}: pre_tokenizer: expected the behavior ${expected}, got ${behavior}.`,
  );
}

/** What the post-processor sets before and behind a text; undefined where it sets nothing. */
function frameOf(library: Library, ids: ReadonlyMap<string, number>): Tokenizer['frame'] {
  const text = '\u0000the text'; // no token of any vocabulary
  const { tokens } = library.post_processor?.post_process([text], null, true) ?? { tokens: [text] };
  const at = tokens.indexOf(text);
  if (tokens.length === 1 || at < 0) return undefined;
  const idsOf = (own: readonly string[]) => own.map((token) => ids.get(token) as number);
  return { before: idsOf(tokens.slice(0, at)), after: idsOf(tokens.slice(at + 1)) };
}

async function encodedSource(
  encode: Encode,
  vocabularySize: number,
  text: ByteSource,
  { onProgress }: SourceOptions = {},
): Promise<TokenSource> {
  const list = new TokenList(vocabularySize);
  const pieces = new PieceEncoder(encode, (own) => list.push(own));
  const characters = new TextDecoder('utf-8', { ignoreBOM: true });
  for (let at = 0; at < text.length; at += readLength) {
    const length = Math.min(readLength, text.length - at);
    pieces.push(characters.decode(await text.read(at, length), { stream: true }));
    await onProgress?.({ bytes: at + length, total: text.length });
  }
  pieces.push(characters.decode());
  pieces.end();
  return tokensSource(list.compact(), text.length);
}
