/** The options of a training that goes on from a model. */
import { PerformerError } from '../base/errors.js';
import { familyOptions, type Model } from '../models/index.js';
import type { Given } from './options.js';

/** The options of a model that a family has, and those given beside. Throws CONFIG for an option that the model decides. */
export function optionsFrom({ config }: Model, family: string, given: Given): Given {
  const own = familyOptions(config, family);
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const decided = asked.map(([name]) => name).filter((name) => name in own && name !== 'model');
  if (decided.length > 0) {
    const got = decided.join(', ');
    throw new PerformerError(
      'CONFIG',
      `trainModel: expected the options of the model that it goes on from, got ${got}. Leave out ${got}.`,
    );
  }
  return { ...own, ...Object.fromEntries(asked) };
}
