/** `performer embed` and `performer predict` at work. */
import { createEmbedder, createPredictor, type LoadedModel, likelyLabels, type Targets } from '../models/index.js';
import { taskOfModel } from '../tasks/index.js';
import { type Given, usageError } from './command.js';
import type { EmbedOptions, TextVectorOptions } from './embed.js';
import { chooseEngine } from './engine-flags.js';
import type { FlagValues } from './flags.js';
import type { Io } from './io.js';
import { readModel } from './read-model.js';
import { expectOutput, type VectorRows, writeVectors } from './text-vectors.js';

export async function runEmbed(
  { arguments: [folder, files], options, flags }: Given<EmbedOptions>,
  io: Io,
): Promise<void> {
  await expectOutput(options);
  const loaded = await readModel(folder as string, io);
  expectFlags(loaded, flags);
  const { pooling, normalize, batch, window } = options;
  const embedder = await createEmbedder(await chooseEngine(options), loaded, { pooling, normalize, batch, window });
  const rows: VectorRows = {
    image: loaded.model.image,
    columns: Array.from({ length: loaded.model.config.dim }, (_, index) => String(index + 1)),
    vectors: embedder.embed,
    fields: (vector) => Array.from(vector, String),
    object: (vector) => ({ embedding: Array.from(vector) }),
  };
  try {
    await writeVectors(files as readonly string[], options, rows, io);
  } finally {
    await embedder.dispose();
  }
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
    const rows = { image: loaded.model.image, ...predictedRows(predictor.targets, predictor.predict) };
    await writeVectors(files as readonly string[], options, rows, io);
  } finally {
    await predictor.dispose();
  }
}

/** Throws USAGE for flags of texts where the model reads images. */
function expectFlags({ model }: LoadedModel, flags: FlagValues): void {
  const own = ['text', 'delimiter', 'encoding', 'window'].find((key) => key in flags);
  if (model.image !== undefined && own !== undefined) throw usageError(`--${own}: images do not have it.`);
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
