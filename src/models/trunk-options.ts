/** The options of the trunk, which every model has. */
import * as z from 'zod';
import { choices, option } from '../base/options.js';
import { activationNames, normChoice } from '../blocks/index.js';
import {
  completeMixer,
  isBlind,
  isShared,
  type MixerChoice,
  mixerChoice,
  mixerProblems,
  type ProblemSizes,
  queryKeyNormChoice,
} from '../mixers/index.js';
import { longestOf, positionChoice, positionProblems } from './positions.js';

const width = z
  .int()
  .min(1)
  .max(2 ** 16);

const fromPreset = { fallback: 'from the preset' };

/** The options of the trunk, which every model has. */
export const trunkFields = {
  dim: option(width, 'width of the residual stream', fromPreset),
  depth: option(z.int().min(1).max(1024), 'blocks', fromPreset),
  heads: option(width, 'attention heads', fromPreset),
  keyHeads: option(width.optional(), 'heads of keys and values, each shared by as many attention heads', {
    fallback: 'as many as heads',
  }),
  headDim: option(width, 'width of a head; even for rotary positions', fromPreset),
  feedForwardMultiplier: option(
    z.number().positive().max(64).default(4),
    'hidden width of the feed-forward layers, in dims; gated ones have two thirds of it, for as many parameters',
  ),
  feedForwardWidth: option(width.optional(), 'hidden width of the feed-forward layers as it is, gated or not', {
    fallback: 'by the multiplier',
  }),
  feedForwardBias: option(z.boolean().default(true), 'the feed-forward layers have biases'),
  activation: option(
    z.enum(activationNames).default('gelu'),
    'of the feed-forward layers (gelu-tanh as GPT-2 has it); gated by the sigmoid (glu), relu (reglu), gelu (geglu, or geglu-tanh) or silu (swiglu)',
  ),
  norm: option(normChoice, 'what keeps the scale of layers: a norm, or a learned factor that begins at 0 (rezero)'),
  embeddingDeviation: option(
    z.number().positive().max(10).default(0.02),
    'the standard deviation of embeddings and of learned positions before training',
  ),
  embeddingNorm: option(
    z.boolean().default(false),
    'a norm behind the embeddings and their positions, before the layers',
  ),
  attention: option(choices(mixerChoice()), 'how tokens see each other; a list is repeated over the layers'),
  qkvBias: option(z.boolean().default(false), 'queries, keys and values have biases'),
  outputBias: option(z.boolean().default(true), 'the output of attention has a bias'),
  queryKeyNorm: option(
    queryKeyNormChoice,
    'queries and keys have one length, which each head learns (unit: bounds the norms that random features fail at), or a learned factor alone (temperature)',
  ),
  positions: option(positionChoice, 'how positions enter'),
  memoryTokens: option(
    z
      .int()
      .min(0)
      .max(2 ** 16)
      .default(0),
    'learned vectors before every text, which all its tokens may look at',
  ),
  parallelResidual: option(
    z.boolean().default(false),
    'attention and feed-forward layer of a block read the same, and both are added to it',
  ),
  reversible: option(
    z.boolean().default(false),
    'two streams, whose layers are computed backwards for the gradient: memory does not grow with the depth',
  ),
  tokenShift: option(
    z.int().min(0).max(16).default(1),
    'how many tokens before give half of the channels, each of them as many; 0: none',
  ),
};

/** The options that every family shares. */
export type TrunkConfig = z.output<z.ZodObject<typeof trunkFields>>;

type Problem = readonly [path: readonly (string | number)[], message: string];

/** What the layers choose, one for each; a list is repeated over the depth. */
export function mixersByLayer({ attention, depth }: TrunkConfig): readonly MixerChoice[] {
  const list = attentionList(attention);
  return Array.from({ length: depth }, (_, layer) => list[layer % list.length] as MixerChoice);
}

