/**
 * Attention for use alone, in one's own graph: layouts of what is learned and drawn, and `apply`.
 *
 * - fast attention: queries, keys and values [batch, length, heads, headDim] → [batch, queries, heads, headDim];
 * - self-attention: x [batch, length, dim] → [batch, length, dim], with projections and heads;
 * - cross-attention: the same of x, which looks at a source [batch, source, dim].
 */
import * as z from 'zod';
import { type AttentionInputs, bidirectionalAttention, causalAttention } from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { parseOptions } from '../base/options.js';
import { maskOfLengths, positionsFrom, type TokenContext, type Weights } from '../blocks/index.js';
import { bufferParts, featureMap, featureMapChoice, learnedLayout } from '../features/index.js';
import { broadcastTo, scalar, type Tensor } from '../graph/index.js';
import { featureOptions } from './favor.js';
import type { MixerSizes } from './mixer.js';
import {
  buildCrossMixer,
  buildMixer,
  completeMixer,
  type MixerChoice,
  mixerChoice,
  mixerProblems,
} from './registry.js';

interface Layouts {
  readonly params: object;
  readonly buffers: object;
}

/** Attention through a feature map, without projections. */
export interface FastAttentionLayer extends Layouts {
  /** [batch, queries, heads, headDim] of queries, keys and values. Throws SHAPE for inputs that do not fit. */
  apply(weights: Weights, inputs: AttentionInputs): Tensor;
}

const size = z.int().min(1);

/** Schemas are made when they are asked for, as feature maps and mixers may be registered from outside. */
const fastAttentionSchema = () =>
  z.strictObject({
    heads: size,
    headDim: size,
    isCausal: z.boolean().default(false),
    features: featureMapChoice(),
  });

const attentionLayerSchema = () =>
  z.strictObject({
    dim: size,
    heads: size,
    keyHeads: size.optional(),
    headDim: size.optional(),
    attention: mixerChoice(),
    qkvBias: z.boolean().default(false),
    outputBias: z.boolean().default(true),
  });

const selfAttentionSchema = () => attentionLayerSchema().extend({ isCausal: z.boolean().default(false) });

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
  const { heads, headDim, isCausal, features } = parseOptions('fastAttention', fastAttentionSchema(), given);
  const options = featureOptions(features, headDim);
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

/** The options of `crossAttentionLayer`. */
export interface AttentionLayerOptions {
  /** Width of the rows. */
  readonly dim: number;
  readonly heads: number;
  /** Heads of keys and values, which divide `heads`: as many heads in a row share one. As many as heads unless given. */
  readonly keyHeads?: number | undefined;
  /** dim/heads unless given. */
  readonly headDim?: number | undefined;
  /** FAVOR+ unless given. */
  readonly attention?: z.input<ReturnType<typeof mixerChoice>> | undefined;
  /** Whether queries, keys and values have biases; false unless given. */
  readonly qkvBias?: boolean | undefined;
  /** Whether the output has one; true unless given. */
  readonly outputBias?: boolean | undefined;
}

/** The options of `selfAttentionLayer`. */
export interface SelfAttentionOptions extends AttentionLayerOptions {
  /** Whether a row sees those before it and itself alone; false unless given. */
  readonly isCausal?: boolean | undefined;
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

/** What a layer is built of, of options that were checked. */
function checked(
  where: string,
  { attention, ...given }: z.output<ReturnType<typeof attentionLayerSchema>>,
  isCausal: boolean,
) {
  const { dim, heads, keyHeads = heads, headDim = dim / heads, qkvBias, outputBias } = given;
  const sizes: MixerSizes = { dim, heads, keyHeads, headDim, isCausal, qkvBias, outputBias, outputGain: 1, chunk: 64 };
  const problem = sizeProblem(sizes) ?? attentionProblem(attention, sizes);
  if (problem === undefined) return { choice: completeMixer(attention, sizes), sizes };
  throw new PerformerError('CONFIG', `${where}: ${problem}.`);
}

function sizeProblem({ dim, heads, keyHeads, headDim }: MixerSizes): string | undefined {
  if (!Number.isSafeInteger(headDim)) return `headDim: expected heads that divide dim, ${dim}, got ${heads}`;
  return heads % keyHeads === 0 ? undefined : `keyHeads: expected a divisor of heads, ${heads}, got ${keyHeads}`;
}

function attentionProblem(attention: MixerChoice, sizes: MixerSizes): string | undefined {
  const [problem] = mixerProblems(attention, sizes);
  return problem && `attention.${problem[0].join('.')}: ${problem[1]}`;
}

/** Attention of rows to each other. Throws CONFIG for options that do not fit. */
export function selfAttentionLayer(options: SelfAttentionOptions): SelfAttentionLayer {
  const { isCausal, ...given } = parseOptions('selfAttention', selfAttentionSchema(), options);
  const { choice, sizes } = checked('selfAttention', given, isCausal);
  const mixer = buildMixer(choice, sizes);
  return {
    params: mixer.params,
    buffers: mixer.buffers,
    apply: (weights, x, lengths) => mixer.apply(weights, x, contextOf(x, lengths)).output,
  };
}

/** Attention of rows to those of a source. Throws CONFIG for options that do not fit, and for attention that has no way to. */
export function crossAttentionLayer(options: AttentionLayerOptions): CrossAttentionLayer {
  const given = parseOptions('crossAttention', attentionLayerSchema(), options);
  const { choice, sizes } = checked('crossAttention', given, false);
  const mixer = buildCrossMixer(choice, sizes);
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
