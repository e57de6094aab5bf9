/**
 * The saved form of a session: its tensors by name, and what they belong to.
 *
 * A state means nothing to another model, and to other projections it is worse: it looks right. So it carries digests.
 */
import * as z from 'zod';
import { type AnyHostTensor, type HostTensor, hostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type StateSpec, shapeAfter } from '../base/layout.js';
import { leavesOf, type MapLeaves, mapTree, treeFromLeaves } from '../base/tree.js';
import { projectionDigest } from '../features/index.js';
import { tensorsDigest } from '../interop/index.js';
import { arrangeTensors, buffersDigest, type LoadedModel, type Model, tensorsOf } from '../models/index.js';
import { type HostLeaf, type Memory, memoryLayout } from './memory.js';
import { growingParts, placesOf } from './memory-rows.js';
import { rowWindow } from './reader.js';
import { longestRow } from './token-rows.js';
import { nameOfValue } from './value-name.js';

/** What a safetensors file holds. */
export interface SavedState {
  /** The parts of a `Memory` by name: `logits`, `seen`, …, and the model's state under `state.`. */
  readonly tensors: ReadonlyMap<string, AnyHostTensor>;
  /** What the state belongs to. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a state of this model belongs to. Reads every weight once. */
export function identityOf({ model, params, buffers }: LoadedModel): Readonly<Record<string, string>> {
  const weights = [...tensorsOf(params)].sort(([left], [right]) => (left < right ? -1 : 1));
  return {
    format: 'performer-ts generation state',
    version: '4',
    model: JSON.stringify(Object.fromEntries(Object.entries(model.config).sort())),
    weights: projectionDigest(weights.map(([, weight]) => weight as HostTensor)),
    projections: buffersDigest(buffers),
  };
}

export function encodeMemory(memory: Memory, metadata: Readonly<Record<string, string>>): SavedState {
  const copies = leavesOf<Memory, AnyHostTensor>(memory).map(([path, leaf]) => [path, copyOf(leaf)] as const);
  const tensors = new Map(copies);
  return { tensors, metadata: { ...metadata, digest: tensorsDigest(tensors, metadata) } };
}

function copyOf({ dtype, shape, data }: AnyHostTensor): AnyHostTensor {
  return hostTensor(dtype, shape, data.slice());
}

/** What sets the model of a saved state apart: `one with tokenShift 1 in place of 0`. */
function differences(expected: string, found: string | undefined): string {
  const parse = (text: string) => z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  const told = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  try {
    const [ours, theirs] = [parse(expected), parse(found ?? '')];
    const keys = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(
      (key) => told(ours[key]) !== told(theirs[key]),
    );
    return `one with ${keys.map((key) => `${key} ${told(theirs[key])} in place of ${told(ours[key])}`).join(', ')}`;
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

/** A copy of a saved memory. Throws CHECKPOINT unless it belongs to this model and these projections, and is whole. */
export function decodeMemory(
  where: string,
  saved: SavedState,
  model: Model,
  batch: number,
  identity: Readonly<Record<string, string>>,
): Memory {
  const { tensors, metadata } = saved ?? {};
  if (!((tensors as unknown) instanceof Map) || typeof metadata !== 'object' || metadata === null) {
    const got = nameOfValue(saved);
    throw new PerformerError('CHECKPOINT', `${where}: expected a state with tensors and metadata, got ${got}.`);
  }
  checkIdentity(where, metadata, identity);
  checkPositions(where, model, tensors);
  const memory = treeFromLeaves(where, layoutAfter(model, batch, tensors), tensors);
  const { digest, ...rest } = metadata;
  if (digest !== tensorsDigest(tensors, rest)) {
    const got = 'one that was changed since. The file is damaged; use another copy.';
    throw new PerformerError('CHECKPOINT', `${where}: expected a state as it was saved, got ${got}`);
  }
  return mapTree(memory, copyOf) as Memory;
}

/** Throws CHECKPOINT unless the positions are such as this model can have read to. */
function checkPositions(where: string, model: Model, tensors: ReadonlyMap<string, AnyHostTensor>): void {
  const positions = Array.from((tensors.get('state.position')?.data ?? []) as ArrayLike<number>);
  const longest = longestRow(model);
  const bad = positions.find((count) => !(count >= 0 && count <= longest));
  if (bad !== undefined) {
    throw new PerformerError('CHECKPOINT', `${where}: expected positions from 0 to ${longest}, got ${bad}.`);
  }
  const longestKept = Math.max(0, ...placesOf(model, positions));
  const kept = growingParts(model).map(([path, axis]) => tensors.get(`state.${path}`)?.shape[axis] ?? 0);
  if (kept.every((size) => size === longestKept)) return;
  const expected = `keys of ${longestKept} tokens in each layer, where rows are at ${positions.join(', ')}`;
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${kept.join(', ')}.`);
}

/** Names, dtypes and shapes of a memory that has read as much, with as many tokens beside its state and withheld, as saved. */
function layoutAfter(model: Model, batch: number, saved: ReadonlyMap<string, HostLeaf>): MapLeaves<Memory, HostLeaf> {
  const sizeOf = (path: string, axis: number) => saved.get(path)?.shape[axis] ?? 0;
  return mapTree(memoryLayout(model, batch), (part: StateSpec, path): HostLeaf => {
    const along = (axis: number | undefined) => (axis === undefined ? 0 : sizeOf(path, axis));
    const shape = shapeAfter(part, along(part.growing), along(part.ofSource)) as readonly number[];
    if (path === 'withheld') return { dtype: part.dtype, shape: [sizeOf(path, 0)] };
    if (!path.startsWith('deferred.')) return { dtype: part.dtype, shape };
    return { dtype: part.dtype, shape: shape.with(2, Math.min(sizeOf(path, 2), rowWindow)) };
  });
}

/** Throws CHECKPOINT unless a saved memory of this model may have tensors of these names, dtypes and shapes. */
export function checkLayout(where: string, leaves: ReadonlyMap<string, HostLeaf>, model: Model, batch: number): void {
  treeFromLeaves(where, layoutAfter(model, batch, leaves), leaves);
}

/** Throws CHECKPOINT unless the weights have the shapes that the model gives them. */
export function checkModel(where: string, { model, params, buffers }: LoadedModel): void {
  arrangeTensors(where, model, new Map([...tensorsOf(params), ...tensorsOf(buffers)]));
}
