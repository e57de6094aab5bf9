/**
 * The pixel model: images as sequences of values from 0 to 255, row by row and the colours of a pixel side by side, each told
 * from all before it (Parmar et al. 2018; ImageNet64 of Choromanski et al. 2021, section 4.4). It is the causal language model
 * over 256 values and a token that stands before the first of them.
 */
import * as z from 'zod';
import { option, parseOptions } from '../base/options.js';
import { imagePositions, imageSize, onGrid, pixelGrid } from './image-options.js';
import { causalModel } from './language-model.js';
import type { Model, ModelFamily } from './model.js';
import { anyModelFields, withTrunk } from './options.js';

const name = 'pixel-model';

/** Values of a channel. */
const levels = 256;

/** The options of pixel models, with their bounds, defaults and help. */
export const pixelModelSchema = withTrunk(
  z
    .strictObject({
      ...anyModelFields(name),
      positions: imagePositions,
      tokenizer: z.literal('bytes').default('bytes'), // a token is a value of a byte
      vocabularySize: z.literal(levels + 1).default(levels + 1),
      image: imageSize,
      tiedEmbedding: option(z.boolean().default(false), 'the logits use the embedding'),
    })
    .transform((config, context) => {
      return { ...config, positions: onGrid(config.positions, pixelGrid(config.image), context) };
    }),
  { isCausal: true, specialTokens: () => 1 },
);

/** Every option, with defaults filled in. */
export type PixelModelConfig = z.output<typeof pixelModelSchema>;
/** What may be given: sizes and the size of images must be, all else has a default. */
export interface PixelModelOptions extends z.input<typeof pixelModelSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function pixelModelConfig(options: PixelModelOptions): PixelModelConfig {
  return parseOptions('pixelModelConfig', pixelModelSchema, options);
}

export const pixelModel: ModelFamily<PixelModelConfig> = {
  name,
  text: 'predicts the next value of an image, and paints',
  schema: pixelModelSchema,
  build(config, execution): Model {
    const { image } = config;
    const causal = causalModel('pixel model', config, execution);
    return { ...causal, kind: name, image, maxLength: pixelGrid(image).tokens, boundary: levels };
  },
};
