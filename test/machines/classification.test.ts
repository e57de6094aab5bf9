import { expect, test } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { gaussianKernel } from '../../src/kernels/index.js';
import {
  arraySamples,
  type ClassificationMetrics,
  classesOf,
  type FitOptions,
  fitExactMachine,
  fitKernelMachine,
  MachinePredictor,
  measure,
} from '../../src/machines/index.js';
import { rings, rowsOf } from './data.js';

const engine = nodeEngine({ threads: 1 });
const train = rings(600);
const fresh = rings(300, 11);

async function measured(options: Omit<FitOptions, 'task'>) {
  const samples = arraySamples(train.inputs, train.targets);
  const { machine, report } = await fitKernelMachine(engine, samples, { ...options, task: 'classification' });
  const predictor = await MachinePredictor.create(engine, machine);
  const metrics = await measure(predictor, arraySamples(fresh.inputs, fresh.targets));
  return { predictor, metrics: metrics as ClassificationMetrics, report };
}

test('random features tell three rings apart, which no lines do', async () => {
  const curved = await measured({ featureCount: 256 });
  const straight = await measured({ kernel: 'linear' });
  expect(curved.metrics.accuracy).toBeGreaterThan(0.97);
  expect((curved.report.heldOut as ClassificationMetrics).accuracy).toBeGreaterThan(0.95);
  expect(straight.metrics.accuracy).toBeLessThan(0.6);
});

test('the counts of classes are those of the rows, and their diagonal is the accuracy', async () => {
  const { metrics, predictor } = await measured({ featureCount: 64 });
  const classes = Array.from(fresh.targets.data);
  const predicted = classesOf(await predictor.predict(fresh.inputs));
  metrics.confusion.forEach((row, actual) => {
    row.forEach((count, guess) => {
      expect(count).toBe(classes.filter((value, at) => value === actual && predicted[at] === guess).length);
    });
  });
  const right = classes.filter((value, at) => value === predicted[at]).length;
  expect(metrics.accuracy).toBe(right / 300);
});

test('the scores of a row sum to one, as the classes of its neighbours do', async () => {
  const { predictor } = await measured({ featureCount: 64 });
  const { data } = await predictor.predict(rowsOf(fresh, 0, 20).inputs);
  for (let row = 0; row < 20; row++) expect(data[row * 3]! + data[row * 3 + 1]! + data[row * 3 + 2]!).toBeCloseTo(1, 4);
});

test('the exact kernel tells them apart too', async () => {
  const exact = await fitExactMachine(engine, train, {
    task: 'classification',
    kernel: gaussianKernel({ gamma: 0.5 }),
    lambda: 1e-4,
  });
  const metrics = await measure(exact, arraySamples(fresh.inputs, fresh.targets));
  expect((metrics as ClassificationMetrics).accuracy).toBeGreaterThan(0.97);
});
