/**
 * Texts whose words have labels. A word is a part of its text, from one place to another in UTF-16 code units, as `slice`
 * of JavaScript counts them. Labels may be of the form BIO: `B-kind` for the first word of a span, `I-kind` for the others,
 * and `O` for words of none (Ramshaw and Marcus 1995).
 */
import { PerformerError } from '../base/errors.js';
import type { TargetList } from './labelled.js';
import { framedTokens, type TextFrame } from './text-frame.js';
import type { Tokenizer } from './tokenizer.js';

/** A part of a text, from `start` up to `end`, which is none of it. */
export interface Word {
  readonly start: number;
  readonly end: number;
}

/** A part of a text that has a label, such as a name. */
export interface Span extends Word {
  readonly label: string;
}

/** A text with its words, in their order and none within another. */
export interface WordText {
  readonly text: string;
  readonly words: readonly Word[];
}

/** The same with a label for each word. */
export interface TaggedText extends WordText {
  readonly labels: readonly string[];
}

/** A text as tokens, and which of them stand for words. */
export interface WordTokens {
  readonly tokens: Int32Array;
  /** The first token of each word. */
  readonly places: Int32Array;
}

/** The same with a label for each word. */
export interface TaggedTokens extends WordTokens {
  readonly labels: readonly string[];
}

/** What is learned from, and what is evaluated on. */
export interface TaggedData {
  readonly train: readonly TaggedTokens[];
  readonly heldOut: readonly TaggedTokens[];
}

const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/** The words of a text by the rules of Unicode (UAX 29): marks are words of their own, and spaces are none. */
export function wordsOf(text: string): WordText {
  const words = Array.from(segmenter.segment(text), ({ segment, index }) => ({ segment, index }))
    .filter(({ segment }) => segment.trim() !== '')
    .map(({ segment, index }) => ({ start: index, end: index + segment.length }));
  return { text, words };
}

/** Words as a text, with a space between two. */
export function joinWords(given: readonly string[]): WordText {
  let start = 0;
  const words = given.map((word) => {
    const end = start + word.length;
    const place = { start, end };
    start = end + 1;
    return place;
  });
  return { text: given.join(' '), words };
}

/** Words with their labels. Throws DATA where these are not as many, and for a word or a label without a letter. */
export function tagWords(words: readonly string[], labels: readonly string[], where = 'tagWords'): TaggedText {
  if (words.length !== labels.length) {
    const expected = `a label for each of ${words.length} words`;
    throw new PerformerError('DATA', `${where}: expected ${expected}, got ${labels.length} labels.`);
  }
  if ([...words, ...labels].some((each) => each.trim() === '')) {
    throw new PerformerError('DATA', `${where}: expected words and labels, got an empty one.`);
  }
  return { ...joinWords(words), labels };
}

/**
 * A text of which some spans have labels: each of its words has one of the form BIO. A word that reaches over the border
 * of a span is cut there.
 *
 * @throws DATA for spans that are empty, lie over each other, or do not lie in the text, and for a label without a letter.
 */
export function tagSpans(text: string, spans: readonly Span[], where = 'tagSpans'): TaggedText {
  const sorted = [...spans].sort((a, b) => a.start - b.start);
  let last = 0;
  for (const { start, end, label } of sorted) {
    const isPlace = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start < end && end <= text.length;
    if (isPlace && start >= last && label.trim() !== '') last = end;
    else {
      const expected = `spans with labels, one after another, within ${text.length} characters`;
      throw new PerformerError('DATA', `${where}: expected ${expected}, got ${start} to ${end} as "${label}".`);
    }
  }
  const borders = [0, ...sorted.flatMap(({ start, end }) => [start, end]), text.length];
  const labels: string[] = [];
  const words = borders.slice(1).flatMap((end, part) => {
    const start = borders[part] as number;
    const own = wordsOf(text.slice(start, end)).words;
    const label = part % 2 === 1 ? sorted[(part - 1) / 2]?.label : undefined; // parts lie before, in, between, in …
    labels.push(...own.map((_, at) => (label === undefined ? 'O' : `${at === 0 ? 'B' : 'I'}-${label}`)));
    return own.map((word) => ({ start: start + word.start, end: start + word.end }));
  });
  return { text, words, labels };
}

