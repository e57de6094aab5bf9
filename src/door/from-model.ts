/** The options of a training that goes on from a model. */
import { PerformerError } from '../base/errors.js';
import { optionNames } from '../base/options.js';
import { type Model, modelFamily } from '../models/index.js';
import type { Given } from './options.js';

/** The options of a model that a family has, and those given beside. Throws CONFIG for an option that the model decides. */
export function optionsFrom({ config }: Model, family: string, given: Given): Given {
  const names = optionNames(modelFamily(family).schema);
  const own = Object.fromEntries(Object.entries(config).filter(([name]) => names.includes(name)));
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const decided = asked.map(([name]) => name).filter((name) => name in own);
  if (decided.length > 0) {
    const got = decided.join(', ');
    throw new PerformerError(
      'CONFIG',
      `trainModel: expected the options of the model that it goes on from, got ${got}. Leave out ${got}.`,
    );
  }
  return { ...own, model: family, ...Object.fromEntries(asked) };
}
