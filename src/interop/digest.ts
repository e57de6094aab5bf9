/**
 * Digests that bind what belongs together: SHA-256 in hexadecimal, as `sha256sum` prints it.
 *
 * A sealed JSON object keeps the digests of the files beside it, and one of all that it says itself:
 *
 *   {"dim": 64, …, "sha256": {"model.safetensors": "9f86d0…", "content": "60303a…"}}
 *
 * So a flipped bit, swapped tensors and files of two saves are refused where they are read. Other software passes over
 * the key. A file of other origin has no digest: it is accepted, with a note that a caller may show.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Fingerprint } from '../base/fingerprint.js';
import { encodeSafetensors } from './safetensors.js';
import { describe } from './safetensors-header.js';

/** Digests by the name of the file. */
export type Digests = Readonly<Record<string, string>>;

/** What a sealed object says, and the digests of the files that belong to it; none where it was not sealed. */
export interface Unsealed {
  readonly content: unknown;
  readonly digests: Digests | undefined;
}

/** The key under which a sealed object keeps its digests. */
const sealKey = 'sha256';
/** The name of the digest of the object itself. */
const ownName = 'content';

/**
 * SHA-256 of chunks one after another, anywhere JavaScript runs. It takes some ten milliseconds a megabyte: files in Node
 * are digested as they are read and written, ten times as fast (`readSafetensors`, `writeSafetensors`).
 */
export function digestOf(chunks: Iterable<Uint8Array>): string {
  const hash = sha256.create();
  for (const chunk of chunks) hash.update(chunk);
  return bytesToHex(hash.digest());
}

/**
 * The fingerprint of tensors and metadata in the order of their names: the same however and wherever they were written, and
 * cheap enough for states that are saved and loaded all the time. Throws CHECKPOINT for what no file could hold.
 */
export function tensorsDigest(
  tensors: ReadonlyMap<string, AnyHostTensor>,
  metadata: Readonly<Record<string, string>>,
): string {
  const sorted = Object.fromEntries(Object.entries(metadata).sort(([left], [right]) => (left < right ? -1 : 1)));
  const fingerprint = new Fingerprint();
  for (const chunk of encodeSafetensors(tensors, sorted)) fingerprint.add(wordsOf(chunk));
  return fingerprint.toString();
}

/** The bytes four at a time, wherever they lie in memory, or one at a time where they are no multiple of four. */
function wordsOf(chunk: Uint8Array): ArrayLike<number> {
  if (chunk.length % 4 !== 0) return chunk;
  const { buffer, byteOffset, length } = chunk.byteOffset % 4 === 0 ? chunk : chunk.slice();
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** The object with the digests of the files that belong to it and its own. */
export function seal<T extends object>(content: T, files: Digests = {}): T & { readonly sha256: Digests } {
  return { ...content, [sealKey]: { ...files, [ownName]: contentDigest(content, files) } };
}

/** The order of the keys counts, the layout of the text does not. */
function contentDigest(content: object, files: Digests): string {
  return digestOf([new TextEncoder().encode(JSON.stringify({ ...content, [sealKey]: files }))]);
}

/**
 * Takes the digests off what `seal` returned, after its way through a file. Throws CHECKPOINT when anything in it was
 * changed since; a value that was never sealed passes.
 */
export function unseal(where: string, value: unknown): Unsealed {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, sealKey)) {
    return { content: value, digests: undefined };
  }
  const { [sealKey]: digests, ...content } = value as Readonly<Record<string, unknown>>;
  if (!isDigests(digests)) throw sealError(where, 'digests in hexadecimal under "sha256"', 'others');
  const { [ownName]: own, ...files } = digests;
  if (own !== contentDigest(content, files)) throw sealError(where, 'the content that it was saved with', 'another');
  return { content, digests: files };
}

function isDigests(value: unknown): value is Digests {
  const isDigest = (digest: unknown) => typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest);
  return typeof value === 'object' && value !== null && Object.values(value).every(isDigest);
}

function sealError(where: string, expected: string, got: string): PerformerError {
  const advice = 'Get the file again; if the change is meant, remove the key "sha256" from it.';
  return new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${got}. ${advice}`);
}

/**
 * Throws CHECKPOINT unless the digest of the file at `path` is the one that was kept under `name`. Where none was kept, as
 * for files of other origin, returns a note that says so.
 */
export function checkDigest(
  path: string,
  digests: Digests | undefined,
  name: string,
  found: string,
): string | undefined {
  if (digests === undefined) return `${path}: nothing tells whether it is as it was saved, as no digest was kept.`;
  if (digests[name] === found) return undefined;
  const expected =
    digests[name] === undefined ? 'that its digest was kept' : `a file with the SHA-256 ${digests[name]}`;
  throw new PerformerError(
    'CHECKPOINT',
    `${path}: expected ${expected}, got ${found}. The file is damaged or of another save; get the whole folder again.`,
  );
}

/** Throws CHECKPOINT when a tensor of floats holds NaN or infinity: no sound model has such weights. */
export function expectFinite(where: string, tensors: ReadonlyMap<string, AnyHostTensor>): void {
  for (const [name, { dtype, data }] of tensors) {
    if (dtype !== 'float32' && dtype !== 'float64') continue;
    if (allFinite(data as Float32Array)) continue;
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected finite numbers in ${describe(name)}, got others. Use an earlier save of it.`,
    );
  }
}

/** A loop without a call: there may be billions of values. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += (values[index] as number) * 0; // NaN unless it is finite
  return sum === 0;
}
