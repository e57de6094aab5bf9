/** The model and the engine of the benchmarks, and the machine's reference rate. */

import { drawBuffers, initialize, Random } from '../src/base/index.js';
import { compileChainedProducts, type Engine } from '../src/engine/index.js';
import { type NodeEngineOptions, nodeEngine } from '../src/engine/node.js';
import { languageModelConfig, type Model, type ModelWeights, modelOf, presets } from '../src/models/index.js';

/** 6 layers, dim 512, 8 heads × 64, 256 features, feed-forward ×4, byte vocabulary. */
export const config = languageModelConfig(presets.small.model);
export const model = modelOf(config);
const { PERFORMER_BENCH_DEVICE: device = 'cpu', PERFORMER_BENCH_PROFILE: profilePrefix } = process.env;
const provider = device as 'cpu' | 'cuda' | 'webgpu';

/** The engine of a benchmark, profiled where that is asked for. */
export function benchEngine(options: NodeEngineOptions = {}): Engine {
  if (profilePrefix === undefined) return nodeEngine(options);
  return keeping(nodeEngine({ ...options, profilePrefix }));
}

/** What was compiled to be profiled. */
const kept: { dispose(): Promise<void> }[] = [];

/** The same engine, which keeps what it compiled. */
function keeping(profiled: Engine): Engine {
  return {
    ...profiled,
    async compile(build, args) {
      const executable = await profiled.compile(build, args);
      kept.push(executable);
      return executable;
    },
  };
}

/** Closes every session that is still open: each writes its profile then. To be called at the end of a benchmark. */
export async function writeProfiles(): Promise<void> {
  for (const executable of kept) await executable.dispose();
}

export const engine = benchEngine({ provider });

/** The machine's limit, in no profile. */
export const referenceProduct = () => compileChainedProducts(nodeEngine({ provider }));

export const random = Random.fromSeed(1);

/** First weights of a model. */
export function weightsOf(given: Model = model): ModelWeights {
  return {
    params: initialize(given.params, random.split('parameters')),
    buffers: drawBuffers(given.buffers, random.split('projections')),
  };
}

export function someTokens(count: number): Int32Array {
  return Int32Array.from(random.split('tokens').bits(count), (word) => word >>> 24);
}
