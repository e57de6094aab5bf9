/**
 * The saved form of a session: its tensors by name, and what they belong to.
 *
 * A state means nothing to another model, and to other projections it is worse: it looks right. So it carries digests.
 */
import { type HostTensor, zeros } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { leavesOf, mapTree, treeFromLeaves } from '../base/tree.js';
import { projectionDigest } from '../features/index.js';
import { drawProjections, initialState, languageModelLayout } from '../models/index.js';
import { type Model, type Reading, shapeAfter } from './reader.js';
import { longestRow } from './token-rows.js';

/** What a safetensors file holds. */
export interface SavedState {
  /** `logits` [batch, vocabulary], `seen` bool [batch, vocabulary], and the model's state under `state.`. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** What the state belongs to. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** All that a session keeps of its tokens. */
export interface Memory<T = HostTensor> extends Reading<T> {
  /** Which tokens were read, for the repetition penalty: bool [batch, vocabulary]. */
  readonly seen: T;
}

/** The memory of a session that has read nothing. */
export function emptyMemory({ config }: Model, batch: number): Memory {
  const row = [batch, config.vocabularySize];
  return { logits: zeros('float32', row), seen: zeros('bool', row), state: initialState(config, batch) };
}

/** What a state of this model belongs to. Reads every weight once. */
export function identityOf({ config, params, projections }: Model): Readonly<Record<string, string>> {
  const { chunk, embeddingDropout, attentionDropout, feedForwardDropout, ...model } = config; // those change no state
  const weights = [...(new Map(leavesOf(params)) as Map<string, HostTensor<'float32'>>)];
  weights.sort(([left], [right]) => (left < right ? -1 : 1));
  return {
    format: 'performer-ts generation state',
    version: '1',
    model: JSON.stringify(Object.fromEntries(Object.entries(model).sort())),
    weights: projectionDigest(weights.map(([, weight]) => weight)),
    projections: projectionDigest(leavesOf(projections).map(([, leaf]) => leaf as unknown as HostTensor<'float32'>)),
  };
}

export function encodeMemory(memory: Memory, metadata: Readonly<Record<string, string>>): SavedState {
  const copies = leavesOf(memory).map(([path, leaf]) => [path, copyOf(leaf as HostTensor)] as const);
  return { tensors: new Map(copies), metadata };
}

function copyOf({ dtype, shape, data }: HostTensor): HostTensor {
  return { dtype, shape, data: data.slice() };
}

/** A copy of a saved memory. Throws CHECKPOINT unless it belongs to this model and these projections, and is whole. */
export function decodeMemory(
  where: string,
  { tensors, metadata }: SavedState,
  model: Model,
  batch: number,
  identity: Readonly<Record<string, string>>,
): Memory {
  for (const [key, expected] of Object.entries(identity)) {
    if (metadata[key] === expected) continue;
    const got = metadata[key] === undefined ? 'none' : `"${metadata[key]}"`;
    const advice = 'Load it with the config, weights and projections that it was saved with.';
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected a state with ${key} "${expected}", got ${got}. ${advice}`,
    );
  }
  const positions = Array.from((tensors.get('state.position')?.data ?? []) as ArrayLike<number>);
  const longest = longestRow(model.config);
  const isExact = model.config.attention === 'softmax';
  const past = positions[0] ?? 0;
  const bad = positions.find((count) => !(count >= 0 && count <= longest) || (isExact && count !== past));
  if (bad !== undefined) {
    const expected = isExact ? `from 0 to ${longest} and the same in every row` : `from 0 to ${longest}`;
    throw new PerformerError('CHECKPOINT', `${where}: expected positions ${expected}, got ${bad}.`);
  }
  const like = mapTree(emptyMemory(model, batch), ({ dtype, shape }: HostTensor, path) => ({
    dtype,
    shape: shapeAfter(path, shape, past),
  }));
  return mapTree(treeFromLeaves(where, like, tensors), copyOf);
}

/** Throws CHECKPOINT unless the weights and projections have the shapes that the config gives them. */
export function checkModel(where: string, { config, params, projections }: Model): void {
  treeFromLeaves(where, languageModelLayout(config), new Map(leavesOf(params)) as Map<string, HostTensor>);
  const like = drawProjections(config, Random.fromSeed(0));
  treeFromLeaves(where, like, new Map(leavesOf(projections)) as Map<string, HostTensor>);
}
