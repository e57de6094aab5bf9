/** Models of images with their weights, ready to be called: the class of an image, and painting. */
import { PerformerError } from '../base/errors.js';
import { expectSize, type Image, type ImageSize, valueCount } from '../data/index.js';
import { GenerationSession, type PaintOptions, paint } from '../generation/index.js';
import { createEmbedder, createPredictor, type EmbeddingOptions, targetsOf } from '../models/index.js';
import { type Classification, classificationOf } from './classifier.js';
import { type BasicModel, basicModel, type Host, type Local } from './host.js';

/** How many images are read at once. */
export interface ImageBatchOptions {
  /** 8 unless given. */
  readonly batch?: number | undefined;
}

/** How images become vectors. */
export interface ImageEmbeddingOptions
  extends ImageBatchOptions,
    Pick<EmbeddingOptions, 'pooling' | 'normalize' | 'dimensions'> {}

/** A model that tells the class of an image, here or in a worker. */
export interface ImageClassifier extends BasicModel {
  readonly kind: 'image-classifier';
  /** The names of the classes. */
  readonly classes: readonly string[];
  /** The size of every image. */
  readonly image: ImageSize;
  /** The class of each image, in their order. Throws DATA for an image of another size. */
  classify(images: readonly Image[], options?: ImageBatchOptions): Promise<Classification[]>;
  /** One vector [dimensions] for each image: the last hidden layer of its patches, pooled. Throws as `classify`. */
  embed(images: readonly Image[], options?: ImageEmbeddingOptions): Promise<Float32Array[]>;
}

/** How images are painted; what is not given is one image, temperature 1 and seed 0. Equal options give equal images. */
export interface PaintingOptions extends Partial<Pick<PaintOptions, 'temperature' | 'topK' | 'topP' | 'seed'>> {
  /** Images that are painted side by side, from 1. */
  readonly count?: number | undefined;
  /** An image whose upper rows are kept, and the others painted. */
  readonly complete?: Image | undefined;
  /** How many of its rows are kept; the upper half unless given. */
  readonly keptRows?: number | undefined;
}

/** A model that paints images pixel by pixel, here or in a worker. */
export interface PixelModel extends BasicModel {
  readonly kind: 'pixel-model';
  /** The size of every image. */
  readonly image: ImageSize;
  /** Images of the model's own, or the rest of one that is given. Throws CONFIG for options out of range, DATA for an image of another size. */
  paint(options?: PaintingOptions): Promise<Image[]>;
}

export function imageClassifier(host: Host): Local<ImageClassifier> {
  const { engine, loaded } = host;
  const { names = [] } = targetsOf(loaded.model) ?? {};
  const image = sizeOf(host);
  return {
    kind: 'image-classifier',
    ...basicModel(host),
    image,
    classes: names,
    async classify(images, { batch } = {}) {
      const pixels = pixelsOf('classify', images, image);
      const make = () => createPredictor(engine, loaded, { batch });
      return host.use(`classify ${batch}`, make, async ({ predict }) =>
        (await predict(pixels)).map((numbers) => classificationOf(names, numbers)),
      );
    },
    async embed(images, { batch, pooling, normalize, dimensions } = {}) {
      const pixels = pixelsOf('embed', images, image);
      const options = { batch, pooling, normalize, dimensions };
      const make = () => createEmbedder(engine, loaded, options);
      return host.use(`embed ${JSON.stringify(options)}`, make, ({ embed }) => embed(pixels));
    },
  };
}

export function pixelModel(host: Host): Local<PixelModel> {
  const { engine, loaded } = host;
  const image = sizeOf(host);
  return {
    kind: 'pixel-model',
    ...basicModel(host),
    image,
    async paint({
      count = 1,
      complete,
      keptRows = Math.floor(image.height / 2),
      temperature = 1,
      seed = 0,
      ...how
    } = {}) {
      if (complete !== undefined) expectSize('paint', complete, image);
      const kept = complete?.pixels.subarray(0, keptRows * (valueCount(image) / image.height));
      const begun = kept && Array.from({ length: count }, () => kept);
      const work = async () => {
        const session = await GenerationSession.create(engine, loaded, { batch: count });
        try {
          return await paint(session, { temperature, seed, begun, ...how });
        } finally {
          await session.dispose();
        }
      };
      return host.use('paint', async () => ({ dispose: async () => undefined }), work); // nothing is kept between two calls
    },
  };
}

function sizeOf({ loaded }: Host): ImageSize {
  return loaded.model.image as ImageSize;
}

function pixelsOf(where: string, images: readonly Image[], size: ImageSize): readonly Uint8Array[] {
  if (!Array.isArray(images)) {
    throw new PerformerError('DATA', `${where}: expected a list of images, got ${typeof images}.`);
  }
  return images.map((image, index) => {
    expectSize(`${where}, image ${index}`, image, size);
    return image.pixels;
  });
}
