/**
 * The hybrid (attention/hybrid.ts): exact softmax attention to the nearest tokens and FAVOR+ to all others, under one
 * denominator. Linear in the length, with a state of one size.
 */
import {
  deferredHybrid,
  type HybridState,
  hybridAttention,
  type RecentHybrid,
  recurrentHybrid,
} from '../attention/index.js';
import { joinDeferrals } from '../blocks/index.js';
import { type FeatureMapOptions, featureMap, type LearnedFeatureParams } from '../features/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { crossMixer } from './cross-mixer.js';
import {
  type Buffers,
  completeFeatures,
  favorCore,
  favorCross,
  featureOption,
  featureOptions,
  featureProblems,
  keptState,
} from './favor.js';
import { type Forgetting, forgettingOf, forgettingOption, forgettingProblems } from './forgetting.js';
import { type MixerSizes, mixerFamily } from './mixer.js';
import { windowCore, windowOperations, windowOption } from './window.js';

export const hybridMixer = mixerFamily({
  kind: 'hybrid',
  text: 'exact for the nearest tokens and FAVOR+ for all others, under one denominator',
  own: { features: featureOption, window: windowOption, forgetting: forgettingOption },
  problems: ({ features, forgetting }, sizes) => [
    ...featureProblems(features, { ...sizes, isCausal: true }), // parts are taken out of sums in any order
    ...forgettingProblems(forgetting, sizes),
  ],
  complete: ({ features, ...own }, { headDim }) => ({ ...own, features: completeFeatures(features, headDim) }),
  build: ({ features, window, forgetting }, sizes) => {
    const options = featureOptions(features, sizes.headDim);
    return attentionMixer(sizes, hybridCore(window, options, sizes, forgettingOf(forgetting, sizes)));
  },
  /** A source has no place that is near to a query: all of it is seen through features. */
  cross: ({ features }, sizes) => crossMixer(sizes, favorCross(featureOptions(features, sizes.headDim), sizes)),
});

function keptOf({ near, far }: HybridState): HybridState {
  return { near, far: keptState(far) };
}

/** The core of a window and that of features as one. */
function hybridCore(
  window: number,
  options: FeatureMapOptions,
  sizes: MixerSizes,
  forgetting: Forgetting | undefined,
): AttentionCore<LearnedFeatureParams, Buffers, HybridState, RecentHybrid> {
  const { isCausal, chunk } = sizes;
  const [near, far] = [windowCore(window, sizes), favorCore(options, sizes, { forgetting })];
  return {
    forgetting,
    features: far.features,
    buffers: far.buffers,
    traits: { ...far.traits, isFlat: false },
    measured: far.measured,
    deferral:
      near.deferral &&
      far.deferral &&
      joinDeferrals<HybridState, RecentHybrid>({ near: near.deferral, far: far.deferral }),
    state: (batch) => ({ near: near.state(batch), far: far.state(batch) }),
    operations(length) {
      // In both directions three blocks are exact.
      const exact = isCausal ? near.operations(length) : windowOperations(3 * window, sizes, length);
      const favor = far.operations(length);
      return { attention: exact.attention + favor.attention, withoutGradient: favor.withoutGradient };
    },
    attend(inputs, { features, buffers }, memory) {
      const map = featureMap(options, { ...buffers, learned: features });
      if (memory?.rows !== undefined) {
        const { output, state: row } = deferredHybrid(inputs, map, memory.state, memory.rows);
        return { output, state: {} as HybridState, row };
      }
      if (isCausal && memory !== undefined && inputs.query.dim(1) === 1) {
        const { output, state } = recurrentHybrid(inputs, map, memory.state);
        return { output, state: keptOf(state) };
      }
      const { output, state } = hybridAttention(inputs, map, { window, isCausal, chunk, state: memory?.state });
      return { output, state: state === undefined ? ({ near: {}, far: {} } as HybridState) : keptOf(state) };
    },
  };
}
