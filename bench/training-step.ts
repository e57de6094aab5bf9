/** A training step at length 4,096 against the machine's own matrix product. */
import { float32Scalar, type HostTensor, int32, mapTree, zeros } from '../src/base/index.js';
import { tokensSource } from '../src/data/index.js';
import { trainingOperations } from '../src/measure/index.js';
import type { Model } from '../src/models/index.js';
import { languageModelling, type Task } from '../src/tasks/index.js';
import { compileStep, initMoments, type Moments, type TrainingConfig, trainingConfig } from '../src/training/index.js';
import { numberFrom } from './in-process.js';
import { inTurns, median, peakBytes } from './measure.js';
import { engine, model, referenceProduct, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure, spreadOf } from './report.js';

interface PreparedStepOptions {
  readonly of?: Model | undefined;
  readonly recompute?: boolean | undefined;
  readonly weights?: Weights | undefined;
}

interface Learned {
  readonly params: object;
  readonly moments: Moments<object>;
}

/** Parameters and moments, and arrays for the next ones, all resident: steps swap the two. */
export function someWeights(of: Model) {
  const { params, buffers } = weightsOf(of);
  const current: Learned = { params, moments: initMoments(params) };
  const next = mapTree<Learned, HostTensor, HostTensor>(current, ({ shape }) => zeros('float32', shape)) as Learned;
  const touch = (leaf: HostTensor) => leaf.data.fill(0 as never); // memory fresh from the system is not resident yet
  mapTree(next, touch);
  mapTree(current.moments, touch);
  return { current, next, buffers, update: 0 };
}

export type Weights = ReturnType<typeof someWeights>;

/** The training of the step that is measured: one window. */
export function stepConfig(window: number, recompute = false) {
  return trainingConfig({ steps: 100, batch: 1, window, learningRate: 1e-3, recompute });
}

/** Language modelling of a text of one window. */
export function taskOf(of: Model, training: TrainingConfig): Task {
  const text = tokensSource(someTokens(training.window + 1), training.window + 1);
  return languageModelling(of, training, { train: text, heldOut: text });
}

/** A training step of one window, to be called again and again. */
export async function preparedStep(
  length: number,
  { of = model, recompute = false, weights = someWeights(of) }: PreparedStepOptions = {},
): Promise<() => Promise<void>> {
  const training = stepConfig(length, recompute);
  const step = await compileStep(engine, taskOf(of, training), training);
  const batches = [{ tokens: int32([1, length + 1], someTokens(length + 1)) }];
  return async () => {
    weights.update++;
    const { current, next, buffers, update } = weights;
    const scalars = { learningRate: float32Scalar(1e-3), update: float32Scalar(update) };
    await step.run({ ...current, buffers, states: [], batches, dropout: [], scalars, next });
    [weights.current, weights.next] = [next, current];
  };
}

export const trainingStep: Benchmark = {
  name: 'training-step',
  title: `training step: 6 layers, dim 512, 8 heads × 64, 256 features, batch 1`,
  async run({ isQuick }: BenchmarkOptions) {
    const length = isQuick ? 128 : 4096;
    const creations: number[] = [];
    for (let i = 0; i < (isQuick ? 1 : 5); i++) creations.push(await numberFrom('step-session', length));
    const train = await preparedStep(length);
    for (let i = 0; i < 6; i++) await train(); // the first steps touch fresh memory
    const peak = peakBytes() / 1e9;
    const product = await referenceProduct();
    const times = await inTurns({ train, product: product.run }, { warmup: 2, rounds: isQuick ? 1 : 11 });
    const rate = (operations: number, milliseconds: number) => operations / milliseconds / 1e6;
    const rates = {
      ours: rate(trainingOperations(model, length), times.train.median),
      theirs: rate(product.operations, times.product.median),
    };
    const compared = {
      ...rates,
      what: `length ${length}: ${times.train.median.toFixed(0)} ms`,
      spread: spreadOf(times.train, times.product),
      unit: 'GFLOP/s',
      opponent: 'chained 2048² products',
      ratio: 'ours/theirs',
    } as const;
    return [
      comparison(compared, { atLeast: 0.66 }),
      comparison(compared, { atLeast: 0.72, kind: 'stretch' }),
      figure('session creation, in a cold process', median(creations) / 1000, 's', { atMost: 1 }),
      figure('peak memory', peak, 'GB', { atMost: 3.5 }),
    ];
  },
};
