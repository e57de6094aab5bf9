/**
 * An index of texts, a folder with three files:
 *
 *     vectors.npy   a row of float32 for each text, as NumPy reads it
 *     texts.jsonl   a line for each text: where it stands, and the text
 *     index.json    which model made the vectors, and how, sealed with the digests of the other two
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import { tensorsDigest } from '../interop/index.js';
import { type LoadedModel, tensorsOf, type VectorManner } from '../models/index.js';

export const vectorsFile = 'vectors.npy';
export const textsFile = 'texts.jsonl';
export const aboutFile = 'index.json';

const count = z.int().min(0);
const size = z.int().min(1);

const aboutSchema = z.strictObject({
  kind: z.literal('text-index'),
  version: z.literal(1),
  model: z.strictObject({
    family: z.string(),
    tokenizer: z.string(),
    /** Of its weights and options, wherever it was read from. */
    fingerprint: z.string().regex(/^[0-9a-f]{16}$/, 'expected a fingerprint'),
  }),
  vectors: z.strictObject({
    pooling: z.enum(['mean', 'last', 'first']),
    normalize: z.boolean(),
    dimensions: size,
    window: size.optional(),
  }),
  /** How long texts were cut; they were not unless given. */
  chunks: z.strictObject({ tokens: size, overlap: count }).optional(),
  count,
});

/** What made the vectors of an index. */
export type IndexAbout = z.output<typeof aboutSchema>;

/** A text of an index, and where it stands. */
export interface IndexedText {
  readonly file: string;
  /** Of a record in a table or in JSON lines, where it ends; of a chunk of another file, where it begins. From 1. */
  readonly line?: number | undefined;
  /** Of a chunk: from this character of its text, in UTF-16 code units. */
  readonly start?: number | undefined;
  /** Of a chunk: up to this one, which is none of it. */
  readonly end?: number | undefined;
  readonly text: string;
}

const textSchema = z.object({
  file: z.string(),
  ...{ line: size.optional(), start: count.optional(), end: count.optional() },
  text: z.string(),
});

/** A text that was found. */
export interface Hit extends IndexedText {
  /** The cosine of its vector and the query's, from −1 to 1. */
  readonly score: number;
}

/** What an index says of the model that makes its vectors, of their manner, and of the sizes of chunks. */
export function indexAbout(
  { model, params, buffers }: LoadedModel,
  { window, ...manner }: VectorManner,
  chunks?: IndexAbout['chunks'],
): Omit<IndexAbout, 'count'> {
  const { model: family, tokenizer = '', vectors: _, ...options } = model.config;
  const sorted = Object.fromEntries(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)));
  const tensors = new Map([...tensorsOf(params), ...tensorsOf(buffers)]);
  const fingerprint = tensorsDigest(tensors, { options: JSON.stringify(sorted) });
  return {
    ...{ kind: 'text-index', version: 1, model: { family, tokenizer, fingerprint } },
    vectors: { ...manner, ...(window !== undefined && Number.isFinite(window) && { window }) },
    ...(chunks && { chunks }),
  };
}

/** Throws CHECKPOINT for another model than that which made the index, with what differs. */
export function expectSameModel(where: string, about: IndexAbout, { model }: Omit<IndexAbout, 'count'>): void {
  const names = {
    ...{ family: 'the family', tokenizer: 'the tokenizer' },
    fingerprint: 'weights and options of the fingerprint',
  } as const;
  for (const [key, name] of Object.entries(names) as [keyof typeof names, string][]) {
    if (about.model[key] === model[key]) continue;
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected the model that made its vectors, with ${name} ${about.model[key]}, got one with ${model[key]}. ` +
        'Name that model, or embed the texts again with this one.',
    );
  }
}

/** The content of index.json. Throws CHECKPOINT for another. */
export function parseAbout(where: string, content: unknown): IndexAbout {
  const parsed = aboutSchema.safeParse(content, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw indexError(where, 'what an index of texts says', describeIssues(parsed.error));
}

/** The text of a line of texts.jsonl. Throws CHECKPOINT for another line. */
export function parseText(where: string, line: string): IndexedText {
  try {
    return textSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw indexError(where, 'a text as JSON', 'another line', cause);
  }
}

/** What is wrong with the files of an index. */
export function indexError(where: string, expected: string, got: string, cause?: unknown): PerformerError {
  const advice = 'Make the index again with: performer embed <model> <files…> --index <folder>';
  return new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${got}. ${advice}`, { cause });
}
