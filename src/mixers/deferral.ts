/**
 * Single tokens beside the state of FAVOR+ (`deferredAttention`): for mixers whose state is an `AttentionState`, those
 * written outside of the package among them.
 */
import {
  type AttentionState,
  addRecent,
  attentionStateLayout,
  largestDeferredWeight,
  type RecentTokens,
} from '../attention/index.js';
import type { StateSpec } from '../base/layout.js';
import type { Deferral } from '../blocks/index.js';

/** The deferral of a mixer whose state has these sizes; `featureCount` is `stateFeatureCount` of its map. */
export function attentionDeferral(sizes: {
  readonly keyHeads: number;
  readonly featureCount: number;
  readonly valueDim: number;
  /** Whether keys decay (`logDecay`); not unless given. */
  readonly hasDecay?: boolean | undefined;
}): Deferral<AttentionState, RecentTokens> {
  const { keyHeads, featureCount, valueDim, hasDecay = false } = sizes;
  return {
    state: (batch) => attentionStateLayout({ batch, ...sizes }),
    rows(batch, window) {
      const row = (size: number): StateSpec => ({
        dtype: 'float32',
        shape: [batch, keyHeads, window, size],
        initial: 0,
      });
      return { weight: row(featureCount), value: row(valueDim + 1), logDecay: hasDecay ? row(1) : undefined };
    },
    settle: (state, recent) => addRecent({ ...state, recent }),
    isTaken: ({ weight: { data } }) => {
      for (let at = 0; at < data.length; at++) {
        if (!(Math.abs(data[at] as number) <= largestDeferredWeight)) return false;
      }
      return true;
    },
  };
}
