/** `performer generate` of models that paint images. */
import { encodePng, expectSize, type ImageSize, sheetOf } from '../data/index.js';
import { imagesOf, placeInWords } from '../data/node.js';
import { GenerationSession, paint } from '../generation/index.js';
import { writeFileAtomic } from '../interop/node.js';
import { type LoadedModel, type Model, tokenizerOf } from '../models/index.js';
import { usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount } from './format.js';
import type { GenerateFlags } from './generate.js';
import { readGenerationConfig } from './generation-config.js';
import type { Io } from './io.js';
import { expectFile } from './output-file.js';
import { rowProgress } from './row-progress.js';

/** Paints images, and writes them side by side as one PNG. */
export async function generateImages(folder: string, model: LoadedModel, flags: GenerateFlags, io: Io): Promise<void> {
  const { out, count } = flags;
  if (out === undefined) throw usageError('generate: expected --out with a PNG file for the images, got none.');
  await expectFile('--out', out);
  const own = await readGenerationConfig(folder, tokenizerOf(model.model.config));
  const seed = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
  const kept = await keptValues(model.model, flags);
  const session = await GenerationSession.create(await chooseEngine(flags), model, { batch: count });
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  const progress = rowProgress(io.stderr, 'values of each image');
  const begun = performance.now();
  try {
    const images = await paint(session, {
      seed,
      temperature: flags.temperature ?? own.temperature ?? 1,
      topK: flags.topK ?? own.topK,
      topP: flags.topP ?? own.topP,
      begun: kept && Array.from({ length: count }, () => kept),
      onRow: (painted) => progress.show('painted', painted),
      signal: stop.signal,
    });
    await writeFileAtomic(out, [encodePng(sheetOf(images))]);
    const seconds = (performance.now() - begun) / 1000;
    progress.close();
    io.stderr.write(
      `${formatCount(count)} ${count === 1 ? 'image' : 'images'} in ${seconds.toFixed(1)} s, seed ${seed}: ${out}.\n`,
    );
  } catch (cause) {
    if (!stop.signal.aborted || cause !== stop.signal.reason) throw cause;
  } finally {
    progress.close();
    release();
    await session.dispose();
  }
}

/** The values that are kept of the image that is completed; undefined where there is none. */
async function keptValues({ image }: Model, { complete, keptRows }: GenerateFlags): Promise<Uint8Array | undefined> {
  if (complete === undefined) {
    if (keptRows !== undefined) throw usageError('--kept-rows: expected --complete with an image, got none.');
    return undefined;
  }
  const { height, width, channels } = image as ImageSize;
  const rows = keptRows ?? Math.floor(height / 2);
  if (rows >= height) throw usageError(`--kept-rows: expected fewer than the ${height} rows of an image, got ${rows}.`);
  const found = [];
  for await (const each of imagesOf([complete])) found.push(each);
  const [first] = found;
  if (first === undefined || found.length > 1) {
    throw usageError(`--complete: expected a file of one image, got ${found.length} in ${complete}.`);
  }
  expectSize(placeInWords(first), first.image, { height, width, channels });
  return first.image.pixels.subarray(0, rows * width * channels);
}
