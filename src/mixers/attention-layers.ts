/**
 * Attention for use alone, in one's own graph: layouts of what is learned and drawn, and `apply`.
 *
 * - fast attention: queries, keys and values [batch, length, heads, headDim] → [batch, queries, heads, headDim];
 * - self-attention: x [batch, length, dim] → [batch, length, dim], with projections and heads;
 * - cross-attention: the same of x, which looks at a source [batch, source, dim].
 */
import type * as z from 'zod';
import { type AttentionInputs, bidirectionalAttention, causalAttention } from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { parseOptions } from '../base/options.js';
import { maskOfLengths, positionsFrom, type TokenContext, type Weights } from '../blocks/index.js';
import { bufferParts, featureMap, featureMapChoice, learnedLayout } from '../features/index.js';
import { broadcastTo, scalar, type Tensor } from '../graph/index.js';
import { featureOptions } from './favor.js';
import type { MixerSizes } from './mixer.js';
import { buildCrossMixer, buildMixer, completeMixer, mixerChoice, mixerProblems } from './registry.js';

interface Layouts {
  readonly params: object;
  readonly buffers: object;
}

/** Attention through a feature map, without projections. */
export interface FastAttentionLayer extends Layouts {
  /** [batch, queries, heads, headDim] of queries, keys and values. Throws SHAPE for inputs that do not fit. */
  apply(weights: Weights, inputs: AttentionInputs): Tensor;
}

/** The options of `fastAttentionLayer`. */
export interface FastAttentionOptions {
  readonly heads: number;
  readonly headDim: number;
  /** Whether a query sees the keys up to its own place alone; false unless given. */
  readonly isCausal?: boolean | undefined;
  /** The feature map; positive unless given. */
  readonly features?: z.input<ReturnType<typeof featureMapChoice>> | undefined;
}

/** FAVOR+ on queries, keys and values. Throws CONFIG for options that do not fit. */
export function fastAttentionLayer(given: FastAttentionOptions): FastAttentionLayer {
  const { heads, headDim, isCausal = false, features } = given;
  const options = featureOptions(parseOptions('fastAttention', featureMapChoice(), features), headDim);
  const learned = learnedLayout(options, heads);
  return {
    params: learned === undefined ? {} : { learned },
    buffers: bufferParts(options, heads),
    apply({ params, buffers }, inputs) {
      const map = featureMap(options, { ...buffers, ...params });
      return isCausal ? causalAttention(inputs, map).output : bidirectionalAttention(inputs, map);
    },
  };
}

/** The options of `selfAttentionLayer` and `crossAttentionLayer`. */
export interface AttentionLayerOptions {
  /** Width of the rows. */
  readonly dim: number;
  readonly heads: number;
  /** dim/heads unless given. */
  readonly headDim?: number | undefined;
  /** Of self-attention: whether a row sees those before it and itself alone; false unless given. */
  readonly isCausal?: boolean | undefined;
  /** FAVOR+ unless given. */
  readonly attention?: z.input<ReturnType<typeof mixerChoice>> | undefined;
  /** Whether queries, keys and values have biases; false unless given. */
  readonly qkvBias?: boolean | undefined;
}

/** Attention of rows to each other, with projections and heads. */
export interface SelfAttentionLayer extends Layouts {
  /** x [batch, length, dim] → [batch, length, dim]; `lengths` [batch] says how many rows are real, all unless given. */
  apply(weights: Weights, x: Tensor, lengths?: Tensor<'int32'>): Tensor;
}

/** Attention of rows to those of a source, with projections and heads. */
export interface CrossAttentionLayer extends Layouts {
  /** x [batch, length, dim], source [batch, source, dim] → [batch, length, dim]. */
  apply(weights: Weights, x: Tensor, source: Tensor, sourceLengths?: Tensor<'int32'>): Tensor;
}

function sizesOf({ dim, heads, headDim = dim / heads, isCausal = false, qkvBias }: AttentionLayerOptions): MixerSizes {
  return { dim, heads, keyHeads: heads, headDim, isCausal, qkvBias, outputGain: 1, chunk: 64 };
}

function chosen(where: string, { attention }: AttentionLayerOptions, sizes: MixerSizes) {
  const given = parseOptions(where, mixerChoice(), attention);
  const [problem] = mixerProblems(given, sizes);
  if (problem === undefined) return completeMixer(given, sizes);
  const [path, message] = problem;
  throw new PerformerError('CONFIG', `${where}: attention.${path.join('.')}: ${message}.`);
}

/** Attention of rows to each other. Throws CONFIG for options that do not fit. */
export function selfAttentionLayer(options: AttentionLayerOptions): SelfAttentionLayer {
  const sizes = sizesOf(options);
  const mixer = buildMixer(chosen('selfAttention', options, sizes), sizes);
  return {
    params: mixer.params,
    buffers: mixer.buffers,
    apply: (weights, x, lengths) => mixer.apply(weights, x, contextOf(x, lengths)).output,
  };
}

/** Attention of rows to those of a source. Throws CONFIG for options that do not fit, and for attention that has no way to. */
export function crossAttentionLayer(options: AttentionLayerOptions): CrossAttentionLayer {
  const sizes = sizesOf(options);
  const mixer = buildCrossMixer(chosen('crossAttention', options, sizes), sizes);
  return {
    params: mixer.params,
    buffers: mixer.buffers,
    apply(weights, x, hidden, lengths) {
      const { mask, positions } = contextOf(hidden, lengths);
      return mixer.apply(weights, x, { ...contextOf(x, undefined), source: { hidden, mask, positions } }).output;
    },
  };
}

/** What is known of rows that begin at position 0. */
function contextOf(x: Tensor, lengths: Tensor<'int32'> | undefined): TokenContext {
  const [batch, length] = x.shape as [Dim, Dim];
  return {
    length,
    positions: positionsFrom(broadcastTo(scalar(0, 'int32'), [batch]), length),
    mask: maskOfLengths(lengths, length),
    takeLast: (rows) => rows,
  };
}
