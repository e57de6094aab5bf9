/** Attention alone, on typed arrays. */

import * as z from 'zod';
import { platform } from '#platform';
import { type AttentionInputs, bidirectionalAttention, causalAttention, exactAttention } from '../attention/index.js';
import { float32, hostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { initialize } from '../base/layout.js';
import { parseOptions } from '../base/options.js';
import { Random } from '../base/random.js';
import { drawFeatureParts, featureMap, featureMapChoice, learnedLayout } from '../features/index.js';
import { specsOf, type Tensor } from '../graph/index.js';
import { featureOptions } from '../mixers/index.js';
import type { FeaturesOption } from './layer-options.js';
import type { EngineOption } from './options.js';

/** Numbers in the order of [batch, length, heads, dim], the last axis first to change. */
export type Numbers = ArrayLike<number>;

/** What attention reads: queries, keys and values as flat arrays of one shape. */
export interface AttentionArrays {
  readonly query: Numbers;
  /** As many batches, heads and dims as the queries have, or `keyHeads` heads; of another length where attention is not causal. */
  readonly key: Numbers;
  /** One value for each key. */
  readonly value: Numbers;
  /** [batch, length, heads, dim] of the queries. */
  readonly shape: readonly [batch: number, length: number, heads: number, dim: number];
  /** Heads of keys and values, which divide those of the queries: as many query heads in a row share one. As many as heads unless given. */
  readonly keyHeads?: number | undefined;
  /** [batch, keys], true or 1 where a key may be attended to; all of them unless given. A query that sees no key gets zeros. */
  readonly keyMask?: ArrayLike<number | boolean> | undefined;
}

export interface AttentionOptions extends EngineOption {
  /** favor+ is linear in the length and estimates softmax attention; softmax is exact and quadratic. favor+ unless given. */
  readonly kind?: 'favor+' | 'softmax' | undefined;
  /** Whether a query sees the keys up to its own place alone; false unless given. */
  readonly isCausal?: boolean | undefined;
  /** The feature map of favor+; positive unless given. */
  readonly features?: FeaturesOption | undefined;
  /** Of the random features: equal seeds give equal outputs; 0 unless given. */
  readonly seed?: number | undefined;
}

/** Made when it is asked for, as feature maps may be registered from outside. */
const optionsSchema = () =>
  z.strictObject({
    kind: z.enum(['favor+', 'softmax'], 'expected favor+ or softmax').default('favor+'),
    isCausal: z.boolean().default(false),
    features: featureMapChoice(),
    seed: z.int().default(0),
  });

type Features = z.output<ReturnType<typeof featureMapChoice>>;

/**
 * Attention softmax(QKᵀ/√dim)V, or FAVOR+'s estimate of it: [batch, length, heads, dim of the values] in the order of the
 * queries. Each call compiles a graph; whoever calls it often for one shape compiles once with the rooms
 * `performer-ts/attention` and `performer-ts/engine`.
 *
 * @throws SHAPE for arrays that do not fit the shape; CONFIG for options that do not fit; DEVICE where the engine is not
 *   installed.
 */
export async function attention(arrays: AttentionArrays, options: AttentionOptions = {}): Promise<Float32Array> {
  const { engine: given, ...rest } = options;
  const { kind, isCausal, features, seed } = parseOptions('attention', optionsSchema(), rest);
  const inputs = tensorsOf(arrays);
  const attend = kind === 'softmax' ? exact(isCausal) : favor(arrays, isCausal, features, seed);
  const engine = given ?? (await platform.engine());
  const compiled = await engine.compile(
    (tensors: object, parts: object) => ({ output: attend.build(tensors as AttentionInputs, parts) }),
    [specsOf(inputs), specsOf(attend.parts)],
  );
  try {
    const { output } = await compiled.run([inputs, attend.parts]);
    return Float32Array.from(output.data);
  } finally {
    await compiled.dispose();
  }
}

/** Attention over tensors, and the arrays that it takes beside queries, keys and values. */
interface Attend {
  readonly parts: object;
  build(inputs: AttentionInputs, parts: object): Tensor;
}

function exact(isCausal: boolean): Attend {
  return { parts: {}, build: (inputs) => exactAttention(inputs, { isCausal }).output };
}

function favor(
  { shape: [, , heads, headDim], keyHeads = heads }: AttentionArrays,
  isCausal: boolean,
  features: Features,
  seed: number,
): Attend {
  const options = featureOptions(features, headDim);
  const random = Random.fromSeed(seed);
  const learned = learnedLayout(options, heads, keyHeads);
  const parts = {
    ...drawFeatureParts(options, keyHeads, random.split('projections')),
    learned: learned && initialize(learned, random.split('parameters')),
  };
  return {
    parts,
    build(inputs, given) {
      const map = featureMap(options, given);
      return isCausal ? causalAttention(inputs, map).output : bidirectionalAttention(inputs, map);
    },
  };
}

function tensorsOf({ query, key, value, shape, keyHeads = shape?.[2], keyMask }: AttentionArrays): object {
  if (shape?.length !== 4 || !shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw new PerformerError('SHAPE', `attention: expected a shape [batch, length, heads, dim], got [${shape}].`);
  }
  const [batch, length, heads, dim] = shape;
  if (!Number.isSafeInteger(keyHeads) || keyHeads < 1 || heads % keyHeads !== 0) {
    throw new PerformerError('CONFIG', `attention: expected keyHeads that divide ${heads} heads, got ${keyHeads}.`);
  }
  const keys = sizeOf('key', key, batch * keyHeads * dim);
  const valueDim = sizeOf('value', value, batch * keys * keyHeads);
  return {
    query: float32([batch, length, heads, dim], query),
    key: float32([batch, keys, keyHeads, dim], key),
    value: float32([batch, keys, keyHeads, valueDim], value),
    keyMask: keyMask && maskOf(keyMask, batch, keys),
  };
}

function maskOf(keyMask: ArrayLike<number | boolean>, batch: number, keys: number) {
  if (keyMask.length !== batch * keys) {
    const expected = `a keyMask [batch, keys] of ${batch} · ${keys} values`;
    throw new PerformerError('SHAPE', `attention: expected ${expected}, got ${keyMask.length}. Give one for each key.`);
  }
  return hostTensor(
    'bool',
    [batch, keys],
    Uint8Array.from(keyMask, (seen) => Number(seen)),
  );
}

/** The size of the one axis that the shape leaves open. */
function sizeOf(name: string, { length }: Numbers, rest: number): number {
  if (length > 0 && length % rest === 0) return length / rest;
  throw new PerformerError('SHAPE', `attention: expected a multiple of ${rest} numbers as ${name}, got ${length}.`);
}
