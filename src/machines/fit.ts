/**
 * Kernel machines by random features (Rahimi & Recht 2007): ridge regression on φ(x), in time and memory that do not grow
 * with a kernel matrix. With y standardised (classes as columns of zeros and ones),
 *
 *   minimise |Φ W + b − y|²/rows + λ|W|²,   f(x) = φ(x)·W + b,   class = argmax f
 *
 * Three passes over the data, each in flat memory: columns, classes and γ (`survey.ts`); the normal equations, of the rows
 * that are held out and of the others apart (`normal-equations.ts`); the held-out rows once more, to measure. One matrix
 * serves every λ, and the error of each on the held-out rows follows from their own normal equations. The machine is then
 * solved on all rows. Everything random, the split among it, is a function of the seed and the number of the row.
 */
import { float32, type HostTensor, hostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Engine } from '../engine/index.js';
import { type Columns, centredOnly, untouched } from './columns.js';
import {
  expectBatch,
  type FitOptions,
  type FitPlan,
  fitPlan,
  type MachineConfig,
  mapOptions,
  type TableNames,
} from './config.js';
import { isShiftInvariant } from './exact-kernel.js';
import { drawMachineProjection, type MachineFeatures, machineFeatures } from './features.js';
import { settleGamma } from './gamma.js';
import { filtered, heldOutRows } from './held-out.js';
import { chooseAndSolve, type Solution, type Sums, type TriedLambda } from './lambda.js';
import type { KernelMachine } from './machine.js';
import { type Metrics, measure } from './metrics.js';
import { BatchProducts, NormalEquations, type Products } from './normal-equations.js';
import { MachinePredictor } from './predictor.js';
import { type GatheredRows, RowBuffer } from './rows.js';
import { checkedBatches, type SampleBatch, type Samples, sameRows } from './samples.js';
import { type Survey, survey } from './survey.js';

const where = 'fitKernelMachine';

/** What a fit saw and measured. */
export interface FitReport {
  readonly rows: number;
  readonly heldOutRows: number;
  /** The λ that were compared, falling; empty when λ was given. */
  readonly tried: readonly TriedLambda[];
  /** Of the machine that saw none of the held-out rows; undefined without any. */
  readonly heldOut: Metrics | undefined;
}

/** A machine, and how it was fitted. */
export interface Fitted {
  readonly machine: KernelMachine;
  readonly report: FitReport;
}

/**
 * The passes of a fit over the rows: a survey of the columns, the sums of features, and the held-out measure; `solve`
 * needs none.
 */
export type FitStage = 'survey' | 'features' | 'solve' | 'measure';

/** What is told and asked while a machine is fitted. */
export interface FitCallbacks {
  /** Called now and then with the stage and the rows that it has seen. */
  readonly onProgress?: (stage: FitStage, rows: number) => void;
  /** What the columns and classes are called, asked for when all rows were seen. */
  readonly names?: () => TableNames;
}

/**
 * Fits a machine to samples that may be larger than memory. Throws CONFIG for options that do not fit, SHAPE, DTYPE or DATA
 * for samples that do not, and NUMERIC when a given λ is too small for float32 products.
 */
export async function fitKernelMachine(
  engine: Engine,
  samples: Samples,
  options: FitOptions,
  { onProgress = () => undefined, names }: FitCallbacks = {},
): Promise<Fitted> {
  const plan = fitPlan(options, where);
  const random = Random.fromSeed(plan.seed);
  const watched = (stage: FitStage) => watch(samples, (rows) => onProgress(stage, rows));
  const seen = await survey(where, watched('survey'), plan.task, random.split('sample'));
  const dim = seen.inputs.mean.length;
  mapOptions(where, plan, dim);
  const centred = plan.standardize ? seen.inputs : centredOnly(seen.inputs);
  const gamma = plan.kernel === 'gaussian' ? settleGamma(where, plan, seen.sample, centred) : undefined;
  const { gamma: _, featureCount: asked, ...rest } = plan;
  const choice = { ...rest, featureCount: asked, ...(gamma === undefined ? {} : { gamma }) };
  const isCentred = plan.standardize || isShiftInvariant(choice);
  const inputs = isCentred ? centred : untouched(where, seen.inputs);
  const { projection, featureCount } = drawMachineProjection(where, choice, dim);
  expectBatch(where, plan.batch, Math.max(featureCount, dim));
  const features = machineFeatures(where, choice, dim, projection);
  const isHeldOut = heldOutRows(random.split('held-out'), plan.heldOut);
  const columns = { inputs, targets: seen.targets };
  const again = (stage: FitStage) => sameRows(where, watched(stage), seen.rows);
  const sums = await accumulate(engine, again('features'), { plan, features, columns, seen, isHeldOut });
  onProgress('solve', seen.rows);
  const found = await chooseAndSolve(engine, sums, plan.lambda);
  const machineOf = (solution: Solution): KernelMachine => ({
    config: configOf(
      plan,
      { dim, featureCount, gamma, lambda: found.lambda, outputs: seen.targets.mean.length },
      names,
    ),
    tensors: tensorsOf(solution, columns, projection),
  });
  const heldOut =
    found.split === undefined
      ? undefined
      : await measureHeldOut(engine, machineOf(found.split), filtered(again('measure'), isHeldOut));
  return {
    machine: machineOf(found.whole),
    report: { rows: seen.rows, heldOutRows: sums.heldOut.rows, tried: found.tried, heldOut },
  };
}

