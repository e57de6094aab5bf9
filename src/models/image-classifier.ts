/**
 * The image classifier (Dosovitskiy et al. 2021, arXiv 2010.11929): an image is cut into square patches, each patch becomes a
 * token by one product, which is a convolution whose stride is its width, and the trunk with attention in both directions
 * reads the tokens. One vector is made of them, and a linear head gives a logit for each class.
 *
 * A class token stands behind the patches, so that rows and columns of axial positions are those of the image.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import type { ParameterSpec } from '../base/layout.js';
import { option, parseOptions } from '../base/options.js';
import { type EmbeddingParams, embeddingLayout, type LinearParams, linear, linearLayout } from '../blocks/index.js';
import {
  broadcastTo,
  concatenate,
  constant,
  divide,
  multiply,
  reshape,
  scope,
  slice,
  spec,
  subtract,
  type Tensor,
  transpose,
} from '../graph/index.js';
import { imagePositions, imageSize, onGrid, pixelScale } from './image-options.js';
import { inputOf } from './inputs.js';
import type { Model, ModelFamily } from './model.js';
import { anyModelFields, withTrunk } from './options.js';
import { type AttentionPoolingParams, attentionPoolingLayout, checkPooling, poolBy } from './pooling.js';
import { checkTargets, classChoice } from './targets.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams, trunkTables } from './trunk.js';

const name = 'image-classifier';

interface Patches {
  readonly image: z.output<typeof imageSize>;
  readonly pixels?: z.output<typeof pixelScale> | undefined;
  readonly patch: number;
}

/** How many patches an image has. */
function patchCount({ image: { height, width }, patch }: Patches): number {
  return (height / patch) * (width / patch);
}

/** The options of image classifiers, with their bounds, defaults and help. */
export const imageClassifierSchema = withTrunk(
  z
    .strictObject({
      ...anyModelFields(name),
      positions: imagePositions,
      image: imageSize,
      pixels: pixelScale.optional(),
      patch: option(
        z
          .int()
          .min(1)
          .max(2 ** 12)
          .default(4),
        'width of the square patches that images are cut into',
      ),
      pooling: option(
        z.enum(['mean', 'class-token', 'attention']).default('mean'),
        'how one vector is made of the tokens of a text, or of the patches of an image',
      ),
      targets: classChoice,
    })
    .superRefine(checkTargets)
    .superRefine(checkPooling)
    .transform((config, context) => {
      const { image, patch, pooling } = config;
      if (image.height % patch !== 0 || image.width % patch !== 0) {
        const message = `expected a divisor of the images' ${image.height}×${image.width} pixels, got ${patch}`;
        context.addIssue({ code: 'custom', path: ['patch'], message });
        return z.NEVER;
      }
      for (const [key, list] of Object.entries(config.pixels ?? {})) {
        if (list.length === image.channels) continue;
        const message = `expected ${image.channels}, one for each channel, got ${list.length}`;
        context.addIssue({ code: 'custom', path: ['pixels', key], message });
      }
      const tokens = patchCount(config) + (pooling === 'class-token' ? 1 : 0);
      const grid = { columns: image.width / patch, channels: 1, tokens };
      return { ...config, positions: onGrid(config.positions, grid, context) };
    }),
  { isCausal: false },
);

/** Every option, with defaults filled in. */
export type ImageClassifierConfig = z.output<typeof imageClassifierSchema>;
/** What may be given: sizes, the size of images and targets must be, all else has a default. */
export interface ImageClassifierOptions extends z.input<typeof imageClassifierSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function imageClassifierConfig(options: ImageClassifierOptions): ImageClassifierConfig {
  return parseOptions('imageClassifierConfig', imageClassifierSchema, options);
}

