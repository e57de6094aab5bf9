/** Gaussian kernels so wide that their features hardly differ: what the exact kernel in float64 makes of them, features must too. */
import { describe, expect, test } from 'vitest';
import { hostTensor } from '../../src/base/array.js';
import { Random } from '../../src/base/random.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gaussianKernel } from '../../src/kernels/index.js';
import {
  arraySamples,
  fitKernelMachine,
  MachinePredictor,
  measure,
  type RegressionMetrics,
} from '../../src/machines/index.js';
import { choleskySolver } from '../../src/machines/solve.js';

const engine = nodeEngine({ threads: 1 });
const [rows, dim] = [240, 3];
const half = rows / 2;

/** A line and a curve over normal columns, of which half are to train on. */
const x = Random.fromSeed(4).normals(rows * dim);
const y = Float64Array.from({ length: rows }, (_, row) => {
  const [a, b, c] = [x[row * dim]!, x[row * dim + 1]!, x[row * dim + 2]!];
  return a + b * c + 0.5 * c * c;
});

const samplesOf = (first: number, last: number) =>
  arraySamples(
    hostTensor('float64', [last - first, dim], Float64Array.from(x.subarray(first * dim, last * dim))),
    hostTensor('float64', [last - first, 1], y.slice(first, last)),
  );

async function byFeatures(gamma: number, featureCount: number): Promise<number> {
  const { machine } = await fitKernelMachine(engine, samplesOf(0, half), { gamma, featureCount, standardize: false });
  const predictor = await MachinePredictor.create(engine, machine);
  const { outputs } = (await measure(predictor, samplesOf(half, rows))) as RegressionMetrics;
  await predictor.dispose();
  return outputs[0]!.determination;
}

/** The best of kernel ridge regression over all λ, everything in float64. */
async function exactly(gamma: number): Promise<number> {
  const row = (index: number) => x.subarray(index * dim, (index + 1) * dim);
  const { evaluate } = gaussianKernel({ gamma });
  const kernel = (left: number, right: number) => evaluate(row(left), row(right));
  const matrix = Float64Array.from({ length: half * half }, (_, at) => kernel(Math.floor(at / half), at % half));
  const mean = y.subarray(0, half).reduce((a, b) => a + b) / half;
  const right = y.slice(0, half).map((value) => value - mean);
  const solver = choleskySolver({ size: half, outputs: 1, matrix, right });
  const tested = y.subarray(half);
  const centre = tested.reduce((a, b) => a + b) / half;
  const variance = tested.reduce((total, value) => total + (value - centre) ** 2, 0);
  let best = Number.NEGATIVE_INFINITY;
  for (let exponent = 0; exponent >= -13; exponent--) {
    const alpha = await solver.solve(10 ** exponent).catch(() => undefined);
    if (alpha === undefined) break;
    let error = 0;
    for (let at = 0; at < half; at++) {
      let predicted = mean;
      for (let other = 0; other < half; other++) predicted += alpha[other]! * kernel(half + at, other);
      error += (predicted - tested[at]!) ** 2;
    }
    best = Math.max(best, 1 - error / variance);
  }
  return best;
}

describe('a machine of sines and cosines', () => {
  test.each([1e-3, 1e-5, 1e-6])('explains at gamma %f what exact ridge regression explains', async (gamma) => {
    const exact = await exactly(gamma);
    expect(exact).toBeGreaterThan(0.9); // a line explains half of it
    expect(await byFeatures(gamma, 128)).toBeGreaterThan(exact - 0.03);
  });

  test('does so with as many features as conjugate gradients serve', async () => {
    expect(await byFeatures(1e-5, 600)).toBeGreaterThan((await exactly(1e-5)) - 0.03);
  });

  test('is a line at the smallest gamma', async () => {
    const line = await byFeatures(1e-12, 64);
    expect(line).toBeGreaterThan(0.2);
    expect(line).toBeLessThan(0.8);
  });
});

test.each([
  ['trigonometric', 1e300],
  ['trigonometric', 1e-300],
  ['positive', 1e-6],
  ['hyperbolic', 1e5],
] as const)('%s features refuse gamma %d by its name, with the range that serves', async (map, gamma) => {
  const fit = fitKernelMachine(engine, samplesOf(0, half), { map, gamma, featureCount: 16 });
  await expect(fit).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(/gamma: expected [\d.e+-]+ to [\d.e+-]+ for \w+ features.*median.*, got /),
  });
});
