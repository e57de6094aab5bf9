/** The options of the trunk, which every model has. */
import * as z from 'zod';
import { choice, option } from '../base/options.js';
import { completeMixer, mixerChoice, mixerProblems } from '../mixers/index.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

const width = z
  .int()
  .min(1)
  .max(2 ** 16);

const fromPreset = { fallback: 'from the preset' };

const positionChoice = choice(
  'kind',
  [
    z.strictObject({ kind: z.literal('rotary') }),
    z.strictObject({
      kind: z.literal('learned'),
      maxLength: option(count, 'the longest text, for learned positions', { fallback: 'none' }),
    }),
    z.strictObject({ kind: z.literal('none') }),
  ],
  'rotary',
);

/** The options of the trunk, which every model has. */
export const trunkFields = {
  dim: option(width, 'width of the residual stream', fromPreset),
  depth: option(z.int().min(1).max(1024), 'blocks', fromPreset),
  heads: option(width, 'attention heads', fromPreset),
  headDim: option(width, 'width of a head; even for rotary positions', fromPreset),
  feedForwardMultiplier: option(
    z.number().positive().max(64).default(4),
    'hidden width of the feed-forward layers, in dims',
  ),
  attention: option(mixerChoice(), 'how tokens see each other'),
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
  if (config.positions.kind === 'rotary' && config.headDim % 2 === 1) {
    problems.push([['headDim'], 'rotary positions need it even']);
  }
  if (Math.round(config.dim * config.feedForwardMultiplier) < 1) {
    problems.push([['feedForwardMultiplier'], `the hidden width, ${config.dim} times it, rounds to 0`]);
  }
  return problems;
}

/** The options with all that follows from others filled in. */
export function completeTrunk<C extends TrunkConfig>(config: C): C {
  return { ...config, attention: completeMixer(config.attention, config) };
}

/** The longest text that learned positions know; none where positions have no end. */
export function maxLengthOf({ positions }: TrunkConfig): number | undefined {
  return positions.kind === 'learned' ? positions.maxLength : undefined;
}
