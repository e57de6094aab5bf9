/** `performer embed` and `performer predict` at work. */
import { flagName } from '../base/options.js';
import { writeNpy } from '../interop/node-npy.js';
import {
  createEmbedder,
  createPredictor,
  type Embedder,
  type LoadedModel,
  likelyLabels,
  type Targets,
} from '../models/index.js';
import { expectNew } from '../search/node.js';
import { taskOfModel } from '../tasks/index.js';
import { cutter } from './chunk-flags.js';
import { type Given, usageError } from './command.js';
import { type EmbedOptions, rowFormats, type TextVectorOptions, vectorFormats } from './embed.js';
import { chooseEngine } from './engine-flags.js';
import type { FlagValues } from './flags.js';
import type { Io } from './io.js';
import { isStandardOutput } from './output-file.js';
import { chunksOf, type PlacedText, readableTexts, textsOf } from './placed-texts.js';
import { readModel } from './read-model.js';
import { writeIndex } from './search-index.js';
import { expectOutput, formatOf, pixelsOf, type VectorRows, writeTold, writeVectors } from './text-vectors.js';

export async function runEmbed(
  { arguments: [folder, files], options, flags }: Given<EmbedOptions>,
  io: Io,
): Promise<void> {
  const { pooling, normalize, dimensions, batch, window, index } = options;
  const format = formatOf(options, vectorFormats);
  await expectPlace(options, format);
  const loaded = await readModel(folder as string, io);
  expectFlags(loaded, flags);
  const asked = { pooling, normalize, dimensions, batch, window };
  const embedder = await createEmbedder(await chooseEngine(options), loaded, asked);
  try {
    const chunks = cutter(loaded, embedder.manner, options);
    const { image } = loaded.model;
    const given = image === undefined ? textsOf(files as string[], options, io) : pixelsOf(files as string[], image);
    if (index !== undefined) {
      const readable = readableTexts(given, io);
      const texts = chunks === undefined ? readable : chunksOf(readable, chunks.cut);
      return await writeIndex(index, { loaded, embedder, chunks: chunks?.sizes, batch }, texts, io);
    }
    const texts = chunks === undefined ? given : chunksOf(readableTexts(given, io), chunks.cut);
    if (format === 'npy') await writeMatrix(texts, embedder, options, io);
    else
      await writeVectors(texts, options, format, { ...embeddedRows(embedder), image, isCut: chunks !== undefined }, io);
  } finally {
    await embedder.dispose();
  }
}

/** Throws before the model is read where the output cannot be written. */
async function expectPlace({ out = '-', index, format: typed }: EmbedOptions, format: string): Promise<void> {
  if (index !== undefined) {
    if (out !== '-' || typed !== undefined) {
      throw usageError('--index: expected it without --out and --format, got both. Leave one out.');
    }
    return expectNew(index);
  }
  if (format === 'npy' && isStandardOutput(out)) {
    throw usageError('--format npy: expected a file as --out, got standard output. Name a file.');
  }
  await expectOutput({ out });
}

function embeddedRows({ manner, embed }: Embedder): VectorRows {
  return {
    columns: Array.from({ length: manner.dimensions }, (_, index) => String(index + 1)),
    vectors: embed,
    fields: (vector) => Array.from(vector, String),
    object: (vector) => ({ embedding: Array.from(vector) }),
  };
}

/** Writes a row for each text, without their places. */
function writeMatrix(
  texts: AsyncIterable<PlacedText>,
  { manner, embed }: Embedder,
  { batch, out }: EmbedOptions,
  io: Io,
): Promise<void> {
  const tell = (pool: readonly PlacedText[]) => embed(pool.map(({ text }) => text));
  return writeTold(texts, { unit: 'texts', batch, place: out, tell }, io, (pools) => {
    const rows = async function* () {
      for await (const pool of pools) yield pool.map(({ told }) => told);
    };
    return writeNpy(out as string, manner.dimensions, rows());
  });
}

export async function runPredictTexts(
  { arguments: [folder, files], options, flags }: Given<TextVectorOptions>,
  io: Io,
): Promise<void> {
  await expectOutput(options);
  const loaded = await readModel(folder as string, io);
  expectFlags(loaded, flags);
  if (taskOfModel(loaded.model).data === 'words') {
    const { predictWords } = await import('./predict-words.js');
    return predictWords(loaded, files as readonly string[], { options, flags }, io);
  }
  const { batch, window } = options;
  const predictor = await createPredictor(await chooseEngine(options), loaded, { batch, window });
  try {
    const { image } = loaded.model;
    const texts = image === undefined ? textsOf(files as string[], options, io) : pixelsOf(files as string[], image);
    const rows = { image, ...predictedRows(predictor.targets, predictor.predict) };
    await writeVectors(texts, options, formatOf(options, rowFormats), rows, io);
  } finally {
    await predictor.dispose();
  }
}

/** Throws USAGE for flags of texts where the model reads images. */
function expectFlags({ model }: LoadedModel, flags: FlagValues): void {
  const ofTexts = ['text', 'delimiter', 'encoding', 'window', 'chunkTokens', 'chunkOverlap', 'index'];
  const own = ofTexts.find((key) => key in flags);
  if (model.image !== undefined && own !== undefined) throw usageError(`--${flagName(own)}: images do not have it.`);
}

function predictedRows({ kind, names }: Targets, vectors: VectorRows['vectors']): VectorRows {
  const named = (vector: Float32Array) => Object.fromEntries(names.map((name, index) => [name, vector[index]]));
  if (kind === 'values') {
    return {
      ...{ columns: names, vectors },
      fields: (vector) => Array.from(vector, String),
      object: (vector) => ({ values: named(vector) }),
    };
  }
  if (kind === 'labels') {
    return {
      ...{ columns: ['labels', ...names], vectors },
      fields: (vector) => [likelyLabels(names, vector).join(';'), ...Array.from(vector, String)],
      object: (vector) => ({ labels: likelyLabels(names, vector), probabilities: named(vector) }),
    };
  }
  const classOf = (vector: Float32Array) => names[vector.indexOf(Math.max(...vector))] as string;
  return {
    ...{ columns: ['class', ...names], vectors },
    fields: (vector) => [classOf(vector), ...Array.from(vector, String)],
    object: (vector) => ({ class: classOf(vector), probabilities: named(vector) }),
  };
}
