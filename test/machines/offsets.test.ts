/** Columns whose values are large and whose differences are small: clocks, years, identifiers that grow. */
import { describe, expect, test } from 'vitest';
import { hostTensor } from '../../src/base/array.js';
import { Random } from '../../src/base/random.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gaussianKernel, polynomialKernel } from '../../src/kernels/index.js';
import { RunningColumns } from '../../src/machines/columns.js';
import {
  arraySamples,
  type FitOptions,
  fitExactMachine,
  fitKernelMachine,
  MachinePredictor,
  measure,
  type Predictor,
  type RegressionMetrics,
  type SampleBatch,
} from '../../src/machines/index.js';

const engine = nodeEngine({ threads: 1 });
const rows = 400;
const random = Random.fromSeed(5);

/** Columns [rows] and a target as a batch. */
function batchOf(columns: readonly ArrayLike<number>[], y: (row: number) => number): SampleBatch {
  const dim = columns.length;
  const inputs = Float64Array.from({ length: rows * dim }, (_, at) => columns[at % dim]![Math.floor(at / dim)]!);
  const targets = Float64Array.from({ length: rows }, (_, row) => y(row));
  return { inputs: hostTensor('float64', [rows, dim], inputs), targets: hostTensor('float64', [rows, 1], targets) };
}

async function determinationOf(predictor: Predictor, { inputs, targets }: SampleBatch): Promise<number> {
  const { outputs } = (await measure(predictor, arraySamples(inputs, targets))) as RegressionMetrics;
  await predictor.dispose();
  return outputs[0]!.determination;
}

async function determination(batch: SampleBatch, options: FitOptions): Promise<number> {
  const given = { featureCount: 256, lambda: 1e-5, heldOut: 0, ...options };
  const { machine } = await fitKernelMachine(engine, arraySamples(batch.inputs, batch.targets), given);
  return determinationOf(await MachinePredictor.create(engine, machine), batch);
}

const uniform = Array.from({ length: rows }, (_, row) => random.split('uniform').split(row).uniform());
const normal = random.split('normal').normals(rows);

describe('a clock of nanoseconds that spans a millisecond', () => {
  const clock = (offset: number) =>
    batchOf(
      [uniform.map((part) => offset + 1e6 * part), normal],
      (row) => Math.sin(5 * uniform[row]!) + 0.5 * normal[row]!,
    );

  test('counts as it does from zero', async () => {
    const plain = await determination(clock(0), {});
    expect(plain).toBeGreaterThan(0.99);
    expect(await determination(clock(1.7e18), {})).toBeCloseTo(plain, 3);
  });

  test('has its mean and deviation in float64, also where it rises row by row', () => {
    const count = 20_000;
    const columns = new RunningColumns(1);
    // Steps of 256, float64's spacing at 1.7e18: the mean of the values itself would soon stand still.
    for (let row = 0; row < count; row++) columns.add([1.7e18 + 256 * row], 0);
    const { mean, scale } = columns.result('test', 'columns');
    expect(Math.abs(mean[0]! - 1.7e18 - 128 * (count - 1))).toBeLessThanOrEqual(128);
    expect(scale[0]! / ((256 * count) / Math.sqrt(12))).toBeCloseTo(1, 6);
  });
});

test('a constant column says nothing, whatever it is in the rows to predict', async () => {
  const year = (value: number) => batchOf([normal.map(() => value), normal], (row) => normal[row]!);
  const { inputs, targets } = year(2024.1);
  const { machine } = await fitKernelMachine(engine, arraySamples(inputs, targets), { featureCount: 64 });
  expect([...machine.tensors.scale.data].map((scale) => scale > 0)).toEqual([false, true]);
  const predictor = await MachinePredictor.create(engine, machine);
  const [same, later] = [await predictor.predict(inputs), await predictor.predict(year(1e9).inputs)];
  expect(later).toEqual(same);
  const exact = await fitExactMachine(
    engine,
    { inputs, targets },
    { task: 'regression', kernel: gaussianKernel({ gamma: 0.5 }), lambda: 1e-4 },
  );
  expect((await exact.predict(year(1e9).inputs)).data).toEqual((await exact.predict(inputs)).data);
});

test('a constant target is predicted as it is', async () => {
  const batch = batchOf([normal], () => 1e9 + 0.1);
  const { machine } = await fitKernelMachine(engine, arraySamples(batch.inputs, batch.targets), { featureCount: 8 });
  const { data } = await (await MachinePredictor.create(engine, machine)).predict(batch.inputs);
  expect(new Set(data)).toEqual(new Set([1e9 + 0.1]));
});

describe('without standardising', () => {
  const seconds = (offset: number) =>
    batchOf([uniform.map((part) => offset + 3600 * part)], (row) => Math.sin(12 * uniform[row]!));

  test.each(['trigonometric', 'positive'] as const)('%s features of the gaussian kernel see no offset', async (map) => {
    const options = { standardize: false, gamma: 1e-6, map };
    const plain = await determination(seconds(0), options);
    expect(plain).toBeGreaterThan(map === 'positive' ? 0.95 : 0.99);
    expect(await determination(seconds(1.7e9), options)).toBeCloseTo(plain, 3);
  });

  test('the exact twin sees none either', async () => {
    const { inputs, targets } = seconds(1.7e9);
    const kernel = gaussianKernel({ gamma: 1e-6 });
    const options = { task: 'regression', kernel, lambda: 1e-5, standardize: false } as const;
    const exact = await fitExactMachine(engine, { inputs, targets }, options);
    expect(await determinationOf(exact, { inputs, targets })).toBeGreaterThan(0.99);
  });

  test('a kernel of products refuses a column that float32 cannot hold, by its number', async () => {
    const { inputs, targets } = seconds(1.7e9);
    const message = /columns that float32 can hold, got a mean of 17.* in column 0.*Standardise/;
    await expect(determination({ inputs, targets }, { kernel: 'polynomial', standardize: false })).rejects.toThrow(
      message,
    );
    const exact = fitExactMachine(
      engine,
      { inputs, targets },
      { task: 'regression', kernel: polynomialKernel({ degree: 2 }), lambda: 1, standardize: false },
    );
    await expect(exact).rejects.toThrow(message);
  });
});
