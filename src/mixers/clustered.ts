/**
 * Clustered attention (attention/clustered.ts): queries that are alike look at keys as one. For models that read a text at once.
 * One set of random planes for a layer, shared by its heads.
 */
import * as z from 'zod';
import { clusteredAttention } from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import { option } from '../base/options.js';
import { drawProjection } from '../features/index.js';
import type { Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { type MixerOperations, type MixerOptionsOf, type MixerSizes, mixerFamily } from './mixer.js';

const own = {
  clusters: option(z.int().min(1).max(1024).default(64), 'clusters of the queries of each head'),
  hashBits: option(z.int().min(1).max(1024).default(32), 'random planes by whose sides queries are clustered'),
  iterations: option(z.int().min(0).max(100).default(5), 'how often the centers of clusters are moved', {
    flag: 'cluster-iterations',
  }),
  topK: option(
    z.int().min(0).max(1024).default(0),
    'keys that each query weighs by itself: those to which its cluster gives most',
    { flag: 'cluster-top-k' },
  ),
};

type ClusteredOptions = MixerOptionsOf<typeof own>;

export const clusteredMixer = mixerFamily({
  kind: 'clustered',
  text: 'without a causal order: queries look at keys in clusters',
  own,
  problems: (_, { isCausal }) =>
    isCausal
      ? [
          [
            ['kind'],
            'expected attention that has a causal order, got clustered, which is for models that read a text at once',
          ],
        ]
      : [],
  build: (options, sizes) => attentionMixer(sizes, clusteredCore(options, sizes)),
});

interface Buffers<T = Tensor> {
  /** [hashBits, headDim] */
  readonly planes: T;
}

type None = Record<never, never>;

function clusteredCore(options: ClusteredOptions, sizes: MixerSizes): AttentionCore<None, Buffers, None, None> {
  const { headDim } = sizes;
  const { hashBits } = options;
  return {
    buffers: {
      planes: {
        dtype: 'float32',
        shape: [hashBits, headDim],
        draw: (random): HostTensor => drawProjection(random.split('planes'), hashBits, headDim),
      },
    },
    traits: { state: 'none', isChunked: false, isFlat: false },
    state: () => ({}),
    operations: (length) => clusteredOperations(options, sizes, length),
    attend: (inputs, { buffers }) => ({
      output: clusteredAttention(inputs, { ...options, planes: buffers.planes }),
      state: {},
    }),
  };
}

/**
 * Hashes and their clusters, of which no factor has a gradient, so that both of its products are left out; what one-hot matrices
 * gather and spread, of which one has; scores and means.
 */
function clusteredOperations(
  { clusters, hashBits, iterations, topK }: ClusteredOptions,
  { heads, headDim }: MixerSizes,
  length: number,
): MixerOperations {
  const hashes = 2 * length * hashBits * (headDim + (2 * iterations + 1) * clusters);
  const product = 2 * length * clusters * headDim;
  // Top keys are read in blocks of queries, which takes the place of spreading what a cluster got.
  const spread = topK === 0 ? product : 0;
  const exact = 2 * 2 * length * topK * headDim;
  return {
    attention: heads * (hashes + 3 * product + spread + exact),
    withoutGradient: heads * (2 * hashes + product + spread),
  };
}
