/**
 * What Hugging Face lays beside a model of images: preprocessor_config.json says how an image becomes numbers. Its scale is read;
 * sizes and steps that a model of ours does not do are errors.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { parseOptions } from '../base/options.js';

export const preprocessorFile = 'preprocessor_config.json';

const side = z.int().min(1);
const kinds = z.enum(['ViTImageProcessor', 'ViTImageProcessorFast', 'ViTFeatureExtractor']);

const schema = z.strictObject({
  ...{ image_processor_type: kinds.optional(), feature_extractor_type: kinds.optional() },
  size: z.union([side, z.strictObject({ height: side, width: side })]).optional(),
  ...{ do_rescale: z.literal(true).optional(), rescale_factor: z.number().optional() },
  do_normalize: z.boolean().default(true),
  ...{ image_mean: z.array(z.number()).optional(), image_std: z.array(z.number().positive()).optional() },
  ...{ do_center_crop: z.literal(false).optional(), do_pad: z.literal(false).optional() },
  // Images are read of the model's size and with its channels alone, so that nothing is resized or converted.
  ...{ do_resize: z.unknown().optional(), resample: z.unknown().optional(), do_convert_rgb: z.unknown().optional() },
  // Of Python.
  ...{ processor_class: z.unknown().optional(), return_tensors: z.unknown().optional() },
  ...{ data_format: z.unknown().optional(), input_data_format: z.unknown().optional(), device: z.unknown().optional() },
});

interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * What is taken from each channel of pixels from 0 to 1, and what that is divided by; undefined where that is 0.5 and 0.5, as is
 * without the file.
 *
 * @throws CONFIG for a field that is not understood, and where it does not fit the images of the model.
 */
export function pixelScale(content: unknown, { height, width, channels }: ImageSize) {
  if (content === undefined) return undefined;
  const told = Object.entries(Object(content) as object).filter(([, value]) => value !== null);
  const given = parseOptions(preprocessorFile, schema, Object.fromEntries(told));
  const { size = height, rescale_factor: factor = 1 / 255, do_normalize: isNormalized } = given;
  const own = typeof size === 'number' ? { height: size, width: size } : size;
  if (own.height !== height || own.width !== width) {
    refuse(`size of the model's images, ${height}×${width}`, `${own.height}×${own.width}`);
  }
  if (Math.abs(factor * 255 - 1) > 1e-6) refuse('rescale_factor 1/255', String(factor));
  const all = (value: number) => new Array<number>(channels).fill(value);
  if (!isNormalized) return { means: all(0), deviations: all(1) };
  const { image_mean: means = all(0.5), image_std: deviations = all(0.5) } = given;
  for (const [name, list] of Object.entries({ image_mean: means, image_std: deviations })) {
    if (list.length !== channels) refuse(`${name} of ${channels} channels`, String(list.length));
  }
  return [...means, ...deviations].every((value) => value === 0.5) ? undefined : { means, deviations };
}

function refuse(expected: string, got: string): never {
  const advice = 'Such models are not understood.';
  throw new PerformerError('CONFIG', `${preprocessorFile}: expected ${expected}, got ${got}. ${advice}`);
}
