/** The options of the trunk, which every model has. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { activationNames, normChoice } from '../blocks/index.js';
import { completeMixer, mixerChoice, mixerProblems, queryKeyNormChoice } from '../mixers/index.js';
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
  headDim: option(width, 'width of a head; even for rotary positions', fromPreset),
  feedForwardMultiplier: option(
    z.number().positive().max(64).default(4),
    'hidden width of the feed-forward layers, in dims; gated ones have two thirds of it, for as many parameters',
  ),
  activation: option(
    z.enum(activationNames).default('gelu'),
    'of the feed-forward layers; gated by the sigmoid (glu), relu (reglu), gelu (geglu) or silu (swiglu)',
  ),
  norm: option(normChoice, 'what keeps the scale of layers: a norm, or a learned factor that begins at 0 (rezero)'),
  attention: option(mixerChoice(), 'how tokens see each other'),
  qkvBias: option(z.boolean().default(false), 'queries, keys and values have biases'),
  outputBias: option(z.boolean().default(true), 'the output of attention has a bias'),
  queryKeyNorm: option(
    queryKeyNormChoice,
    'queries and keys are normalised to one length, which each head learns: bounds the norms that random features fail at',
  ),
  positions: option(positionChoice, 'how positions enter'),
  tokenShift: option(z.boolean().default(true), 'half of the channels look at the token before'),
};

export type TrunkConfig = z.output<z.ZodObject<typeof trunkFields>>;

type Problem = readonly [path: readonly string[], message: string];

/** What is wrong with the options of a trunk, which no option of it sees alone. */
export function trunkProblems(config: TrunkConfig, isCausal: boolean): readonly Problem[] {
  const problems: Problem[] = mixerProblems(config.attention, { headDim: config.headDim, isCausal }).map(
    ([path, message]) => [['attention', ...path], message],
  );
  problems.push(...positionProblems(config.positions, config));
  if (Math.round(config.dim * config.feedForwardMultiplier) < 1) {
    problems.push([['feedForwardMultiplier'], `the hidden width, ${config.dim} times it, rounds to 0`]);
  }
  return problems;
}

/** The options with all that follows from others filled in. */
export function completeTrunk<C extends TrunkConfig>(config: C): C {
  return { ...config, attention: completeMixer(config.attention, config) };
}

/** The longest text that the positions know; none where they have no end. */
export function maxLengthOf({ positions }: TrunkConfig): number | undefined {
  return longestOf(positions);
}
