/** The machine's limit: how fast its engine multiplies large matrices. Other rates are told as shares of this one. */
import { float32 } from '../base/array.js';
import { Random } from '../base/random.js';
import { matmul, spec, sum, type Tensor } from '../graph/index.js';
import type { Engine } from './engine.js';

const size = 2048;
const chain = 8;

export interface ChainedProducts {
  /** Computes them once. */
  run(): Promise<unknown>;
  /** Frees the session. */
  dispose(): Promise<void>;
  /** Floating-point operations of a run. */
  readonly operations: number;
}

/** 8 chained 2048 × 2048 float32 products in one graph with a scalar output, so that no copy of an output is timed. */
export async function compileChainedProducts(engine: Engine): Promise<ChainedProducts> {
  const deviates = Random.fromSeed(1)
    .split('matrix')
    .normals(size * size);
  const matrix = float32(
    [size, size],
    deviates.map((x) => x / Math.sqrt(size)),
  );
  const executable = await engine.compile(
    ({ x }: { x: Tensor }) => {
      let product = x;
      for (let i = 0; i < chain; i++) product = matmul(product, x);
      return { total: sum(product) };
    },
    [{ x: spec('float32', [size, size]) }],
  );
  return {
    run: () => executable.run([{ x: matrix }]),
    dispose: () => executable.dispose(),
    operations: chain * 2 * size ** 3,
  };
}
