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
} from './favor.js';
import { type MixerSizes, mixerFamily } from './mixer.js';
import { windowCore, windowOption } from './window.js';

export const hybridMixer = mixerFamily({
  kind: 'hybrid',
  text: 'exact for the nearest tokens and FAVOR+ for all others, under one denominator',
  own: { features: featureOption, window: windowOption },
  problems: ({ features }, sizes) => featureProblems(features, sizes),
  complete: ({ features, window }, { headDim }) => ({ features: completeFeatures(features, headDim), window }),
  build: ({ features, window }, sizes) =>
    attentionMixer(sizes, hybridCore(window, featureOptions(features, sizes.headDim), sizes)),
  /** A source has no place that is near to a query: all of it is seen through features. */
  cross: ({ features }, sizes) => crossMixer(sizes, favorCross(featureOptions(features, sizes.headDim), sizes)),
});

/** The core of a window and that of features as one. */
function hybridCore(
  window: number,
  options: FeatureMapOptions,
  sizes: MixerSizes,
): AttentionCore<LearnedFeatureParams, Buffers, HybridState, RecentHybrid> {
  const { isCausal, chunk } = sizes;
  const [near, far] = [windowCore(window, sizes), favorCore(options, sizes)];
  const passes = isCausal ? 1 : 2;
  return {
    features: far.features,
    buffers: far.buffers,
    traits: far.traits,
    measured: far.measured,
    deferral:
      near.deferral &&
      far.deferral &&
      joinDeferrals<HybridState, RecentHybrid>({ near: near.deferral, far: far.deferral }),
    state: (batch) => ({ near: near.state(batch), far: far.state(batch) }),
    operations(length) {
      const [exact, favor] = [near.operations(length), far.operations(length)];
      return {
        attention: exact.attention + passes * favor.attention,
        withoutGradient: passes * favor.withoutGradient,
      };
    },
    attend(inputs, { features, buffers }, memory) {
      const map = featureMap(options, { ...buffers, learned: features });
      if (memory?.rows !== undefined) {
        const { output, state: row } = deferredHybrid(inputs, map, memory.state, memory.rows);
        return { output, state: {} as HybridState, row };
      }
      if (isCausal && memory !== undefined && inputs.query.dim(1) === 1) {
        return recurrentHybrid(inputs, map, memory.state);
      }
      const { output, state } = hybridAttention(inputs, map, { window, isCausal, chunk, state: memory?.state });
      return { output, state: state ?? ({ near: {}, far: {} } as HybridState) };
    },
  };
}
