/** What the front door's trainings learn from: in memory, as it comes, or in sources that are read in pieces. */
import { PerformerError } from '../base/errors.js';
import {
  type ByteSource,
  bytesSource,
  type Image,
  type ImageSet,
  imageSet,
  joinSources,
  type LabelledImage,
  type LabelledTexts,
  labelledTexts,
  type Span,
  type TaggedText,
  type TextPair,
  tagSpans,
  tagWords,
} from '../data/index.js';

/** A text, or its bytes. */
export type TextPiece = string | Uint8Array;

/** A text, its bytes, or several of them, which are read one after another as they are; or a source of `performer-ts/data`. */
export type TrainingText = TextPiece | readonly TextPiece[] | AsyncIterable<TextPiece> | ByteSource;

/** What is to be learned of a text: the name of its class, a list of labels, a number, or several numbers. */
export type Label = string | readonly string[] | number | readonly number[];

/** A text with what is to be learned of it. */
export interface LabelledExample<L = Label> {
  readonly text: string | Uint8Array;
  readonly label: L;
}

/** Texts with labels, which come as a list or one by one; or labelled texts of `performer-ts/data`. */
export type LabelledExamples<L = Label> =
  | readonly LabelledExample<L>[]
  | AsyncIterable<LabelledExample<L>>
  | LabelledTexts;

/** Words with a label for each, or a text with the spans of it that have labels: the words of such a text get labels `B-`, `I-` and `O`. */
export type TaggedExample =
  | { readonly tokens: readonly string[]; readonly labels: readonly string[] }
  | { readonly text: string; readonly spans: readonly Span[] };

/** Texts whose words have labels, as a list or one by one. */
export type TaggedExamples = readonly TaggedExample[] | AsyncIterable<TaggedExample>;

/** Texts with what is to be written of them, as a list or one by one. */
export type PairExamples = readonly TextPair[] | AsyncIterable<TextPair>;

/** Images with their classes as a list or one by one, or a set of `readImages` of `performer-ts/data/node`. */
export type LabelledImages = readonly Required<LabelledImage>[] | AsyncIterable<Required<LabelledImage>> | ImageSet;

/** Images, with classes or without: as a list or one by one, or a set of `readImages` of `performer-ts/data/node`. */
export type TrainingImages = readonly (Image | LabelledImage)[] | AsyncIterable<Image | LabelledImage> | ImageSet;

export type TrainingData = TrainingText | LabelledExamples | TaggedExamples | PairExamples | TrainingImages;

/** Running text as one source. Throws DATA for what is no text. */
export async function textSource(given: TrainingData): Promise<ByteSource> {
  if (isByteSource(given)) return given;
  const pieces = typeof given === 'string' || given instanceof Uint8Array ? [given] : await listOf(given);
  return joinSources(
    pieces.map((piece) => {
      if (typeof piece === 'string') return bytesSource(new TextEncoder().encode(piece));
      if (piece instanceof Uint8Array) return bytesSource(piece);
      throw refused('a text, its bytes, or a list of such', piece);
    }),
  );
}

/** Labelled texts. Throws DATA for what has no labels, and for labels of two kinds. */
export async function labelledSource(given: TrainingData): Promise<LabelledTexts> {
  if (isLabelled(given)) return given;
  const examples = await listOf(given);
  return labelledTexts(
    examples.map((example) => {
      const { text, label } = Object(example) as Partial<LabelledExample>;
      const isText = typeof text === 'string' || text instanceof Uint8Array;
      if (isText && label !== undefined) return { text, target: label };
      throw refused('a list of { text, label }', example);
    }),
    'trainModel',
  );
}

/** Pairs of texts. Throws DATA for what is none. */
export async function pairList(given: TrainingData): Promise<readonly TextPair[]> {
  const isText = (value: unknown) => typeof value === 'string' || value instanceof Uint8Array;
  const items = isByteSource(given) || isLabelled(given) ? [given] : await listOf(given);
  for (const item of items) {
    const { source, target } = Object(item) as Partial<TextPair>;
    if (!isText(source) || !isText(target)) throw refused('a list of { source, target }', item);
  }
  return items as readonly TextPair[];
}

/** Texts whose words have labels. Throws DATA for what is none. */
export async function taggedList(given: TrainingData): Promise<readonly TaggedText[]> {
  const items = isByteSource(given) || isLabelled(given) ? [given] : await listOf(given);
  const isList = (value: unknown): value is readonly string[] =>
    Array.isArray(value) && value.every((each) => typeof each === 'string');
  return items.map((item, index) => {
    const { tokens, labels, text, spans } = Object(item) as Readonly<Record<string, unknown>>;
    const where = `trainModel, text ${index}`;
    if (isList(tokens) && isList(labels)) return tagWords(tokens, labels, where);
    if (typeof text === 'string' && Array.isArray(spans)) return tagSpans(text, spans, where);
    throw refused('a list of { tokens, labels } or { text, spans }', item);
  });
}

/** Images of one size. Throws DATA for what is none, and for those of other sizes. */
export async function imageSource(given: TrainingData): Promise<ImageSet> {
  if (isImageSet(given)) return given;
  const items = isByteSource(given) || isLabelled(given) ? [given] : await listOf(given);
  const images = items.map((item): LabelledImage => {
    const { image = item as Image, label } = Object(item) as Partial<LabelledImage>;
    if (Object(image).pixels instanceof Uint8Array) return { image, label };
    throw refused('a list of images { height, width, channels, pixels }, or of { image, label }', item);
  });
  return imageSet(images, (index) => `trainModel, image ${index}`);
}

/** The same data without iterators and functions, as messages carry them. */
export async function dataInMemory(given: TrainingData): Promise<TrainingData> {
  if (isImageSet(given)) {
    const { size, texts } = given;
    const all = await Promise.all(texts.targets.map((_, index) => texts.read(index)));
    return all.map(({ bytes: pixels, target }) => ({
      image: { ...size, pixels },
      label: target === '' ? undefined : `${target}`,
    }));
  }
  if (isByteSource(given)) return given.read(0, given.length);
  if (!isLabelled(given))
    return Symbol.asyncIterator in Object(given) ? ((await listOf(given)) as TrainingData) : given;
  const examples: LabelledExample[] = [];
  for (let index = 0; index < given.length; index++) {
    const { bytes, target } = await given.read(index);
    examples.push({ text: bytes, label: target });
  }
  return examples;
}

function isLabelled(given: TrainingData): given is LabelledTexts {
  return 'targets' in Object(given);
}

function isImageSet(given: TrainingData): given is ImageSet {
  return 'size' in Object(given) && 'texts' in Object(given);
}

function isByteSource(given: TrainingData): given is ByteSource {
  return typeof (Object(given) as Partial<ByteSource>).read === 'function' && !isLabelled(given);
}

async function listOf(given: TrainingData): Promise<readonly unknown[]> {
  if (Array.isArray(given)) return given;
  if (!(Symbol.asyncIterator in Object(given))) throw refused('a list, or what comes one by one', given);
  const items: unknown[] = [];
  for await (const item of given as AsyncIterable<unknown>) items.push(item);
  return items;
}

function refused(expected: string, got: unknown): PerformerError {
  const told = typeof got === 'object' && got !== null ? `an object with ${Object.keys(got).join(', ')}` : typeof got;
  return new PerformerError('DATA', `trainModel: expected ${expected}, got ${told}.`);
}
