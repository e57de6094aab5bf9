/**
 * The saved form of a session: its tensors by name, and what they belong to.
 *
 * A state means nothing to another model, and to other projections it is worse: it looks right. So it carries digests.
 */
import * as z from 'zod';
import type { RecentTokens } from '../attention/index.js';
import { type HostTensor, hostTensor, int32, zeros } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { leavesOf, mapTree, treeFromLeaves } from '../base/tree.js';
import { projectionDigest } from '../features/index.js';
import { tensorsDigest } from '../interop/index.js';
import { initialState, languageModelLayout, projectionLayout, projectionsDigest } from '../models/index.js';
import { isDeferrable } from './deferral.js';
import { type Model, type Reading, shapeAfter } from './reader.js';
import { RecentRows, windowSize } from './recent-rows.js';
import { longestRow } from './token-rows.js';
import { nameOfValue } from './value-name.js';

/** What a safetensors file holds. */
export interface SavedState {
  /** The parts of a `Memory` by name: `logits`, `seen`, …, and the model's state under `state.`. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** What the state belongs to. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a session knows of its tokens beside what the model keeps. */
export interface History<T = HostTensor> {
  /** Which tokens were read, for the repetition penalty: bool [batch, vocabulary]. */
  readonly seen: T;
  /** The last tokens, which may be the beginning of a character: int32 [batch, 3], the newest last, −1 for none. */
  readonly recent: T;
  /** The last tokens that `generate` did not give out, as they might begin a stop string: int32 [count]. */
  readonly withheld: T;
}

/** A tensor without its data. */
export type HostLeaf = Pick<HostTensor, 'dtype' | 'shape'>;

/** All that a session keeps of its tokens. */
export interface Memory<T = HostTensor> extends Reading<T>, History<T> {
  /** By block, what the state of linear attention does not hold yet: [batch, heads, count, ·]. */
  readonly deferred: readonly RecentTokens<T>[];
}

/** A character of UTF-8 has four bytes at most, so an unfinished one three. */
export const recentCount = 3;

/** The memory of a session that has read nothing. */
export function emptyMemory({ config }: Model, batch: number): Memory {
  const row = [batch, config.vocabularySize];
  const recent = int32([batch, recentCount], new Int32Array(batch * recentCount).fill(-1));
  const state = initialState(config, batch);
  const deferred = isDeferrable(state.blocks) ? new RecentRows(state.blocks).copy() : [];
  return { logits: zeros('float32', row), seen: zeros('bool', row), recent, withheld: noTokens, deferred, state };
}

export const noTokens = int32([0], []);

/** What a state of this model belongs to. Reads every weight once. */
export function identityOf({ config, params, projections }: Model): Readonly<Record<string, string>> {
  const { chunk, embeddingDropout, attentionDropout, feedForwardDropout, ...model } = config; // those change no state
  const weights = [...(new Map(leavesOf(params)) as Map<string, HostTensor<'float32'>>)];
  weights.sort(([left], [right]) => (left < right ? -1 : 1));
  return {
    format: 'performer-ts generation state',
    version: '2',
    model: JSON.stringify(Object.fromEntries(Object.entries(model).sort())),
    weights: projectionDigest(weights.map(([, weight]) => weight)),
    projections: projectionsDigest(projections),
  };
}

export function encodeMemory(memory: Memory, metadata: Readonly<Record<string, string>>): SavedState {
  const copies = leavesOf(memory).map(([path, leaf]) => [path, copyOf(leaf as HostTensor)] as const);
  const tensors = new Map(copies);
  return { tensors, metadata: { ...metadata, digest: tensorsDigest(tensors, metadata) } };
}

function copyOf({ dtype, shape, data }: HostTensor): HostTensor {
  return hostTensor(dtype, shape, data.slice());
}

/** What sets the model of a saved state apart: `one with tokenShift true in place of false`. */
function differences(expected: string, found: string | undefined): string {
  const parse = (text: string) => z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  try {
    const [ours, theirs] = [parse(expected), parse(found ?? '')];
    const keys = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(
      (key) => ours[key] !== theirs[key],
    );
    return `one with ${keys.map((key) => `${key} ${theirs[key]} in place of ${ours[key]}`).join(', ')}`;
  } catch {
    return 'one of no model';
  }
}

/** Throws CHECKPOINT, with what is different, unless the metadata of a state say that it belongs to this model. */
export function checkIdentity(
  where: string,
  metadata: Readonly<Record<string, string>>,
  identity: Readonly<Record<string, string>>,
): void {
  for (const [key, expected] of Object.entries(identity)) {
    const found = metadata[key];
    if (found === expected) continue;
    const got = key === 'model' ? differences(expected, found) : found === undefined ? 'none' : `"${found}"`;
    const wanted = key === 'model' ? 'this model' : `${key} "${expected}"`;
    const advice = 'Load it with the config, weights and projections that it was saved with.';
    throw new PerformerError('CHECKPOINT', `${where}: expected a state with ${wanted}, got ${got}. ${advice}`);
  }
}

function isMap(tensors: unknown): boolean {
  return tensors instanceof Map;
}

/** A copy of a saved memory. Throws CHECKPOINT unless it belongs to this model and these projections, and is whole. */
export function decodeMemory(
  where: string,
  saved: SavedState,
  model: Model,
  batch: number,
  identity: Readonly<Record<string, string>>,
): Memory {
  const { tensors, metadata } = saved ?? {};
  if (!isMap(tensors) || typeof metadata !== 'object' || metadata === null) {
    const got = nameOfValue(saved);
    throw new PerformerError('CHECKPOINT', `${where}: expected a state with tensors and metadata, got ${got}.`);
  }
  checkIdentity(where, metadata, identity);
  const positions = Array.from((tensors.get('state.position')?.data ?? []) as ArrayLike<number>);
  const longest = longestRow(model.config);
  const isExact = model.config.attention === 'softmax';
  const past = positions[0] ?? 0;
  const bad = positions.find((count) => !(count >= 0 && count <= longest) || (isExact && count !== past));
  if (bad !== undefined) {
    const expected = isExact ? `from 0 to ${longest} and the same in every row` : `from 0 to ${longest}`;
    throw new PerformerError('CHECKPOINT', `${where}: expected positions ${expected}, got ${bad}.`);
  }
  const memory = treeFromLeaves(where, layoutAfter(model, batch, past, tensors), tensors);
  const { digest, ...rest } = metadata;
  if (digest !== tensorsDigest(tensors, rest)) {
    const got = 'one that was changed since. The file is damaged; use another copy.';
    throw new PerformerError('CHECKPOINT', `${where}: expected a state as it was saved, got ${got}`);
  }
  return mapTree(memory, copyOf);
}

/** Names, dtypes and shapes of a memory that holds `past` tokens, with as many beside its state, and withheld, as saved. */
function layoutAfter(model: Model, batch: number, past: number, saved: ReadonlyMap<string, HostLeaf>) {
  const deferred = Math.min(saved.get('deferred.0.weight')?.shape[2] ?? 0, windowSize);
  return mapTree(emptyMemory(model, batch), ({ dtype, shape }: HostTensor, path): HostLeaf => {
    if (path === 'withheld') return { dtype, shape: [saved.get(path)?.shape[0] ?? 0] };
    if (path.startsWith('deferred.')) return { dtype, shape: shape.with(2, deferred) };
    return { dtype, shape: shapeAfter(path, shape, past) };
  });
}

/** Throws CHECKPOINT unless a saved memory of this model may have tensors of these names, dtypes and shapes. */
export function checkLayout(where: string, leaves: ReadonlyMap<string, HostLeaf>, model: Model, batch: number): void {
  const past = leaves.get('state.blocks.0.attention.key')?.shape[2] ?? 0;
  treeFromLeaves(where, layoutAfter(model, batch, past, leaves), leaves);
}

/** Throws CHECKPOINT unless the weights and projections have the shapes that the config gives them. */
export function checkModel(where: string, { config, params, projections }: Model): void {
  treeFromLeaves(where, languageModelLayout(config), new Map(leavesOf(params)) as Map<string, HostTensor>);
  const like = projectionLayout(config);
  treeFromLeaves(where, like, new Map(leavesOf(projections)) as Map<string, HostTensor>);
}
