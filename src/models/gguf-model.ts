/** Models of GGUF files (see `pretrained/gguf.ts`). What is here knows no disk. */
import { type AnyHostTensor, float32 } from '../base/array.js';
import { huggingFaceTokenizer } from '../data/index.js';
import { type GgufEntry, ggufValues, largestGgufHeader, parseGgufHeader } from '../interop/index.js';
import { ggufModel, ggufTokenizer, ropeFactors } from '../pretrained/index.js';
import type { LoadedModel, ReadOptions } from './folder.js';
import { pretrainedSource } from './pretrained-folder.js';

/** Whether a file is read as GGUF, by its name. */
export function isGguf(name: string): boolean {
  return name.toLowerCase().endsWith('.gguf');
}

/** The bytes of a file, wherever it is. */
export interface GgufBytes {
  readonly size: number;
  /** So many bytes from a place on, which the file has. */
  read(start: number, length: number): Promise<Uint8Array>;
}

/** Throws CONFIG or CHECKPOINT for a file that is damaged or not understood. */
export async function readGguf(where: string, { size, read }: GgufBytes, options: ReadOptions): Promise<LoadedModel> {
  const header = await read(0, Math.min(size, largestGgufHeader));
  const { metadata, entries } = parseGgufHeader(where, header, size);
  const valuesOf = async ({ block, start, byteLength }: GgufEntry) => ggufValues(block, await read(start, byteLength));
  const factors = entries.find(({ name }) => name === ropeFactors);
  const shapes = new Map(entries.map(({ name, shape }) => [name, shape]));
  const { content, names, arrange } = ggufModel(where, metadata, shapes, factors && (await valuesOf(factors)));
  const files = ggufTokenizer(where, metadata);
  const tokenizer = files && (await huggingFaceTokenizer(files, `${where}: `)).name;
  const places = { config: where, weights: where, tokenizer: where };
  const source = pretrainedSource(places, content, { tokenizer, content: new Map() }, options);
  const own = entries.filter(({ name }) => names.has(name));
  source.check(new Map(own.map(({ name, shape }) => [names.get(name)!, { dtype: 'float32', shape }])));
  const tensors = new Map<string, AnyHostTensor>();
  for (const entry of own) {
    const { name, shape } = entry;
    tensors.set(names.get(name)!, float32(shape, arrange(name, await valuesOf(entry))));
  }
  return source.load(tensors);
}

/** The same from bytes in memory. */
export function decodeGguf(where: string, bytes: Uint8Array, options: ReadOptions = {}): Promise<LoadedModel> {
  const read = async (start: number, length: number) => bytes.subarray(start, start + length);
  return readGguf(where, { size: bytes.length, read }, options);
}
