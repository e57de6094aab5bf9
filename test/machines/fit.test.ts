import { describe, expect, test } from 'vitest';
import type { HostTensor } from '../../src/base/array.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { drawProjection, estimatedKernel, trigonometricFeatures } from '../../src/features/index.js';
import { constant, type Tensor } from '../../src/graph/index.js';
import {
  arraySamples,
  type ClassificationMetrics,
  classesOf,
  type FitOptions,
  fitExactMachine,
  fitKernelMachine,
  gaussianPairs,
  type KernelMachine,
  linearPairs,
  MachinePredictor,
  measure,
  type Predictor,
  polynomialPairs,
  type RegressionMetrics,
  type SampleBatch,
  softmaxPairs,
} from '../../src/machines/index.js';
import { curve, reused, rings, rowsOf } from './data.js';

const engine = nodeEngine({ threads: 1 });
const train = curve(400);
const fresh = curve(200, 7);

async function predictions(machine: KernelMachine, { inputs }: SampleBatch): Promise<Float64Array> {
  const predictor = await MachinePredictor.create(engine, machine);
  const { data } = await predictor.predict(inputs);
  await predictor.dispose();
  return data;
}

async function randomFeatures(options: FitOptions, samples = arraySamples(train.inputs, train.targets)) {
  return (await fitKernelMachine(engine, samples, options)).machine;
}

async function exactly(kernel: (x: Tensor, y: Tensor) => Tensor, lambda: number): Promise<Float64Array> {
  const exact = await fitExactMachine(engine, train, { task: 'regression', kernel, lambda });
  const { data } = await exact.predict(fresh.inputs);
  await exact.dispose();
  return data;
}

/** The root of the mean squared difference of the second output, whose standard deviation is about 1. */
function distance(left: Float64Array, right: Float64Array): number {
  const squares = Array.from({ length: left.length / 2 }, (_, row) => (left[2 * row + 1]! - right[2 * row + 1]!) ** 2);
  return Math.sqrt(squares.reduce((a, b) => a + b) / squares.length);
}

describe('the exact twin', () => {
  test('is the machine of random features itself when its kernel is their product', async () => {
    const [gamma, lambda, featureCount, seed] = [0.3, 1e-4, 64, 5];
    const machine = await randomFeatures({ gamma, lambda, featureCount, seed, heldOut: 0 });
    const drawn = machine.tensors.projection as HostTensor<'float32'>;
    const kernel = (x: Tensor, y: Tensor) =>
      estimatedKernel(trigonometricFeatures(constant('float32', drawn.shape, drawn.data), { gamma }), x, y);
    expect(distance(await predictions(machine, fresh), await exactly(kernel, lambda))).toBeLessThan(2e-4);
  });

  test('is what random features come to as their number grows', async () => {
    const [gamma, lambda] = [0.2, 1e-3];
    const exact = await exactly(gaussianPairs(gamma), lambda);
    const distances: number[] = [];
    for (const featureCount of [32, 256, 2048]) {
      const machine = await randomFeatures({ gamma, lambda, featureCount, heldOut: 0 });
      distances.push(distance(await predictions(machine, fresh), exact));
    }
    console.log(distances);
    expect(distances[1]).toBeLessThan(0.7 * distances[0]!);
    expect(distances[2]).toBeLessThan(0.7 * distances[1]!);
    expect(distances[2]).toBeLessThan(0.02);
  });

  test.each([
    ['positive features of the Gaussian kernel', { kernel: 'gaussian', map: 'positive', gamma: 0.05 }, gaussianPairs(0.05)],
    ['hyperbolic ones', { kernel: 'gaussian', map: 'hyperbolic', gamma: 0.05 }, gaussianPairs(0.05)],
    ['positive features of the softmax kernel', { kernel: 'softmax' }, softmaxPairs],
    ['random Maclaurin features', { kernel: 'polynomial', degree: 2, offset: 1 }, polynomialPairs(2, 1)],
    ['the rows themselves', { kernel: 'linear' }, linearPairs],
  ] as const)('is near %s', async (_, options, kernel) => {
    const lambda = 1e-2;
    const isFixed = options.kernel === 'linear';
    const machine = await randomFeatures({ ...options, lambda, heldOut: 0, ...(isFixed ? {} : { featureCount: 4096 }) });
    const d = distance(await predictions(machine, fresh), await exactly(kernel, lambda));
    console.log(_, d);
    expect(d).toBeLessThan(isFixed ? 1e-4 : 0.05);
  });

  test('refuses more rows than a kernel matrix should have', async () => {
    const many = curve(8193);
    const fit = fitExactMachine(engine, many, { task: 'regression', kernel: linearPairs, lambda: 1 });
    await expect(fit).rejects.toThrow(/at most 8192 rows.*got 8193.*Use fitKernelMachine/);
  });
});
