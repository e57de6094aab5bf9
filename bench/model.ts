/** The model of the benchmarks, its arithmetic by formula, and the machine's reference rate. */

import type { HostTensor } from '../src/base/array.js';
import { float32, Random } from '../src/base/index.js';
import { leavesOf, mapTree } from '../src/base/tree.js';
import { nodeEngine } from '../src/engine/node.js';
import { matmul, spec, sum, type Tensor } from '../src/graph/index.js';
import {
  drawProjections,
  initLanguageModel,
  type LanguageModelConfig,
  languageModelConfig,
  languageModelLayout,
  presets,
} from '../src/models/index.js';

/** 6 layers, dim 512, 8 heads × 64, 256 features, feed-forward ×4, byte vocabulary. */
export const config = languageModelConfig(presets.small.model);
const { PERFORMER_BENCH_DEVICE: device = 'cpu', PERFORMER_BENCH_PROFILE: profilePrefix } = process.env;
export const engine = nodeEngine({
  provider: device as 'cpu' | 'cuda' | 'webgpu',
  ...(profilePrefix === undefined ? {} : { profilePrefix }),
});

export const random = Random.fromSeed(1);

export function modelOf(settings: LanguageModelConfig = config) {
  return {
    params: initLanguageModel(settings, random.split('parameters')),
    projections: drawProjections(settings, random.split('projections')),
  };
}

export function specsOf<T>(tree: T) {
  return mapTree(tree, ({ dtype, shape }: HostTensor) => spec(dtype, shape));
}

export function someTokens(count: number): Int32Array {
  return Int32Array.from(random.split('tokens').bits(count), (word) => word >>> 24);
}

/** The chunk at which the causal core is counted, whatever chunk is run. */
const countedChunk = 64;

/**
 * Floating-point operations of one forward pass over `length` tokens, by formula and not by the products that happen to
 * run: 2 × matrix parameters × tokens, the features of queries and keys, and the causal core.
 */
export function forwardOperations(length: number): number {
  const { depth, heads, headDim, featureCount } = config;
  const matrices = leavesOf(languageModelLayout(config))
    .filter(([path, { shape }]) => shape.length === 2 && path !== 'embedding.weight')
    .reduce((total, [, { shape }]) => total + shape.reduce((a, b) => a * b, 1), 0);
  const features = 2 * 2 * length * featureCount * headDim;
  const core = 2 * length * countedChunk * (featureCount + headDim) + 4 * length * featureCount * headDim;
  return 2 * matrices * length + depth * heads * (features + core);
}

/** A run of 8 chained 2048 × 2048 float32 products in one graph with a scalar output: the machine's limit. */
export async function referenceProduct(): Promise<{ run: () => Promise<unknown>; operations: number }> {
  const size = 2048;
  const chain = 8;
  const matrix = float32(
    [size, size],
    random
      .split('matrix')
      .normals(size * size)
      .map((x) => x / Math.sqrt(size)),
  );
  const executable = await engine.compile(
    ({ x }: { x: Tensor }) => {
      let product = x;
      for (let i = 0; i < chain; i++) product = matmul(product, x);
      return { total: sum(product) };
    },
    [{ x: spec('float32', [size, size]) }],
  );
  return { run: () => executable.run([{ x: matrix }]), operations: chain * 2 * size ** 3 };
}