/** The labels of all words of texts. */
export function wordTargets(texts: readonly TaggedText[]): TargetList {
  const targets = texts.flatMap(({ labels }) => labels);
  return { length: targets.length, targets };
}

/** Whether these labels are of the form BIO. */
export function areBio(labels: readonly string[]): boolean {
  return labels.every((label) => /^(O|[BI]-.+)$/s.test(label)) && labels.some((label) => label !== 'O');
}

/**
 * The spans of words that labels of the form BIO tell, from one word to another, in their order. An `I-` that does not go on
 * with a span of its kind begins one, as in the measure of CoNLL (Tjong Kim Sang and De Meulder 2003).
 */
export function spansOf(labels: readonly string[]): readonly Span[] {
  const spans: Span[] = [];
  let open: Span | undefined;
  for (const [at, label] of labels.entries()) {
    const kind = label.slice(2);
    const isWithin = label !== 'O' && label.startsWith('I') && open?.label === kind;
    if (isWithin) open = { ...(open as Span), end: at + 1 };
    else {
      if (open !== undefined) spans.push(open);
      open = label === 'O' ? undefined : { start: at, end: at + 1, label: kind };
    }
  }
  if (open !== undefined) spans.push(open);
  return spans;
}

/**
 * Texts as tokens with the place of each word's first token, which is the first that ends behind the word's beginning: a
 * token may hold the space before a word, and words that share a token have one place.
 *
 * Where the tokens do not give the text back, as those of a tokenizer that lowers it do not, each word is encoded by itself, with
 * what stands between it and the word before. Those of a frame stand around the tokens of each text.
 *
 * @throws DATA for a text of words that has no tokens.
 */
export function encodeWords<T extends WordText>(
  texts: readonly T[],
  tokenizer: Tokenizer,
  frame?: TextFrame,
): readonly (WordTokens & Omit<T, keyof WordText>)[] {
  return texts.map(({ text, words, ...rest }) => {
    const { tokens, places } = encodeText(text, words, tokenizer);
    const first = frame?.before.length ?? 0;
    const own = { tokens: framedTokens(tokens, frame), places: places.map((place) => place + first) };
    return { ...(rest as Omit<T, keyof WordText>), ...own };
  });
}

function encodeText(text: string, words: readonly Word[], tokenizer: Tokenizer): WordTokens {
  const encoder = new TextEncoder();
  const tokens = tokenizer.encode(text);
  const decoder = tokenizer.decoder();
  const ends: number[] = []; // of each token, in bytes
  for (const token of tokens) ends.push((ends.at(-1) ?? 0) + decoder.push([token]).length);
  const bytes = encoder.encode(text).length;
  if ((ends.at(-1) ?? 0) !== bytes) return encodeEach(text, words, tokenizer);
  let [token, read, start] = [0, 0, 0];
  const places = words.map((word) => {
    start += encoder.encode(text.slice(read, word.start)).length;
    read = word.start;
    while ((ends[token] as number) <= start) token++;
    return token;
  });
  return { tokens, places: Int32Array.from(places) };
}

/** The tokens of a text word by word. A word that has no token of its own has the place of the next one, or else of the last. */
function encodeEach(text: string, words: readonly Word[], tokenizer: Tokenizer): WordTokens {
  const tokens: number[] = [];
  let read = 0;
  const firsts = words.map(({ end }) => {
    const first = tokens.length;
    for (const token of tokenizer.encode(text.slice(read, end))) tokens.push(token);
    read = end;
    return first;
  });
  if (words.length > 0 && tokens.length === 0) {
    const expected = `tokens of ${tokenizer.name} for a text of ${words.length} words`;
    throw new PerformerError('DATA', `encodeWords: expected ${expected}, got none.`);
  }
  return {
    tokens: Int32Array.from(tokens),
    places: Int32Array.from(firsts, (first) => Math.min(first, tokens.length - 1)),
  };
}
