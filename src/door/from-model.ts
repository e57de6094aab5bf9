/** A training that goes on from a model: its options and its weights, as far as the new model has the same. */
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { optionNames } from '../base/options.js';
import { leavesOf, mapTree } from '../base/tree.js';
import { buffersDigest, type Model, type ModelWeights, modelFamily } from '../models/index.js';
import type { Snapshot } from '../training/index.js';
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

/**
 * The snapshot with the weights and buffers that the model has by the same names, copied. Throws CONFIG where one of them
 * has another shape.
 */
export function snapshotFrom(snapshot: Snapshot, { params, buffers }: ModelWeights): Snapshot {
  const known = new Map([params, buffers].flatMap((tree) => leavesOf(tree))) as unknown as Map<string, AnyHostTensor>;
  const taken = (tree: object): object =>
    mapTree<object, AnyHostTensor, AnyHostTensor>(tree, (fresh, path) => {
      const own = known.get(path);
      if (own === undefined) return fresh;
      if (`${own.shape}` === `${fresh.shape}`) return { ...own, data: own.data.slice() } as AnyHostTensor;
      const expected = `${path} of the shape [${fresh.shape}] in the model that it goes on from`;
      throw new PerformerError(
        'CONFIG',
        `trainModel: expected ${expected}, got [${own.shape}]. Begin with another model.`,
      );
    });
  const own = taken(snapshot.buffers);
  return { ...snapshot, params: taken(snapshot.params), buffers: own, statesDigest: buffersDigest(own) };
}
