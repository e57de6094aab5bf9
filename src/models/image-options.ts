/** The options of models of images: their size, and positions that follow from it. */
import * as z from 'zod';
import { choice, option } from '../base/options.js';
import type { ImageSize } from '../data/index.js';
import { type PositionOptions, rotaryPositions } from './positions.js';

const side = z
  .int()
  .min(1)
  .max(2 ** 16);

/** The size of every image. It follows from the data, and has no flag. */
export const imageSize = z.strictObject({ height: side, width: side, channels: z.literal([1, 3]) });

/** What is taken from the pixels of each channel, from 0 to 1, and what that is divided by; 0.5 and 0.5 unless given. */
export const pixelScale = z.strictObject({
  means: z.array(z.number()),
  deviations: z.array(z.number().positive()),
});

/** What follows from the size of images may stand in a config file, and need not be given. */
const known = z.int().optional();

const positionChoice = choice(
  'kind',
  [
    rotaryPositions,
    z.strictObject({ kind: z.literal('learned'), maxLength: known }),
    z.strictObject({ kind: z.literal('sinusoidal') }),
    z.strictObject({ kind: z.literal('axial'), maxLength: known, columns: known, channels: known }),
    z.strictObject({ kind: z.literal('none') }),
  ],
  'axial',
);

/** How positions enter a model of images. */
export const imagePositions = option(positionChoice, 'how positions enter');

/** How the tokens of an image stand: in rows and columns, of which each place has several. */
export interface TokenGrid {
  readonly columns: number;
  readonly channels: number;
  /** Tokens in all, with those that stand behind the grid. */
  readonly tokens: number;
}

/** The grid of the pixels of an image, a token for each colour of each. */
export function pixelGrid({ height, width, channels }: ImageSize): TokenGrid {
  return { columns: width, channels, tokens: height * width * channels };
}

/** Positions with what follows from the grid, which reports what was given otherwise. */
export function onGrid(
  positions: z.output<typeof positionChoice>,
  { columns, channels, tokens }: TokenGrid,
  context: z.core.$RefinementCtx,
): PositionOptions {
  if (positions.kind !== 'learned' && positions.kind !== 'axial') return positions;
  const row = columns * channels;
  const complete =
    positions.kind === 'learned'
      ? { kind: positions.kind, maxLength: tokens }
      : { kind: positions.kind, maxLength: Math.ceil(tokens / row) * row, columns, channels };
  for (const [key, value] of Object.entries(complete)) {
    const got = (positions as Readonly<Record<string, unknown>>)[key];
    if (got === undefined || got === value) continue;
    const message = `expected ${value}, which follows from the size of images, got ${got}. Leave it out`;
    context.addIssue({ code: 'custom', path: ['positions', key], message });
  }
  return complete;
}
