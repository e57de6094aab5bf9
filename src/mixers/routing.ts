/**
 * Routing (attention/routing.ts): exact attention to the latest keys of the cluster that a query asks, alone, or with FAVOR+ for
 * all other keys under one denominator. Linear in the length, with a state of one size.
 *
 * Centroids are buffers: random directions before a training, which measures them by k-means on the keys of a batch.
 */
import * as z from 'zod';
import {
  addToClusters,
  centroidLayout,
  deferredRouting,
  deferredRoutingHybrid,
  measureCentroids,
  type RecentRoutingHybrid,
  type RoutedKeys,
  type RoutingHybridState,
  type RoutingState,
  recurrentRouting,
  recurrentRoutingHybrid,
  routingAttention,
  routingHybridAttention,
  routingStateLayout,
} from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import type { StateSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { joinDeferrals } from '../blocks/index.js';
import { type FeatureMapOptions, featureMap, isSignedMap, type LearnedFeatureParams } from '../features/index.js';
import type { Tensor } from '../graph/index.js';
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
import { type MixerOperations, type MixerSizes, mixerFamily, type Problem } from './mixer.js';
import { exactCrossMixer } from './softmax.js';
import { windowOption } from './window.js';

const own = {
  keyClusters: option(
    z.int().min(2).max(1024).default(16),
    'clusters of keys, of which a query sees one: the state keeps a window of each',
  ),
  window: windowOption,
};

export const routingMixer = mixerFamily({
  kind: 'routing',
  text: 'exact attention to the keys of a cluster, which the content chooses',
  own,
  build: (options, sizes) => attentionMixer(sizes, routingCore(options, sizes)),
  /** All of a source is seen: it is read once, and has no latest keys. */
  cross: (_, sizes) => exactCrossMixer(sizes),
});

export const routingHybridMixer = mixerFamily({
  kind: 'routing-hybrid',
  text: 'exact for the keys of a cluster and FAVOR+ for all others, under one denominator',
  own: { features: featureOption, ...own },
  problems({ features }, sizes) {
    const found = featureProblems(features, { ...sizes, isCausal: true }); // parts are taken out of sums in any order
    if (found.length > 0 || !isSignedMap(featureOptions(features, sizes.headDim))) return found;
    const message = `expected features that are positive, got ${features.name}, of which no part can be taken out again`;
    return [[['features', 'name'], message] satisfies Problem];
  },
  complete: ({ features, ...options }, { headDim }) => ({ ...options, features: completeFeatures(features, headDim) }),
  build: ({ features, ...options }, sizes) =>
    attentionMixer(sizes, routingHybridCore(options, featureOptions(features, sizes.headDim), sizes)),
  cross: ({ features }, sizes) => crossMixer(sizes, favorCross(featureOptions(features, sizes.headDim), sizes)),
});

interface Clusters {
  readonly keyClusters: number;
  readonly window: number;
}

type None = Record<never, never>;

interface Centroids<T = Tensor> {
  /** [keyHeads, clusters, headDim] */
  readonly centroids: T;
}

/** Exact attention inside of a cluster. */
function routingCore(
  { keyClusters: clusters, window }: Clusters,
  { heads, keyHeads, headDim, isCausal }: MixerSizes,
): AttentionCore<None, Centroids, RoutingState, RoutedKeys> {
  const sizes = { keyHeads, clusters, window, dim: headDim, valueDim: headDim };
  const stateOf = (batch: Dim) => routingStateLayout({ batch, ...sizes });
  return {
    buffers: { centroids: centroidLayout(keyHeads, clusters, headDim) },
    traits: { state: isCausal ? 'fixed' : 'none', isChunked: false, isFlat: false },
    measured: {
      names: ['centroids'],
      moments: ({ key }, mask) => ({ centroids: measureCentroids(key, mask, clusters) }),
      buffers: ({ centroids }: Partial<Centroids<object>>) => ({ centroids }),
    },
    deferral: isCausal
      ? { state: stateOf, rows: rowsOf(sizes), settle: addToClusters, isTaken: () => true }
      : undefined,
    state: (batch: Dim) => (isCausal ? stateOf(batch) : ({} as RoutingState<StateSpec>)),
    operations(length) {
      const choosing = (heads + keyHeads) * 2 * length * clusters * headDim;
      const near = heads * 2 * length * seenKeys(window, length, isCausal) * 2 * headDim;
      return { attention: choosing + near, withoutGradient: choosing };
    },
    attend(inputs, { buffers: { centroids } }, memory) {
      if (memory?.rows !== undefined) {
        const { output, state: row } = deferredRouting(inputs, { centroids }, memory.state, memory.rows);
        return { output, state: {} as RoutingState, row };
      }
      if (isCausal && memory !== undefined && inputs.query.dim(1) === 1) {
        return recurrentRouting(inputs, { centroids }, memory.state);
      }
      const { output, state } = routingAttention(inputs, { centroids, window, isCausal, state: memory?.state });
      return { output, state: state ?? ({} as RoutingState) };
    },
  };
}

/** So many tokens beside the state. */
function rowsOf({
  keyHeads,
  clusters,
  dim,
}: {
  readonly keyHeads: number;
  readonly clusters: number;
  readonly dim: number;
}) {
  return (batch: Dim, rows: number): RoutedKeys<StateSpec> => {
    const part = (last: number): StateSpec => ({ dtype: 'float32', shape: [batch, keyHeads, rows, last], initial: 0 });
    return { key: part(dim), value: part(dim), members: part(clusters) };
  };
}

/** Keys whose scores are computed for a query: those of its block of the cluster and of the ones beside it. */
function seenKeys(window: number, length: number, isCausal: boolean): number {
  return Math.min(length, window) * (isCausal ? 2 : 3);
}

/** The core of clusters and that of features as one. */
function routingHybridCore(
  chosen: Clusters,
  options: FeatureMapOptions,
  sizes: MixerSizes,
): AttentionCore<LearnedFeatureParams, Buffers & Centroids, RoutingHybridState, RecentRoutingHybrid> {
  const { window } = chosen;
  const { heads, headDim, isCausal, chunk } = sizes;
  const [near, far] = [routingCore(chosen, sizes), favorCore(options, sizes)];
  return {
    features: far.features,
    buffers: { ...far.buffers, ...near.buffers },
    traits: far.traits,
    measured: {
      names: [...near.measured!.names, ...(far.measured?.names ?? [])],
      moments: (attended, mask) => ({
        near: near.measured!.moments(attended, mask),
        far: far.measured?.moments(attended, mask),
      }),
      buffers: ({ near: ofNear, far: ofFar }: { readonly near?: object; readonly far?: object | undefined }) => ({
        ...near.measured!.buffers(ofNear!),
        ...(ofFar && far.measured!.buffers(ofFar)),
      }),
    },
    deferral:
      near.deferral &&
      far.deferral &&
      joinDeferrals<RoutingHybridState, RecentRoutingHybrid>({ near: near.deferral, far: far.deferral }),
    state: (batch) => ({ near: near.state(batch), far: far.state(batch) }),
    operations(length): MixerOperations {
      const [exact, favor] = [near.operations(length), far.operations(length)];
      const estimates = heads * 2 * length * seenKeys(window, length, isCausal) * (options.featureCount + headDim);
      return {
        attention: exact.attention + favor.attention + estimates,
        withoutGradient: exact.withoutGradient + favor.withoutGradient,
      };
    },
    attend(inputs, { features, buffers: { centroids, ...parts } }, memory) {
      const map = featureMap(options, { ...parts, learned: features });
      if (memory?.rows !== undefined) {
        const beside = { state: memory.state, recent: memory.rows };
        const { output, state: row } = deferredRoutingHybrid(inputs, map, { centroids }, beside);
        return { output, state: {} as RoutingHybridState, row };
      }
      if (isCausal && memory !== undefined && inputs.query.dim(1) === 1) {
        return recurrentRoutingHybrid(inputs, map, { centroids }, memory.state);
      }
      const given = { centroids, window, isCausal, chunk, state: memory?.state };
      const { output, state } = routingHybridAttention(inputs, map, given);
      return { output, state: state ?? ({ near: {}, far: {} } as RoutingHybridState) };
    },
  };
}