/** The kinds of attention in words: `softmax, favor+`. */
export function attentionKinds({ attention }: Pick<TrunkConfig, 'attention'>): string {
  return attentionList(attention)
    .map(({ kind }) => kind)
    .join(', ');
}

function attentionList(attention: TrunkConfig['attention']): readonly MixerChoice[] {
  return isList(attention) ? attention : [attention];
}

function isList(attention: TrunkConfig['attention']): attention is readonly MixerChoice[] {
  return Array.isArray(attention);
}

/** Whether no token looks at another in any layer. */
export function looksNowhere({ attention }: Pick<TrunkConfig, 'attention'>): boolean {
  const list = attentionList(attention);
  return list.length > 0 && list.every(isBlind);
}

/** What is wrong with the options of a trunk, which no option of it sees alone. */
export function trunkProblems(
  config: TrunkConfig,
  order: Pick<ProblemSizes, 'isCausal' | 'hasEncoder'>,
): readonly Problem[] {
  const { attention, depth, heads, headDim } = config;
  const list = attentionList(attention);
  const problems: Problem[] = list.flatMap((each, at) =>
    mixerProblems(each, { heads, keyHeads: keyHeadsOf(config), headDim, ...order }).map(
      ([path, message]): Problem => [['attention', ...(isList(attention) ? [at] : []), ...path], message],
    ),
  );
  if (list.length === 0 || depth % list.length !== 0) {
    problems.push([
      ['attention'],
      `expected a list whose length divides the depth, ${depth}, got one of ${list.length}`,
    ]);
  }
  if (config.memoryTokens > 0 && looksNowhere(config)) {
    problems.push([
      ['memoryTokens'],
      `expected 0, as no token looks at them with attention: '${attentionKinds(config)}', got ${config.memoryTokens}`,
    ]);
  }
  if (config.reversible && config.norm.kind !== 'rezero' && config.norm.placement === 'post') {
    problems.push([
      ['reversible'],
      'norms behind the layers cannot be computed backwards: expected norm.placement "pre"',
    ]);
  }
  const isPost = config.norm.kind !== 'rezero' && config.norm.placement === 'post';
  if (config.parallelResidual && (config.reversible || isPost)) {
    const message =
      'parallel layers have one stream, normalised before them: expected reversible false and norm.placement "pre"';
    problems.push([['parallelResidual'], message]);
  }
  if (list.length > 0 && isShared(list[0]!)) {
    const path = isList(attention) ? ['attention', 0] : ['attention'];
    problems.push([path, `the first layer has none to share, expected attention of its own before ${list[0]!.kind}`]);
  }
  const shifted = Math.max(1, Math.floor(config.dim / 2));
  if (config.tokenShift > shifted) {
    problems.push([
      ['tokenShift'],
      `half of the ${config.dim} channels: expected at most ${shifted}, got ${config.tokenShift}`,
    ]);
  }
  problems.push(...positionProblems(config.positions, config));
  if (config.heads % keyHeadsOf(config) !== 0) {
    problems.push([['keyHeads'], `expected a divisor of heads, ${config.heads}, got ${config.keyHeads}`]);
  }
  if (Math.round(config.dim * config.feedForwardMultiplier) < 1) {
    problems.push([['feedForwardMultiplier'], `the hidden width, ${config.dim} times it, rounds to 0`]);
  }
  return problems;
}

/** The heads of keys and values. */
export function keyHeadsOf({ heads, keyHeads = heads }: Pick<TrunkConfig, 'heads' | 'keyHeads'>): number {
  return keyHeads;
}

/** The options with all that follows from others filled in. */
export function completeTrunk<C extends TrunkConfig>(config: C): C {
  const { attention } = config;
  const complete = (each: MixerChoice) => completeMixer(each, config);
  return { ...config, attention: isList(attention) ? attention.map(complete) : complete(attention) };
}

/** The longest text that the positions know; none where they have no end. */
export function maxLengthOf({ positions }: TrunkConfig): number | undefined {
  return longestOf(positions);
}
