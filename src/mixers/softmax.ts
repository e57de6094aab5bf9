/** Exact softmax attention: the baseline. Quadratic in the length, with a state that grows with the text. */
import { type ExactState, exactAttention } from '../attention/index.js';
import type { Dtype } from '../base/array.js';
import { subtractDims } from '../base/dimension.js';
import type { StateSpec } from '../base/layout.js';
import { broadcastTo, cast, less, pad, scalar, slice, type Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { type CrossCore, crossMixer } from './cross-mixer.js';
import { type MixerSizes, mixerFamily } from './mixer.js';

export const softmaxMixer = mixerFamily({
  kind: 'softmax',
  text: 'exact attention, quadratic in the length, for comparison',
  own: {},
  build: (_, sizes) => attentionMixer(sizes, softmaxCore(sizes)),
  cross: (_, sizes) => crossMixer(sizes, softmaxCross(sizes)),
});

type None = Record<never, never>;

function softmaxCore({ heads, keyHeads, headDim, isCausal }: MixerSizes): AttentionCore<None, None, ExactState, None> {
  return {
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
    attend({ query, key, value, keyMask }, _, memory, length) {
      // What pads all rows to whole chunks takes no place in the state.
      const own = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, 0, length);
      const inputs = { query: own(query), key: own(key), value: own(value), keyMask: keyMask && own(keyMask) };
      const { output, state } = exactAttention(inputs, { isCausal, state: memory?.state });
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
