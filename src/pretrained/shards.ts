/**
 * The index of weights in several files, model.safetensors.index.json, read as if its writer meant harm:
 *
 *     {"metadata": {…}, "weight_map": {"name of a tensor": "model-00001-of-00002.safetensors", …}}
 */
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';

export const indexFile = 'model.safetensors.index.json';

/** The most tensors and files that an index may name. */
const mostTensors = 100_000;
const mostFiles = 1_000;

/** The names of the tensors of each file. Throws CHECKPOINT for what is no index, and for files that are not beside it. */
export function shardsOf(where: string, content: unknown): ReadonlyMap<string, ReadonlySet<string>> {
  const { weight_map: map } = (isObject(content) ? content : {}) as { readonly weight_map?: unknown };
  if (!isObject(map)) refuse(where, 'an object with a weight_map', 'another value');
  const entries = Object.entries(map);
  if (entries.length === 0 || entries.length > mostTensors) {
    refuse(where, `1 to ${mostTensors} tensors in weight_map`, String(entries.length));
  }
  const shards = new Map<string, Set<string>>();
  for (const [name, file] of entries) {
    if (typeof file !== 'string' || !/^\w[\w.-]{0,200}\.safetensors$/.test(file)) {
      const got = typeof file === 'string' ? `"${escaped(file)}"` : typeof file;
      refuse(where, `a file of this folder that ends in .safetensors for "${escaped(name)}"`, got);
    }
    shards.set(file, (shards.get(file) ?? new Set()).add(name));
  }
  if (shards.size > mostFiles) refuse(where, `at most ${mostFiles} files`, String(shards.size));
  return shards;
}

/** Throws CHECKPOINT unless a file has the tensors that the index names. */
export function checkShard(where: string, named: ReadonlySet<string>, found: Iterable<string>): void {
  const names = new Set(found);
  for (const name of named) if (!names.has(name)) refuse(where, `the tensor "${escaped(name)}" of the index`, 'none');
  for (const name of names) {
    if (!named.has(name)) refuse(where, 'tensors that the index names for it', `"${escaped(name)}"`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(where: string, expected: string, got: string): never {
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${got}. Get the whole folder again.`);
}
