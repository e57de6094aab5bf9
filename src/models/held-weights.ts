/** Weights of a compiled function that are not learned while it lives. */
import type { Engine } from '../engine/index.js';
import { specsOf } from '../graph/index.js';
import type { ModelWeights } from './model.js';

/** Parameters and buffers as the first two arguments of a function. */
export interface HeldWeights {
  /** What it is compiled with. */
  readonly compiled: readonly [params: object, buffers: object];
  /** What it is run with. */
  readonly given: readonly [params: object, buffers: object];
  /** Frees what was placed. */
  free(): void;
}

/** Weights as inputs, placed where the engine computes; or as constants, where it computes with fewer bits of these. */
export async function holdWeights(engine: Engine, { params, buffers }: ModelWeights): Promise<HeldWeights> {
  if (engine.products !== undefined) {
    return { compiled: [params, buffers], given: [{}, {}], free: () => undefined };
  }
  const placed = (await engine.place([params, buffers])) as [object, object];
  return {
    compiled: [specsOf(params), specsOf(buffers)],
    given: placed,
    free: () => engine.free(placed),
  };
}