interface ImageClassifierParams<T = Tensor> extends TrunkParams<T> {
  /** [patch²·channels, dim] */
  readonly patches: LinearParams<T>;
  /** [1, dim], for pooling by a class token. */
  readonly classToken?: EmbeddingParams<T> | undefined;
  /** For attention pooling. */
  readonly pooling?: AttentionPoolingParams<T> | undefined;
  /** [dim, classes] */
  readonly head: LinearParams<T>;
}

export const imageClassifier: ModelFamily<ImageClassifierConfig> = {
  name,
  text: 'tells the class of an image by its patches',
  schema: imageClassifierSchema,
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const { dim, image, patch, pooling, targets, embeddingDeviation } = config;
    const count = patchCount(config);
    const hasToken = pooling === 'class-token';
    const trunk = buildTrunk(config, { isCausal: false, chunk, feedForwardChunk });
    const params: ImageClassifierParams<ParameterSpec> = {
      patches: linearLayout(patch * patch * image.channels, dim),
      classToken: hasToken ? embeddingLayout(1, dim, embeddingDeviation) : undefined,
      ...trunk.params,
      pooling: pooling === 'attention' ? attentionPoolingLayout(dim) : undefined,
      head: linearLayout(dim, targets.names.length),
    };
    const head = ({ params }: { readonly params: object }, hidden: Tensor) =>
      scope('head', () => linear((params as ImageClassifierParams).head, hidden));
    return {
      ...{ kind: name, config, image, chunk, params, head, isCausal: false, deferral: undefined },
      maxLength: count,
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      // The head is multiplied once for an image, and not for each patch.
      tables: [...trunkTables, 'classToken.weight', 'pooling.query', 'head.weight'],
      inputs: (batch) => ({ images: spec('float32', [batch, image.height, image.width, image.channels]) }),
      state: trunk.state,
      apply(weights, inputs, { dropout, recompute } = {}) {
        const images = inputOf(name, inputs, 'images');
        const { patches, classToken, pooling: own, head: _, ...params } = weights.params as ImageClassifierParams;
        const cut = scope('patches', () => linear(patches, patchesOf(images, config))); // [batch, count, dim]
        const tokens = classToken === undefined ? cut : withToken(cut, classToken);
        const [batch, length] = tokens.shape as [Dim, Dim];
        const frame = trunk.frame({ batch, length, dropout });
        const trunkWeights = { params, buffers: weights.buffers as TrunkBuffers };
        const result = trunk.apply(trunkWeights, frame.pad(tokens), { frame, recompute });
        const pooled = scope('pooling', () => poolBy(hasToken ? 'last' : pooling, own, { hidden: result.hidden }));
        return { ...result, hidden: slice(result.hidden, 1, 0, count), output: head(weights, pooled) }; // [batch, classes]
      },
    };
  },
};

/** images [batch, height, width, channels] from 0 to 1 → [batch, patches, patch²·channels], row by row: from −1 to 1, or scaled otherwise. */
function patchesOf(images: Tensor, { image: { height, width, channels }, patch, pixels }: Patches): Tensor {
  const batch = images.dim(0);
  const ofChannels = (values: readonly number[]) => constant('float32', [channels], values);
  const given = pixels && divide(subtract(images, ofChannels(pixels.means)), ofChannels(pixels.deviations));
  const grid = reshape(given ?? images, [batch, height / patch, patch, width / patch, patch, channels]);
  const cut = transpose(grid, [0, 1, 3, 2, 4, 5]); // [batch, rows, columns, patch, patch, channels]
  const rows = reshape(cut, [batch, (height / patch) * (width / patch), patch * patch * channels]);
  return pixels === undefined ? subtract(multiply(rows, 2), 1) : rows;
}

/** tokens [batch, length, dim] with one token behind them. */
function withToken(tokens: Tensor, { weight }: EmbeddingParams): Tensor {
  const [batch, , dim] = tokens.shape as [Dim, Dim, Dim];
  return concatenate([tokens, broadcastTo(reshape(weight, [1, 1, dim]), [batch, 1, dim])], 1);
}
