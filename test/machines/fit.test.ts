import { describe, expect, test } from 'vitest';
import type { HostTensor } from '../../src/base/array.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { estimatedKernel, trigonometricFeatures } from '../../src/features/index.js';
import { constant, type Tensor } from '../../src/graph/index.js';
import { gaussianKernel, linearKernel } from '../../src/kernels/index.js';
import {
  arraySamples,
  exactKernel,
  type FitOptions,
  fitExactMachine,
  fitKernelMachine,
  type KernelMachine,
  type KernelMatrix,
  kernelNames,
  MachinePredictor,
  mapsOfKernel,
  measure,
  type RegressionMetrics,
  type SampleBatch,
} from '../../src/machines/index.js';
import { curve, reused, rowsOf } from './data.js';

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

async function exactly(kernel: KernelMatrix, lambda: number): Promise<Float64Array> {
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
    const drawn = machine.tensors.projection as HostTensor;
    const matrix = (x: Tensor, y: Tensor) =>
      estimatedKernel(trigonometricFeatures(constant('float32', drawn.shape, drawn.data), { gamma }), x, y);
    expect(distance(await predictions(machine, fresh), await exactly({ matrix }, lambda))).toBeLessThan(2e-4);
  });

  test('is what random features come to as their number grows', async () => {
    const [gamma, lambda] = [0.2, 1e-3];
    const exact = await exactly(gaussianKernel({ gamma }), lambda);
    const distances: number[] = [];
    for (const featureCount of [32, 256, 2048]) {
      const machine = await randomFeatures({ gamma, lambda, featureCount, heldOut: 0 });
      distances.push(distance(await predictions(machine, fresh), exact));
    }
    // The error falls as 1/√features: by 2.8 each time, give or take the luck of one draw.
    expect(distances[1]).toBeLessThan(distances[0]! / 1.8);
    expect(distances[2]).toBeLessThan(distances[1]! / 1.8);
    expect(distances[2]).toBeLessThan(0.04);
  });

  test.each([
    ['positive features', { kernel: 'gaussian', map: 'positive', gamma: 0.05 }, 0.04],
    ['hyperbolic features', { kernel: 'gaussian', map: 'hyperbolic', gamma: 0.05 }, 0.04],
    ['features of the softmax kernel', { kernel: 'softmax' }, 0.2],
    ['random Maclaurin features', { kernel: 'polynomial', degree: 2, offset: 1 }, 0.01],
    ['relu features', { kernel: 'arc-cosine' }, 0.025],
    ['step features', { kernel: 'generalized', map: 'step' }, 0.04],
    ['Taylor features', { kernel: 'taylor' }, 1e-5],
    ['the rows themselves', { kernel: 'linear' }, 1e-5],
  ] as const)('is near a machine of %s', async (_, options, bound) => {
    const lambda = 1e-2;
    const count = ['linear', 'taylor'].includes(options.kernel) ? {} : { featureCount: 2048 };
    const machine = await randomFeatures({ ...options, lambda, heldOut: 0, ...count });
    const exact = await exactly(exactKernel(machine.config), lambda);
    expect(distance(await predictions(machine, fresh), exact)).toBeLessThan(bound);
  });

  test('does not exist for features whose kernel has no closed form', () => {
    expect(() => exactKernel({ kernel: 'generalized', map: 'tanh' })).toThrow(/closed form, got that of tanh features/);
    expect(() => exactKernel({ kernel: 'gaussian', map: 'positive' })).toThrow(/gamma above 0/);
  });

  test('refuses more rows than a kernel matrix should have', async () => {
    const many = curve(8193);
    const fit = fitExactMachine(engine, many, { task: 'regression', kernel: linearKernel(), lambda: 1 });
    await expect(fit).rejects.toThrow(/at most 8192 rows.*got 8193.*Use fitKernelMachine/);
  });
});