async function* watch(samples: Samples, onRows: (rows: number) => void): AsyncGenerator<SampleBatch> {
  let rows = 0;
  for await (const batch of samples) {
    yield batch;
    rows += batch.inputs.shape[0] as number;
    onRows(rows);
  }
}

interface Accumulation {
  readonly plan: FitPlan;
  readonly features: MachineFeatures;
  readonly columns: { readonly inputs: Columns; readonly targets: Columns };
  readonly seen: Survey;
  readonly isHeldOut: (row: number) => boolean;
}

/** The second pass. */
async function accumulate(
  engine: Engine,
  samples: Samples,
  { plan, features, columns, seen, isHeldOut }: Accumulation,
): Promise<Sums> {
  const { inputs, targets } = columns;
  const outputs = targets.mean.length;
  const products = await BatchProducts.compile(engine, features, outputs);
  const lane = () => ({
    sums: new NormalEquations(features.featureCount, outputs),
    buffer: new RowBuffer(Math.min(plan.batch, seen.rows), plan.task, inputs, targets),
  });
  const [train, heldOut] = [lane(), lane()];
  const flush = async ({ sums, buffer }: ReturnType<typeof lane>) => {
    const rows = buffer.take();
    const found = await products.run(rows.inputs, rows.targets);
    expectFiniteProducts(found, rows);
    sums.add(found, rows.targets);
  };
  try {
    const like = { dim: inputs.mean.length, outputs };
    for await (const batch of checkedBatches(where, samples, plan.task, like)) {
      for (let row = 0; row < batch.rows; row++) {
        const own = isHeldOut(batch.first + row) ? heldOut : train;
        own.buffer.add(where, batch, row);
        if (own.buffer.isFull) await flush(own);
      }
    }
    for (const own of [train, heldOut]) if (!own.buffer.isEmpty) await flush(own);
  } finally {
    await products.dispose();
  }
  checkRows(train.sums.rows, heldOut.sums.rows, seen.rows, plan);
  return { train: train.sums, heldOut: heldOut.sums };
}

/** Throws NUMERIC, with the rows, where float32 does not hold features or their squares. */
function expectFiniteProducts({ gram, total }: Products<HostTensor>, { first, last }: GatheredRows): void {
  const size = total.data.length;
  const isSound = (_: unknown, at: number) =>
    Number.isFinite(total.data[at]) && Number.isFinite(gram.data[at * size + at]);
  if (Array.from({ length: size }).every(isSound)) return;
  throw new PerformerError(
    'NUMERIC',
    `${where}: expected features that float32 can hold, got larger ones in rows ${first} to ${last} (counted from 0). ` +
      'Standardise the columns, or take a smaller offset or degree.',
  );
}

function checkRows(train: number, heldOut: number, rows: number, { heldOut: part }: FitPlan): void {
  if (train < 2 || (part > 0 && heldOut === 0)) {
    throw new PerformerError(
      'DATA',
      `${where}: expected rows to train on and to hold out, got ${train} and ${heldOut} of ${rows}. ` +
        'Give more rows, or another heldOut, or heldOut 0 and a lambda.',
    );
  }
}

interface Settled {
  readonly dim: number;
  readonly outputs: number;
  readonly featureCount: number;
  readonly gamma: number | undefined;
  readonly lambda: number;
}

function configOf(plan: FitPlan, settled: Settled, names: (() => TableNames) | undefined): MachineConfig {
  const { heldOut: _, batch: __, gamma: ___, ...kept } = plan;
  const { gamma, ...rest } = settled;
  return {
    model: 'kernel-machine',
    version: 2,
    ...kept,
    ...rest,
    ...(gamma === undefined ? {} : { gamma }),
    ...(names === undefined ? {} : { names: names() }),
  };
}

function tensorsOf(
  { weights, intercepts }: Solution,
  { inputs, targets }: Accumulation['columns'],
  projection: HostTensor | undefined,
): KernelMachine['tensors'] {
  const outputs = intercepts.length;
  const size = weights.length / outputs;
  const weight = new Float32Array(weights.length); // [features, outputs]
  weights.forEach((value, at) => {
    const [output, feature] = [Math.floor(at / size), at % size];
    weight[feature * outputs + output] = value * (targets.scale[output] as number);
  });
  const intercept = intercepts.map(
    (value, output) => value * (targets.scale[output] as number) + (targets.mean[output] as number),
  );
  return {
    mean: hostTensor('float64', [inputs.mean.length], inputs.mean),
    scale: hostTensor('float64', [inputs.scale.length], inputs.scale),
    ...(projection === undefined ? {} : { projection }),
    weight: float32([size, outputs], weight),
    intercept: hostTensor('float64', [outputs], intercept),
  };
}

async function measureHeldOut(engine: Engine, machine: KernelMachine, samples: Samples): Promise<Metrics> {
  const predictor = await MachinePredictor.create(engine, machine);
  try {
    return await measure(predictor, samples);
  } finally {
    await predictor.dispose();
  }
}
