/** Placing for an engine that computes on the host: nothing is to be done. */
import type { AnyHostTensor } from '../base/array.js';
import { leavesOf, type MapLeaves } from '../base/tree.js';
import { checkTensor } from './bindings.js';
import type { Engine, EngineTensor } from './engine.js';

export const onHost: Pick<Engine, 'place' | 'fetch' | 'free'> = {
  async place<T>(tree: T) {
    for (const [path, leaf] of leavesOf<T, EngineTensor>(tree)) {
      checkTensor(`place: ${path || 'the array'}`, leaf);
    }
    return tree as MapLeaves<T, EngineTensor>;
  },
  fetch: async <T>(tree: T) => tree as MapLeaves<T, AnyHostTensor>,
  free: () => {},
};
