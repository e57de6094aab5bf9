/**
 * Exact softmax attention: the baseline. Quadratic in the length, with a state that grows with the text. Its scores may have learned
 * numbers added by the distance of query and key (`attention/relative-bias.ts`).
 */
import * as z from 'zod';
import { type ExactState, exactAttention } from '../attention/index.js';
import type { Dtype } from '../base/array.js';
import { subtractDims } from '../base/dimension.js';
import { filled, type StateSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { broadcastTo, cast, less, pad, scalar, slice, type Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { type CrossCore, crossMixer } from './cross-mixer.js';
import { type CrossMixer, type MixerOptionsOf, type MixerSizes, mixerFamily } from './mixer.js';

const own = {
  relativeBuckets: option(
    z.int().min(4).max(1024).multipleOf(4).optional(),
    'exact attention adds a learned number to each score, by the head and by which of so many buckets the distance falls into, as T5 does',
    { fallback: 'none' },
  ),
  relativeDistance: option(
    z.int().min(2).max(65_536).optional(),
    'the distance from which on all keys are in the last bucket',
    { fallback: '128 with relative buckets' },
  ),
};

const mostDistance = 128;

type Options = MixerOptionsOf<typeof own>;

export const softmaxMixer = mixerFamily({
  kind: 'softmax',
  text: 'exact attention, quadratic in the length, for comparison',
  own,
  problems({ relativeBuckets: buckets, relativeDistance: given }) {
    const distance = given ?? mostDistance;
    if (buckets === undefined) return given === undefined ? [] : [[['relativeBuckets'], 'expected beside a distance']];
    if (distance > buckets / 2) return [];
    return [[['relativeDistance'], `expected more than half of the relativeBuckets, ${buckets / 2}, got ${distance}`]];
  },
  complete: (options) => {
    const { relativeBuckets, relativeDistance = mostDistance } = options;
    return relativeBuckets === undefined ? options : { relativeBuckets, relativeDistance };
  },
  build: (options, sizes) => attentionMixer(sizes, softmaxCore(options, sizes)),
  cross: (_, sizes) => exactCrossMixer(sizes),
});

type None = Record<never, never>;

interface Learned<T = Tensor> {
  /** [buckets, heads] */
  readonly relativeBias: T;
}

function softmaxCore(
  { relativeBuckets: buckets, relativeDistance: maxDistance = mostDistance }: Options,
  { heads, keyHeads, headDim, isCausal }: MixerSizes,
): AttentionCore<Learned, None, ExactState, None> {
  return {
    features: buckets === undefined ? undefined : { relativeBias: filled([buckets, heads], 0) },
    buffers: {},
    traits: { state: isCausal ? 'growing' : 'none', isChunked: false, isFlat: false },
    state(batch) {
      if (!isCausal) return {} as ExactState<StateSpec>;
      const part = (heads: number, last: number): StateSpec => ({
        dtype: 'float32',
        shape: [batch, heads, 0, last],
        initial: 0,
        growing: 2,
      });
      return { key: part(keyHeads, headDim), value: part(keyHeads, headDim), isReal: part(1, 1) };
    },
    operations: (length) => ({ attention: heads * 2 * 2 * length * length * headDim, withoutGradient: 0 }),
    attend({ query, key, value, keyMask }, { features }, memory, length) {
      // What pads all rows to whole chunks takes no place in the state.
      const own = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, 0, length);
      const inputs = { query: own(query), key: own(key), value: own(value), keyMask: keyMask && own(keyMask) };
      const bias = features && { table: features.relativeBias, maxDistance };
      const { output, state } = exactAttention(inputs, { isCausal, state: memory?.state, bias });
      return { output: pad(output, 1, 0, subtractDims(query.dim(1), length)), state };
    },
  };
}

interface SourceRows<T = Tensor> {
  /** [batch, source, keyHeads, headDim] */
  readonly key: T;
  readonly value: T;
  /** [batch, source], 1 for real tokens. */
  readonly isReal: T;
}

/** How tokens look at all of a source, exactly. */
export function exactCrossMixer(sizes: MixerSizes): CrossMixer {
  return crossMixer(sizes, softmaxCross(sizes)) as CrossMixer;
}

/** All keys and values of the source are kept, and which of them are real. */
function softmaxCross({ keyHeads, headDim }: MixerSizes): CrossCore<None, None, SourceRows> {
  return {
    buffers: {},
    state(batch) {
      const part = { dtype: 'float32', shape: [batch, 0, keyHeads, headDim], initial: 0, ofSource: 1 } as const;
      return { key: part, value: part, isReal: { dtype: 'float32', shape: [batch, 0], initial: 0, ofSource: 1 } };
    },
    attend: (inputs) => exactAttention(inputs, { isCausal: false }).output,
    keep({ key, value, keyMask }) {
      const all = broadcastTo(scalar(1), key.shape.slice(0, 2));
      return { key, value, isReal: keyMask === undefined ? all : cast(keyMask, 'float32') };
    },
    read: ({ query }, _, { key, value, isReal }) =>
      exactAttention({ query, key, value, keyMask: less(0, isReal) }, { isCausal: false }).output,
  };
}