describe('a fit', () => {
  test('is the same bit for bit for any batches of the source, which may use one buffer for all', async () => {
    const options = { featureCount: 48, seed: 3 } as const;
    const whole = await randomFeatures(options);
    for (const size of [1, 7, 100, 399]) {
      expect(await randomFeatures(options, reused(train, size))).toEqual(whole);
    }
  });

  test('hardly depends on the rows that the engine takes at once', async () => {
    const options = { featureCount: 48, gamma: 0.3, lambda: 1e-3 } as const;
    const whole = await predictions(await randomFeatures(options), fresh);
    for (const batch of [1, 33, 400]) {
      expect(distance(await predictions(await randomFeatures({ ...options, batch }), fresh), whole)).toBeLessThan(1e-5);
    }
  });

  test('agrees with the float64 oracle', async () => {
    const options = { featureCount: 32, gamma: 0.3, lambda: 1e-4, heldOut: 0, seed: 1 } as const;
    const samples = arraySamples(train.inputs, train.targets);
    const { machine } = await fitKernelMachine(referenceEngine(), samples, options);
    const oracle = await MachinePredictor.create(referenceEngine(), machine);
    const { data } = await oracle.predict(fresh.inputs);
    expect(distance(await predictions(await randomFeatures(options), fresh), data)).toBeLessThan(5e-5);
  });

  test('follows its seed', async () => {
    const [first, again, other] = [
      await randomFeatures({ featureCount: 32, seed: 9 }),
      await randomFeatures({ featureCount: 32, seed: 9 }),
      await randomFeatures({ featureCount: 32, seed: 10 }),
    ];
    expect(again).toEqual(first);
    expect(other.tensors.weight.data).not.toEqual(first.tensors.weight.data);
  });

  test('chooses the lambda with the least error on held-out rows, as measured by predicting them', async () => {
    const samples = arraySamples(train.inputs, train.targets);
    const { machine, report } = await fitKernelMachine(engine, samples, { featureCount: 300 });
    const errors = report.tried.map(({ error }) => error ?? Number.POSITIVE_INFINITY);
    const best = errors.indexOf(Math.min(...errors));
    expect(report.tried.length).toBeGreaterThan(2);
    expect(report.tried[best]?.lambda).toBe(machine.config.lambda);
    // The quadratic form over the held-out rows' normal equations says what predicting them says.
    const metrics = report.heldOut as RegressionMetrics;
    const variances = [0, 1].map((output) => {
      const values = Array.from({ length: 400 }, (_, row) => train.targets.data[row * 2 + output] as number);
      const mean = values.reduce((a, b) => a + b) / 400;
      return values.reduce((total, value) => total + (value - mean) ** 2, 0) / 400;
    });
    const measured = metrics.outputs.reduce(
      (sum, { rootMeanSquare }, i) => sum + rootMeanSquare ** 2 / variances[i]!,
      0,
    );
    expect(errors[best]).toBeCloseTo(measured, 4);
    expect(report.heldOutRows).toBe(metrics.rows);
    expect(report.heldOutRows).toBeGreaterThan(50);
    expect(report.heldOutRows).toBeLessThan(110);
  });

  test('explains a curve that no line explains', async () => {
    const determination = async (options: FitOptions) => {
      const predictor = await MachinePredictor.create(engine, await randomFeatures(options));
      const metrics = (await measure(predictor, arraySamples(fresh.inputs, fresh.targets))) as RegressionMetrics;
      return metrics.outputs.map((output) => output.determination);
    };
    const curved = await determination({ featureCount: 256 });
    const straight = await determination({ kernel: 'linear' });
    expect(Math.min(...curved)).toBeGreaterThan(0.8);
    expect(Math.min(...straight)).toBeLessThan(0.3);
  });

  test.each(kernelNames.flatMap((kernel) => mapsOfKernel[kernel].map((map) => ({ kernel, map }))))(
    'works with $map features of the $kernel kernel',
    async ({ kernel, map }) => {
      const isFixed = map === 'taylor' || map === 'identity';
      const machine = await randomFeatures({ kernel, map, ...(isFixed ? {} : { featureCount: 64 }) });
      const { inputs, targets } = rowsOf(fresh, 0, 50);
      const predictor = await MachinePredictor.create(engine, machine);
      const metrics = (await measure(predictor, arraySamples(inputs, targets))) as RegressionMetrics;
      await predictor.dispose();
      // The second column falls by one for each step of the first input: every kernel sees that.
      if (map !== 'abs' && map !== 'square' && map !== 'cos') {
        expect(metrics.outputs[1]?.determination).toBeGreaterThan(0.5);
      }
      expect(metrics.outputs[1]?.determination).toBeGreaterThan(-0.2);
    },
  );
});
