/** `performer search` at work. */
import { linesIn } from '../data/node.js';
import { createEmbedder } from '../models/index.js';
import { expectSameModel, type Hit, indexAbout } from '../search/index.js';
import { openTextIndex, placeOf, type TextIndex } from '../search/node.js';
import { type Given, usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import { type Io, writeAll } from './io.js';
import { readModel } from './read-model.js';
import type { SearchOptions } from './search.js';
import { bytesOf, standardInput } from './standard-input.js';

export async function runSearch(
  { arguments: [folder, place, query], options }: Given<SearchOptions>,
  io: Io,
): Promise<void> {
  if (query === undefined && !io.isPiped) {
    throw usageError('search: expected a query, or one in each line of standard input, got neither.');
  }
  if (typeof query === 'string' && query.trim() === '') throw usageError('search: expected a query, got an empty one.');
  const index = await openTextIndex(place as string);
  try {
    await search(
      index,
      { folder: folder as string, place: place as string, query: query as string | undefined },
      options,
      io,
    );
  } finally {
    await index.close();
  }
}

interface Named {
  readonly folder: string;
  readonly place: string;
  readonly query: string | undefined;
}

async function search(
  index: TextIndex,
  { folder, place, query }: Named,
  options: SearchOptions,
  io: Io,
): Promise<void> {
  const loaded = await readModel(folder, io);
  const { vectors, chunks } = index.about;
  expectSameModel(place, index.about, indexAbout(loaded, vectors, chunks));
  const embedder = await createEmbedder(await chooseEngine(options), loaded, { ...vectors, batch: 1 });
  try {
    const isAlone = query !== undefined;
    const queries = isAlone ? [query] : textsOfLines(io);
    for await (const text of queries) {
      const [vector] = await embedder.embed([text]);
      const hits = await index.search(vector as Float32Array, { count: options.topK });
      const lines = options.json ? `${JSON.stringify({ query: text, hits })}\n` : inWords(hits, io.stdout.columns);
      await writeAll(io.stdout, isAlone || options.json ? lines : `> ${text}\n${lines}\n`);
    }
  } finally {
    await embedder.dispose();
  }
}

async function* textsOfLines({ stdin }: Io): AsyncGenerator<string> {
  for await (const { text } of linesIn(standardInput, bytesOf(stdin))) yield text.trim();
}

const margin = ' '.repeat(8);

/** Each text with its place, and below it how it begins. */
function inWords(hits: readonly Hit[], columns = 100): string {
  return hits
    .map((hit) => {
      const text = [
        ...hit.text
          .slice(0, 4 * columns)
          .replaceAll(/\s+/g, ' ')
          .trim(),
      ];
      const room = Math.max(20, columns - margin.length);
      const beginning = text.length > room ? `${text.slice(0, room - 1).join('')}…` : text.join('');
      return `${hit.score.toFixed(3).padEnd(margin.length)}${placeOf(hit)}\n${margin}${beginning}\n`;
    })
    .join('');
}
