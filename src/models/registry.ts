/** The families of models by name: from options to a config, and from a config to a model. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { optionNames, parseOptions } from '../base/options.js';
import { classifier } from './classifier.js';
import { encoder } from './encoder.js';
import { encoderDecoder } from './encoder-decoder.js';
import { imageClassifier } from './image-classifier.js';
import { languageModel } from './language-model.js';
import type { Execution, Model, ModelConfig, ModelFamily } from './model.js';
import { performer } from './performer.js';
import { pixelModel } from './pixel-model.js';
import { tokenClassifier } from './token-classifier.js';

const families = [
  languageModel,
  encoder,
  classifier,
  encoderDecoder,
  performer,
  imageClassifier,
  pixelModel,
  tokenClassifier,
] as unknown as readonly ModelFamily[];

/** The family of a model that does not say which. */
export const defaultFamily: string = languageModel.name;

/** The names of all families. */
export function modelNames(): readonly string[] {
  return families.map(({ name }) => name);
}

/** The family of a name. Throws CONFIG for one that there is none of. */
export function modelFamily(name: string): ModelFamily {
  const family = families.find((each) => each.name === name);
  if (family !== undefined) return family;
  throw new PerformerError('CONFIG', `model: expected one of ${modelNames().join(', ')}, got ${name}.`);
}

const headSchema = z.looseObject({
  model: z.string().default(defaultFamily),
  version: z.unknown().optional(),
});

/**
 * Checks the options of a model of any family, such as the content of a config.json, and fills in defaults.
 *
 * @throws CONFIG with every problem, unknown options among them.
 */
export function modelConfig(options: unknown, where = 'modelConfig'): ModelConfig {
  const { model, version = 2 } = parseOptions(where, headSchema, options);
  if (version !== 2) {
    const advice = 'Train the model again: folders of version 1 were written before the first release.';
    throw new PerformerError('CONFIG', `${where}: expected version 2, got ${JSON.stringify(version)}. ${advice}`);
  }
  return parseOptions(where, modelFamily(model).schema, options);
}

/** The options of a model that another family has, too. */
export function familyOptions(config: ModelConfig, family: string): Readonly<Record<string, unknown>> {
  const names = optionNames(modelFamily(family).schema);
  const own = Object.entries(config).filter(([name]) => names.includes(name));
  return { ...Object.fromEntries(own), model: family };
}

/** The model of a config. */
export function modelOf(config: ModelConfig, execution?: Execution): Model {
  return modelFamily(config.model).build(config, execution);
}
