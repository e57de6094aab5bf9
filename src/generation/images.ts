/** Painting: a pixel model tells an image value by value, row by row. */
import * as z from 'zod';
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { type Image, type ImageSize, sizeInWords, valueCount } from '../data/index.js';
import { checkOptions, chooseToken, type SamplingOptions, samplingSchema } from './sampling.js';
import type { GenerationSession } from './session.js';

/** How images are painted. The repetition penalty of texts means nothing here. */
export interface PaintOptions extends Omit<SamplingOptions, 'repetitionPenalty'> {
  /** An integer from 0 to 2⁵³−1: equal seeds, sessions and beginnings give equal images. */
  readonly seed: number;
  /** The first values of each image, [rows of the session], which are kept; none unless given. */
  readonly begun?: readonly ArrayLike<number>[] | undefined;
  /** Told how many of the values are painted, after each row of pixels. */
  readonly onRow?: ((painted: number) => void) | undefined;
  /** Ends the painting between two values by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

const { temperature, topK, topP } = samplingSchema.shape;
const sampling = z.strictObject({ temperature, topK, topP });

/** The size of the images that a session paints. Throws CONFIG for a session of another model. */
export function paintedSize({ config, image, boundary }: GenerationSession): ImageSize {
  if (image !== undefined && boundary !== undefined) return image;
  throw new PerformerError('CONFIG', `paint: expected a model that paints images, got ${withArticle(config.model)}.`);
}

/**
 * Paints an image for each row of a session, which forgets what it has read before. All rows are painted side by side, so that
 * many cost less than so many times one.
 *
 * @throws CONFIG for a session of another model, options out of range and beginnings that are longer than an image or not one
 *   for each row; DATA for a value that is none from 0 to 255; the signal's reason.
 */
export async function paint(session: GenerationSession, options: PaintOptions): Promise<Image[]> {
  const size = paintedSize(session);
  const { seed, begun = [], onRow, signal, ...how } = options;
  checkOptions('paint', sampling, how);
  const count = valueCount(size);
  const first = begun[0]?.length ?? 0;
  const isFitting = begun.length === 0 || begun.length === session.batch;
  if (!isFitting || first >= count || begun.some(({ length }) => length !== first)) {
    const expected = `beginnings of one length below the ${count} values of ${sizeInWords(size)}, one for each row`;
    const got = begun.map(({ length }) => length).join(', ');
    throw new PerformerError('CONFIG', `paint: expected ${expected} of ${session.batch}, got ${got}.`);
  }
  const bad = begun
    .flatMap((row) => Array.from(row))
    .find((value) => !(Number.isInteger(value) && value >= 0 && value < 256));
  if (bad !== undefined) throw new PerformerError('DATA', `paint: expected values from 0 to 255, got ${bad}.`);
  const random = Random.fromSeed(seed);
  const rows = Array.from({ length: session.batch }, (_, row) => {
    const pixels = new Uint8Array(count);
    pixels.set(begun[row] ?? []);
    return pixels;
  });
  session.reset();
  const begin = session.boundary as number;
  let all = await session.read(rows.map((row) => Int32Array.of(begin, ...row.subarray(0, first))));
  const vocabulary = all.length / session.batch;
  for (let at = first; at < count; at++) {
    signal?.throwIfAborted();
    rows.forEach((pixels, row) => {
      const logits = all.subarray(row * vocabulary, row * vocabulary + begin); // those of values
      pixels[at] = chooseToken(logits, how, [], random.split(row).split(at));
    });
    if (at + 1 < count) all = await session.step(Int32Array.from(rows, (pixels) => pixels[at] as number));
    if ((at + 1) % (size.width * size.channels) === 0) onRow?.(at + 1);
  }
  return rows.map((pixels) => ({ ...size, pixels }));
}
