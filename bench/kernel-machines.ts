/**
 * Kernel machines on real data: accuracy and time of random features against the exact kernel, as the features grow. Both
 * have the Gaussian kernel with γ by the median heuristic. λ is chosen on a fifth of the training rows, by each for itself
 * and outside of the time; then both are fitted to all of them. One thread, so that the time is that of the processor.
 */
import { gaussianKernel } from '../src/kernels/index.js';
import {
  arraySamples,
  type ClassificationMetrics,
  fitExactMachine,
  fitKernelMachine,
  MachinePredictor,
  measure,
  type Predictor,
  type SampleBatch,
} from '../src/machines/index.js';
import { type DataSet, dataSets, type Split } from './kernel-data.js';
import { timed } from './measure.js';
import { benchEngine } from './model.js';
import type { Benchmark, Row } from './report.js';

const engine = benchEngine({ threads: 1 });
const featureCounts = [128, 256, 512, 1024, 2048, 4096];
const exactLambdas = [1e-3, 1e-4, 1e-5, 1e-6];

interface Contender {
  readonly accuracy: number;
  readonly fit: number;
  readonly predict: number;
}

async function contend(fit: () => Promise<Predictor>, { test }: Split): Promise<Contender> {
  const fitted = await timed(fit);
  const predicted = await timed(() => accuracyOf(fitted.result, test));
  await fitted.result.dispose();
  return { accuracy: predicted.result, fit: fitted.seconds, predict: predicted.seconds };
}

async function accuracyOf(predictor: Predictor, { inputs, targets }: SampleBatch): Promise<number> {
  return ((await measure(predictor, arraySamples(inputs, targets))) as ClassificationMetrics).accuracy;
}

async function withFeatures(data: Split, featureCount: number): Promise<{ own: Contender; gamma: number }> {
  const samples = arraySamples(data.train.inputs, data.train.targets);
  const options = { task: 'classification', standardize: false, featureCount } as const;
  const { lambda, gamma } = (await fitKernelMachine(engine, samples, options)).machine.config;
  const own = await contend(async () => {
    const { machine } = await fitKernelMachine(engine, samples, { ...options, lambda, heldOut: 0 });
    return MachinePredictor.create(engine, machine);
  }, data);
  return { own, gamma: gamma as number };
}

/** Every fifth row apart, to choose λ with. */
function validation({ inputs, targets }: SampleBatch): Split {
  const rows = targets.data.length;
  const dim = inputs.shape[1] as number;
  const pick = (isWanted: (row: number) => boolean): SampleBatch => {
    const wanted = Array.from({ length: rows }, (_, row) => row).filter(isWanted);
    const x = new Float32Array(wanted.length * dim);
    wanted.forEach((row, at) => {
      x.set(inputs.data.subarray(row * dim, (row + 1) * dim), at * dim);
    });
    return {
      inputs: { dtype: 'float32', shape: [wanted.length, dim], data: x },
      targets: {
        dtype: 'int32',
        shape: [wanted.length],
        data: Int32Array.from(wanted, (row) => targets.data[row] as number),
      },
    };
  };
  return { train: pick((row) => row % 5 !== 0), test: pick((row) => row % 5 === 0) };
}

async function withKernel(data: Split, gamma: number): Promise<Contender> {
  const kernel = gaussianKernel({ gamma });
  const options = { task: 'classification', kernel, standardize: false } as const;
  const parts = validation(data.train);
  let best = { lambda: 0, accuracy: -1 };
  for (const lambda of exactLambdas) {
    const predictor = await fitExactMachine(engine, parts.train, { ...options, lambda });
    const accuracy = await accuracyOf(predictor, parts.test);
    await predictor.dispose();
    if (accuracy > best.accuracy) best = { lambda, accuracy };
  }
  return contend(() => fitExactMachine(engine, data.train, { ...options, lambda: best.lambda }), data);
}

const show = ({ accuracy, fit, predict }: Contender) =>
  `${(100 * accuracy).toFixed(2)} % right, fit ${fit.toFixed(2)} s, predict ${predict.toFixed(2)} s`;

async function rowsOf({ name, install, load }: DataSet): Promise<Row[]> {
  const data = load();
  if (data === undefined) return [{ what: name, value: `not installed: ${install}` }];
  const own: { count: number; contender: Contender }[] = [];
  let gamma = 0;
  for (const count of featureCounts) {
    const found = await withFeatures(data, count);
    own.push({ count, contender: found.own });
    gamma = found.gamma;
  }
  const exact = await withKernel(data, gamma);
  const [train, test] = [data.train, data.test].map(({ targets }) => targets.data.length);
  return [
    {
      what: `${name}: ${train} rows of ${data.train.inputs.shape[1]}, ${test} to test, exact kernel`,
      value: show(exact),
    },
    ...own.map(({ count, contender }) => ({
      what: `${name}: ${count} features`,
      value: show(contender),
      ratio: (exact.fit + exact.predict) / (contender.fit + contender.predict),
      opponent: 'the exact time over this',
    })),
  ];
}

export const kernelMachines: Benchmark = {
  name: 'kernel-machines',
  title: 'kernel machines: random features against the exact Gaussian kernel (seconds of processor time, one thread)',
  async run() {
    const rows: Row[] = [];
    for (const dataSet of dataSets) rows.push(...(await rowsOf(dataSet)));
    return rows;
  },
};
