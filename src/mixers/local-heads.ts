/**
 * Local heads beside global ones (Rae & Razavi 2020, and performer-pytorch): the first heads see the nearest tokens alone, by
 * exact attention, and the others see all tokens through features.
 */
import * as z from 'zod';
import type { AttentionInputs, AttentionState, RecentTokens, WindowState } from '../attention/index.js';
import { option } from '../base/options.js';
import { joinDeferrals } from '../blocks/index.js';
import type { LearnedFeatureParams } from '../features/index.js';
import { concatenate, slice, type Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer, type CoreResult } from './attention-mixer.js';
import { crossMixer } from './cross-mixer.js';
import {
  type Buffers,
  completeFeatures,
  favorCore,
  favorCross,
  featureOption,
  featureOptions,
  featureProblems,
} from './favor.js';
import { mixerFamily } from './mixer.js';
import { windowCore, windowOption } from './window.js';

export const localHeadsMixer = mixerFamily({
  kind: 'local-heads',
  text: 'some heads exact for the nearest tokens alone, the others by FAVOR+',
  own: {
    features: featureOption,
    window: windowOption,
    localHeads: option(z.int().min(1).default(1), 'heads that see their window alone, the first ones'),
  },
  problems({ features, localHeads }, sizes) {
    const { heads, keyHeads } = sizes;
    const group = heads / keyHeads;
    const found = featureProblems(features, sizes);
    if (localHeads < heads && localHeads % group === 0) return found;
    const wanted =
      group === 1 ? `fewer than heads, ${heads}` : `a multiple of ${group} (heads/keyHeads) below ${heads}`;
    return [...found, [['localHeads'], `expected ${wanted}, got ${localHeads}`]];
  },
  complete: ({ features, ...options }, { headDim }) => ({
    ...options,
    features: completeFeatures(features, headDim),
  }),
  build: ({ features, window, localHeads }, sizes) => {
    const group = sizes.heads / sizes.keyHeads;
    const part = (heads: number) => ({ ...sizes, heads, keyHeads: heads / group });
    const local = windowCore(window, part(localHeads));
    const global = favorCore(featureOptions(features, sizes.headDim), part(sizes.heads - localHeads));
    return attentionMixer(sizes, besideCore(local, global, { localHeads, group }));
  },
  /** A source has no place that is near to a query: all heads see all of it. */
  cross: ({ features }, sizes) => crossMixer(sizes, favorCross(featureOptions(features, sizes.headDim), sizes)),
});

interface Both<L, G> {
  readonly local: L;
  readonly global: G;
}

type BothStates = Both<WindowState, AttentionState>;
type BothRows = Both<WindowState, RecentTokens>;

/** The inputs of some heads: from the `first` to the last before `end`. */
function headsOf(inputs: AttentionInputs, first: number, end: number, group: number): AttentionInputs {
  const keys = (x: Tensor) => slice(x, 2, first / group, end / group);
  return { ...inputs, query: slice(inputs.query, 2, first, end), key: keys(inputs.key), value: keys(inputs.value) };
}

/** Two cores side by side, each with heads of its own. */
function besideCore(
  local: ReturnType<typeof windowCore>,
  global: ReturnType<typeof favorCore>,
  { localHeads, group }: { readonly localHeads: number; readonly group: number },
): AttentionCore<LearnedFeatureParams, Buffers, BothStates, BothRows> {
  return {
    features: global.features,
    buffers: global.buffers,
    traits: global.traits,
    measured: global.measured && {
      ...global.measured,
      moments: ({ query, key, value }, mask) => {
        const own = headsOf({ query, key, value }, localHeads, query.staticDim(2), group);
        return global.measured!.moments(own, mask);
      },
    },
    deferral:
      local.deferral &&
      global.deferral &&
      joinDeferrals<BothStates, BothRows>({ local: local.deferral, global: global.deferral }),
    state: (batch) => ({ local: local.state(batch), global: global.state(batch) }),
    operations(length) {
      const [ofLocal, ofGlobal] = [local.operations(length), global.operations(length)];
      return { ...ofGlobal, attention: ofLocal.attention + ofGlobal.attention };
    },
    attend(inputs, weights, memory, length): CoreResult<BothStates, BothRows> {
      const of = (name: 'local' | 'global') =>
        memory && ({ state: memory.state[name], rows: memory.rows?.[name] } as never);
      const none = { features: undefined, buffers: {} };
      const near = local.attend(headsOf(inputs, 0, localHeads, group), none, of('local'), length);
      const all = headsOf(inputs, localHeads, inputs.query.staticDim(2), group);
      const far = global.attend(all, weights, of('global'), length);
      return {
        output: concatenate([near.output, far.output], 2),
        state: { local: near.state, global: far.state },
        row: near.row && far.row && { local: near.row, global: far.row },
      };
    },
  };
}
