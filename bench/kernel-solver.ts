/**
 * What the fit of kernel machines rests on, for data that is drawn: the rounding of ΦᵀΦ by how its sums are kept, and
 * conjugate gradients with float32 products in the engine against Cholesky in float64. One thread.
 */
import { float32, type HostTensor, Random } from '../src/base/index.js';
import { spec, type Tensor } from '../src/graph/index.js';
import { drawMachineProjection, type MachineFeatures, machineFeatures } from '../src/machines/features.js';
import { BatchProducts, NormalEquations } from '../src/machines/normal-equations.js';
import { ConjugateGradients, choleskySolver } from '../src/machines/solve.js';
import { timed } from './measure.js';
import { benchEngine } from './model.js';
import type { Benchmark, BenchmarkOptions, Row } from './report.js';

const engine = benchEngine({ threads: 1 });
const random = Random.fromSeed(1);

function gaussianFeatures(dim: number, featureCount: number, gamma: number): MachineFeatures {
  const choice = {
    ...({ kernel: 'gaussian', map: 'trigonometric', projectionKind: 'orthogonal', rowNorm: 'chi' } as const),
    ...{ gamma, featureCount, seed: 0 },
  };
  return machineFeatures('bench', choice, dim, drawMachineProjection('bench', choice, dim).projection);
}

async function featuresOf(features: MachineFeatures, x: Float32Array): Promise<Float32Array> {
  const shape = [x.length / features.dim, features.dim];
  const map = await engine.compile(
    (inputs: { x: Tensor }, parts: { projection: Tensor }) => features.apply(inputs.x, parts.projection),
    [{ x: spec('float32', shape) }, { projection: spec('float32', features.projection!.shape) }],
  );
  const result = await map.run([{ x: float32(shape, x) }, { projection: features.projection! }]);
  await map.dispose();
  return (result as unknown as HostTensor).data;
}

function relativeError(left: ArrayLike<number>, right: Float64Array): number {
  let [error, norm] = [0, 0];
  right.forEach((value, at) => {
    error += ((left[at] as number) - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(error / norm);
}

async function rounding(): Promise<Row[]> {
  const [rows, dim, size] = [204_800, 8, 64];
  const x = Float32Array.from(random.split('rounding').normals(rows * dim));
  const features = gaussianFeatures(dim, size, 0.05);
  const phi = await featuresOf(features, x);
  const exact = new Float64Array(size * size);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) exact[i * size + j]! += phi[row * size + i]! * phi[row * size + j]!;
    }
  }
  const products = await BatchProducts.compile(engine, features, 1);
  const summed = async (batch: number) => {
    const sums = { float64: new Float64Array(size * size), float32: new Float32Array(size * size) };
    for (let start = 0; start < rows; start += batch) {
      const part = x.subarray(start * dim, (start + batch) * dim);
      const { gram } = await products.run(part, new Float32Array(part.length / dim));
      gram.data.forEach((value, at) => {
        sums.float64[at]! += value;
        sums.float32[at]! += value;
      });
    }
    return sums;
  };
  const [batches, whole] = [await summed(2048), await summed(rows)];
  await products.dispose();
  const row = (what: string, sums: ArrayLike<number>): Row => ({
    what: `ΦᵀΦ of ${rows} rows, ${size} features: ${what}`,
    value: `relative error ${relativeError(sums, exact).toExponential(1)}`,
  });
  return [
    row('one float32 product', whole.float32),
    row('batches of 2,048, float32 sums', batches.float32),
    row('batches of 2,048, float64 sums', batches.float64),
  ];
}

async function solving(size: number): Promise<Row> {
  const [rows, dim, outputs] = [2000, 64, 10];
  const x = Float32Array.from(random.split('solving').normals(rows * dim));
  const y = Float32Array.from(random.split('targets').normals(rows * outputs));
  const products = await BatchProducts.compile(engine, gaussianFeatures(dim, size, 1 / 128), outputs);
  const sums = new NormalEquations(size, outputs);
  sums.add(await products.run(x, y), y);
  await products.dispose();
  const system = sums.centred();
  const lambda = 1e-4 * system.spread;
  const gradients = await timed(async () => {
    const solver = await ConjugateGradients.create(engine, system);
    const solution = await solver.solve(lambda);
    await solver.dispose();
    return solution;
  });
  const cholesky = await timed(() => choleskySolver(system).solve(lambda));
  return {
    what: `${size} unknowns, ${outputs} outputs, lambda 1e-4 of the spread`,
    value: `gradients ${gradients.seconds.toFixed(2)} s, Cholesky ${cholesky.seconds.toFixed(2)} s, difference ${relativeError(gradients.result, cholesky.result).toExponential(1)}`,
    ratio: cholesky.seconds / gradients.seconds,
    opponent: 'Cholesky over gradients',
  };
}

export const kernelSolver: Benchmark = {
  name: 'kernel-solver',
  title: 'kernel machines: rounding and solving (seconds of processor time, one thread)',
  async run({ isQuick }: BenchmarkOptions) {
    if (isQuick) return [await solving(256)];
    const rows = await rounding();
    for (const size of [256, 512, 1024, 2048]) rows.push(await solving(size));
    return rows;
  },
};
