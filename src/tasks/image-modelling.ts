/**
 * Image modelling: each value of an image is predicted from those before it, row by row, the first of them from nothing.
 *
 * Images are independent of each other. `bitsPerDimension` is what a value costs on average, log₂ of its likelihood, as
 * papers tell it; `bitsPerPixel` that of all colours of a pixel together, which of grey images is the same.
 */
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import type { LabelledData } from '../data/index.js';
import { multiply, pad, reshape, slice, sum, type Tensor } from '../graph/index.js';
import type { Model } from '../models/index.js';
import { crossEntropy } from './cross-entropy.js';
import { labelledBatches } from './labelled-task.js';
import type { BatchSize, Task } from './task.js';

type PixelTensors = {
  /** [batch, values] */
  readonly tokens: Tensor<'int32'>;
  /** 0 for rows that only fill the batch, [batch]. */
  readonly weights: Tensor;
};

/**
 * The task for a pixel model and images, whose values are tokens.
 *
 * @throws CONFIG for a model of another family, and where a state is to be carried.
 */
export function imageModelling(model: Model, size: BatchSize, data: LabelledData): Task {
  const { image, boundary, maxLength: values = 0 } = model;
  if (image === undefined || boundary === undefined) {
    const got = withArticle(model.config.model);
    throw new PerformerError('CONFIG', `image-modelling: expected a model that paints images, got ${got}.`);
  }
  return {
    name: 'image-modelling',
    model,
    ...labelledBatches(model, size, data),
    loss(given, { tokens, weights }: PixelTensors, options) {
      const before = pad(slice(tokens, 1, 0, values - 1), 1, 1, 0, boundary); // [batch, values]
      const result = model.apply(given, { tokens: before }, options);
      const losses = crossEntropy(result.output, tokens); // [batch, values]
      const counted = reshape(weights, [size.batch, 1]);
      return { total: sum(multiply(losses, counted)), count: multiply(sum(counted), values), result };
    },
    measures(_, { total, count }) {
      const loss = total / count;
      const bitsPerDimension = loss / Math.LN2;
      return { loss, bitsPerDimension, bitsPerPixel: bitsPerDimension * image.channels };
    },
  };
}
