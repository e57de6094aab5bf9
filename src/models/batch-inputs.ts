/** Batches of rows of tokens as what a model reads: tokens and their lengths, or images of which each row has the values. */
import { float32, type HostTensor } from '../base/array.js';
import { type Dim, symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { sizeInWords, type TextRows, valueCount } from '../data/index.js';
import type { InputSpecs, ModelInputs } from './inputs.js';
import type { Model } from './model.js';

/** What a batch of rows gives a model, as specifications. All images have one length, and it is not told. */
export function rowSpecs(model: Model, batch: Dim): InputSpecs {
  const { images, tokens, lengths } = model.inputs(batch, lengthOf(model));
  if (images !== undefined) return { images };
  return model.image === undefined ? { tokens, lengths } : { tokens };
}

/**
 * Rows of tokens side by side as what the model reads. Those of images are all values of each, from 0 to 255.
 *
 * @throws SHAPE for an image of another number of values.
 */
export function rowInputs(where: string, model: Model, rows: TextRows): ModelInputs<HostTensor<'int32'>, HostTensor> {
  const { image } = model;
  if (image === undefined) return rows;
  const { tokens, lengths } = rows;
  const count = valueCount(image);
  const other = lengths.data.find((length) => length !== count);
  if (other !== undefined) {
    const expected = `${count} values of an image of ${sizeInWords(image)}`;
    throw new PerformerError('SHAPE', `${where}: expected ${expected}, got ${other}.`);
  }
  const batch = tokens.shape[0] as number;
  if (model.inputs(batch, count).images === undefined) return { tokens };
  const { height, width, channels } = image;
  return {
    images: float32(
      [batch, height, width, channels],
      Float32Array.from(tokens.data, (value) => value / 255),
    ),
  };
}

function lengthOf({ image, maxLength }: Model): Dim {
  return image === undefined || maxLength === undefined ? symbol('length') : maxLength;
}
