/** `performer embed --index` at work: texts and their vectors as a folder that can be searched. */
import type { Embedder, LoadedModel } from '../models/index.js';
import { type IndexAbout, indexAbout } from '../search/index.js';
import { writeTextIndex } from '../search/node.js';
import type { Io } from './io.js';
import type { PlacedText } from './placed-texts.js';
import { writeTold } from './text-vectors.js';

/** What makes the vectors. */
interface Maker {
  readonly loaded: LoadedModel;
  readonly embedder: Embedder;
  readonly chunks: IndexAbout['chunks'];
  readonly batch: number;
}

export async function writeIndex(
  path: string,
  { loaded, embedder, chunks, batch }: Maker,
  texts: AsyncIterable<PlacedText<string>>,
  io: Io,
): Promise<void> {
  const about = indexAbout(loaded, embedder.manner, chunks);
  const tell = (pool: readonly PlacedText<string>[]) => embedder.embed(pool.map(({ text }) => text));
  await writeTold(texts, { unit: 'texts', batch, place: path, tell }, io, (pools) => {
    const rows = async function* () {
      for await (const pool of pools) yield pool.map(({ item, told }) => ({ ...item, vector: told }));
    };
    return writeTextIndex(path, about, rows());
  });
}
