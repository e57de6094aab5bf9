/**
 * FAVOR+ (Choromanski et al. 2021): attention through a feature map, linear in the length, with a state of one size.
 *
 * One projection for a layer, shared by its heads. A causal mixer reads a text in chunks, one token after a state in the
 * recurrent form, and one token beside the state in the deferred form: the same function. It may forget (forgetting.ts).
 */
import * as z from 'zod';
import {
  type AttentionState,
  type AttentionTerms,
  attentionExactUpTo,
  attentionStateLayout,
  bidirectionalAttention,
  causalTerms,
  deferredTerms,
  divideTerms,
  normalizerTerm,
  type RecentTokens,
  readSource,
  recurrentTerms,
  sourceState,
  stateFeatureCount,
} from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import type { StateSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import {
  bufferParts,
  type FeatureMapOptions,
  type FeatureMapParts,
  type FeatureMoments,
  featureCountOf,
  featureMap,
  featureMapChoice,
  featureMapProblems,
  hasFixedCount,
  isFlatMap,
  isSequenceWideMap,
  isShaped,
  isSignedMap,
  type LearnedFeatureParams,
  learnedLayout,
  projectionSize,
  type RowMoments,
  rowMoments,
  shapeFromMoments,
} from '../features/index.js';
import { mean, reshape, type Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { type CrossCore, crossMixer } from './cross-mixer.js';
import { attentionDeferral } from './deferral.js';
import { type Forgetting, forgettingOf, forgettingOption, forgettingProblems } from './forgetting.js';
import { type MeasuredBuffers, type MixerOperations, type MixerSizes, mixerFamily, type Problem } from './mixer.js';

/** The option of all mixers that have features. */
export const featureOption = option(featureMapChoice(), 'the features that stand for the kernel of attention', {
  flag: 'feature-map',
});

const own = {
  features: featureOption,
  forgetting: forgettingOption,
  exactUpTo: option(
    z
      .int()
      .min(1)
      .max(2 ** 31 - 2)
      .optional(),
    'without a causal order, as an encoder has it: up to so many keys attention is exact, which is fastest where a text is short',
    { fallback: 'never' },
  ),
  normalizerEpsilon: option(
    z.number().positive().max(1).optional(),
    'with a causal order: what is added to each sum of the features of keys in the denominators, as performer-pytorch does with 1e-6',
    { fallback: 'nothing' },
  ),
};

/** A feature map with its options. */
export type FeatureChoice = z.output<typeof featureOption>;

/** The chunk at which the causal core is counted, whatever chunk is run. */
const countedChunk = 64;

/** Any variant of the choice, with what is not among its options absent. */
type GivenFeatures = { readonly [K in keyof FeatureMapOptions]?: FeatureMapOptions[K] | undefined } & {
  readonly name: FeatureMapOptions['name'];
};

/** The options of the map of a head of this dim. */
export function featureOptions(features: FeatureChoice, headDim: number): FeatureMapOptions {
  const given = features as GivenFeatures;
  const common = {
    ...given,
    projectionKind: given.projectionKind ?? 'orthogonal',
    rowNorm: given.rowNorm ?? 'chi',
    headDim,
  };
  return { ...common, featureCount: featureCountOf(common) };
}

export const favorMixer = mixerFamily({
  kind: 'favor+',
  text: 'linear in the length, with a state of one size',
  own,
  problems({ features, forgetting, exactUpTo, normalizerEpsilon }, sizes) {
    const problems = [...featureProblems(features, sizes), ...forgettingProblems(forgetting, sizes)];
    // The encoder of an encoder-decoder takes it, whose decoder has the same options and reads no length exactly.
    if (sizes.isCausal && !sizes.hasEncoder && exactUpTo !== undefined) {
      const message =
        "expected attention without a causal order, got it with one, where 'hybrid' is exact for as many tokens as its window has";
      problems.push([['exactUpTo'], message]);
    }
    if (!sizes.isCausal && normalizerEpsilon !== undefined) {
      problems.push([['normalizerEpsilon'], 'expected attention with a causal order, got it without one']);
    }
    return problems;
  },
  complete: ({ features, ...own }, { headDim }) => ({ ...own, features: completeFeatures(features, headDim) }),
  build({ features, forgetting, ...own }, sizes) {
    const options = featureOptions(features, sizes.headDim);
    return attentionMixer(sizes, favorCore(options, sizes, { ...own, forgetting: forgettingOf(forgetting, sizes) }));
  },
  cross({ features }, sizes) {
    return crossMixer(sizes, favorCross(featureOptions(features, sizes.headDim), sizes));
  },
});

/** What is wrong with features for heads of a size. */
export function featureProblems(
  features: FeatureChoice,
  { headDim, isCausal }: Pick<MixerSizes, 'headDim' | 'isCausal'>,
): readonly Problem[] {
  const options = featureOptions(features, headDim);
  const asked = (features as Partial<FeatureMapOptions>).featureCount;
  const found = featureMapProblems({ ...options, featureCount: asked ?? options.featureCount });
  const problems = found.map(([key, message]): Problem => [['features', key], message]);
  if (!isCausal || !isSequenceWideMap(options)) return problems;
  const message = `expected ${features.name} features of one position each with a causal order or exact keys beside, got featureEpsilon, by which each depends on all`;
  return [...problems, [['features'], message]];
}

/** The features with their number, where it is not fixed. */
export function completeFeatures(features: FeatureChoice, headDim: number): FeatureChoice {
  const { featureCount } = featureOptions(features, headDim);
  return (hasFixedCount(features.name) ? features : { ...features, featureCount }) as FeatureChoice;
}

/** The random and measured parts of a map. */
export type Buffers = Pick<FeatureMapParts, 'projection' | 'shape'>;

interface FavorOptions {
  readonly forgetting?: Forgetting | undefined;
  readonly exactUpTo?: number | undefined;
  readonly normalizerEpsilon?: number | undefined;
}

/** FAVOR+ between the projections of a layer. */
export function favorCore(
  options: FeatureMapOptions,
  { heads, keyHeads, headDim, isCausal, chunk }: MixerSizes,
  { forgetting, exactUpTo, normalizerEpsilon: epsilon }: FavorOptions = {},
): AttentionCore<LearnedFeatureParams, Buffers, AttentionState, RecentTokens> {
  const featureCount = stateFeatureCount({ featureCount: options.featureCount, isSigned: isSignedMap(options) });
  const sizes = { keyHeads, featureCount, valueDim: headDim };
  return {
    forgetting,
    features: learnedLayout(options, heads, keyHeads),
    buffers: bufferParts(options, keyHeads),
    traits: {
      state: isCausal ? 'fixed' : 'none',
      isChunked: isCausal,
      isFlat: isFlatMap(options.name),
      featureCount: options.featureCount,
    },
    deferral: isCausal ? attentionDeferral({ ...sizes, hasDecay: forgetting !== undefined }) : undefined,
    measured: measuredShape(options, keyHeads),
    state: (batch) => (isCausal ? attentionStateLayout({ batch, ...sizes }) : ({} as AttentionState<StateSpec>)),
    operations: (length) => favorOperations(options, { heads, keyHeads }, length),
    attend(inputs, { features, buffers }, memory) {
      const map = featureMap(options, { ...buffers, learned: features });
      if (!isCausal) {
        const output =
          exactUpTo === undefined ? bidirectionalAttention(inputs, map) : attentionExactUpTo(exactUpTo, inputs, map);
        return { output, state: {} as AttentionState };
      }
      const divided = (terms: AttentionTerms) =>
        epsilon === undefined ? divideTerms(terms) : divideTerms(terms, normalizerTerm(inputs, map, epsilon));
      if (memory?.rows !== undefined) {
        const { terms, state: row } = deferredTerms(inputs, map, { ...memory.state, recent: memory.rows });
        return { output: divided(terms), state: {} as AttentionState, row };
      }
      const { terms, state } =
        memory !== undefined && inputs.query.dim(1) === 1
          ? recurrentTerms(inputs, map, memory.state)
          : causalTerms(inputs, map, { chunk, state: memory?.state });
      return { output: divided(terms), state: keptState(state) };
    },
  };
}

/** What a model keeps of a state: it merges none, so that the decay of all that was read is not needed. */
export function keptState({ sum, logScale }: AttentionState): AttentionState {
  return { sum, logScale };
}

/** A source of any length is kept as sums of one size. */
export function favorCross(
  options: FeatureMapOptions,
  { heads, keyHeads, headDim }: MixerSizes,
): CrossCore<LearnedFeatureParams, Buffers, AttentionState> {
  type Parts = { readonly features: LearnedFeatureParams | undefined; readonly buffers: Buffers };
  const featureCount = stateFeatureCount({ featureCount: options.featureCount, isSigned: isSignedMap(options) });
  const map = ({ features, buffers }: Parts) => featureMap(options, { ...buffers, learned: features });
  return {
    features: learnedLayout(options, heads, keyHeads),
    buffers: bufferParts(options, keyHeads),
    state: (batch) => attentionStateLayout({ batch, keyHeads, featureCount, valueDim: headDim }),
    attend: (inputs, weights) => bidirectionalAttention(inputs, map(weights)),
    keep: (source, weights) => sourceState(source, map(weights)),
    read: (query, weights, state) => readSource(query, map(weights), state),
  };
}

/** Maps that are shaped by moments take the shape of each key head from what attention compares there. */
function measuredShape({ name }: FeatureMapOptions, keyHeads: number): MeasuredBuffers | undefined {
  if (!isShaped(name)) return undefined;
  return {
    names: ['shape'],
    moments: ({ query, key }, mask) => ({
      query: groupMoments(rowMoments(query, mask), keyHeads),
      key: rowMoments(key, mask),
    }),
    buffers: (moments) => ({ shape: shapeFromMoments(name, moments as FeatureMoments<HostTensor>) }),
  };
}

/** The moments of all query heads that share a key head. */
function groupMoments(moments: RowMoments, keyHeads: number): RowMoments {
  const ofGroup = (x: Tensor) => {
    const heads = x.staticDim(0);
    return heads === keyHeads ? x : mean(reshape(x, [keyHeads, heads / keyHeads, ...x.shape.slice(1)]), 1);
  };
  return { mean: ofGroup(moments.mean), second: ofGroup(moments.second) };
}

/** Features of queries and keys, and the causal core, whose sums over keys are those of the key heads. */
function favorOperations(
  options: FeatureMapOptions,
  { heads, keyHeads }: Pick<MixerSizes, 'heads' | 'keyHeads'>,
  length: number,
): MixerOperations {
  const { headDim, featureCount } = options;
  const [rows, columns] = projectionSize(options) ?? [0, 0];
  const isLearned = learnedLayout(options, heads, keyHeads) !== undefined;
  const own = isLearned || isShaped(options.name) ? headDim * headDim : 0;
  const features = (heads + keyHeads) * length * 2 * (rows * columns + own);
  const within = heads * 2 * length * countedChunk * (featureCount + headDim);
  const core = within + (heads + keyHeads) * 2 * length * featureCount * headDim;
  return { attention: features + core, withoutGradient: isLearned ? 0 : features };
}
