/** Local attention: exact softmax attention to the nearest tokens alone, linear in the length, with a state of one size. */
import * as z from 'zod';
import {
  addToWindow,
  deferredWindow,
  divideTerms,
  recurrentWindow,
  type WindowState,
  windowAttention,
  windowStateLayout,
} from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import type { StateSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import type { Deferral } from '../blocks/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { type MixerOperations, type MixerSizes, mixerFamily } from './mixer.js';
import { exactCrossMixer } from './softmax.js';

const largestWindow = 2 ** 16;

/** The option of all mixers that have a window. */
export const windowOption = option(
  z.int().min(1).max(largestWindow).default(128),
  'keys that a query sees exactly: the last ones with its own, and without a causal order as many on either side',
  { flag: 'attention-window' },
);

export const windowMixer = mixerFamily({
  kind: 'window',
  text: 'exact attention to the nearest tokens alone',
  own: { window: windowOption },
  build: ({ window }, sizes) => attentionMixer(sizes, windowCore(window, sizes)),
  /** A source has no place that is near to a query: all of it is seen. */
  cross: (_, sizes) => exactCrossMixer(sizes),
});

type None = Record<never, never>;

/** Exact attention inside of a window. */
export function windowCore(
  window: number,
  { heads, keyHeads, headDim, isCausal }: Pick<MixerSizes, 'heads' | 'keyHeads' | 'headDim' | 'isCausal'>,
): AttentionCore<None, None, WindowState, WindowState> {
  const stateOf = (batch: Dim) => windowStateLayout({ batch, keyHeads, window, dim: headDim, valueDim: headDim });
  return {
    buffers: {},
    traits: { state: isCausal ? 'fixed' : 'none', isChunked: false, isFlat: false },
    deferral: isCausal ? windowDeferral(stateOf, { keyHeads, headDim }) : undefined,
    state: (batch) => (isCausal ? stateOf(batch) : ({} as WindowState<StateSpec>)),
    operations: (length) => windowOperations(isCausal ? window : 2 * window - 1, { heads, headDim }, length),
    attend(inputs, _, memory) {
      if (!isCausal) return { output: windowAttention(inputs, { window, isCausal }).output, state: {} as WindowState };
      if (memory?.rows !== undefined) {
        const { terms, row } = deferredWindow(inputs, memory.state, memory.rows);
        return { output: divideTerms(terms), state: {} as WindowState, row };
      }
      if (memory !== undefined && inputs.query.dim(1) === 1) {
        const { terms, state } = recurrentWindow(inputs, memory.state);
        return { output: divideTerms(terms), state };
      }
      const { output, state } = windowAttention(inputs, { window, isCausal, state: memory?.state });
      return { output, state: state! };
    },
  };
}

/** Scores and means of so many keys that a query sees, where the length has as many. */
export function windowOperations(
  keys: number,
  { heads, headDim }: Pick<MixerSizes, 'heads' | 'headDim'>,
  length: number,
): MixerOperations {
  return { attention: heads * 2 * 2 * length * Math.min(length, keys) * headDim, withoutGradient: 0 };
}

/** So many tokens beside the state of a window. */
export function windowRows(
  { keyHeads, headDim }: Pick<MixerSizes, 'keyHeads' | 'headDim'>,
  batch: Dim,
  rows: number,
): WindowState<StateSpec> {
  return windowStateLayout({ batch, keyHeads, window: rows, dim: headDim, valueDim: headDim });
}

function windowDeferral(
  state: (batch: Dim) => WindowState<StateSpec>,
  sizes: Pick<MixerSizes, 'keyHeads' | 'headDim'>,
): Deferral<WindowState, WindowState> {
  return {
    state,
    rows: (batch, rows) => windowRows(sizes, batch, rows),
    settle: addToWindow,
    isTaken: () => true,
  };
}
