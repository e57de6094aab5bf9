/** A training step at length 4,096 against the machine's own matrix product. */
import { float32Scalar, type HostTensor, int32, mapTree, zeros } from '../src/base/index.js';
import { compileStep, initMoments, trainingConfig } from '../src/training/index.js';
import { inTurns } from './measure.js';
import { config, engine, forwardOperations, modelOf, referenceProduct, someTokens } from './model.js';
import { type Benchmark, bounded } from './report.js';

/** A training step of one window, to be called again and again, and how long it took to make. */
export async function preparedStep(length: number): Promise<{ train: () => Promise<void>; creation: number }> {
  const { params, projections } = modelOf();
  const training = trainingConfig({ steps: 100, batch: 1, window: length, learningRate: 1e-3 });
  const start = performance.now();
  const step = await compileStep(engine, config, training);
  const creation = performance.now() - start;
  let current = { params, moments: initMoments(params) };
  let next: typeof current = mapTree(current, ({ shape }: HostTensor) => zeros('float32', shape));
  let update = 0;
  const batches = [{ tokens: int32([1, length + 1], someTokens(length + 1)) }];
  const train = async () => {
    update++;
    const scalars = { learningRate: float32Scalar(1e-3), update: float32Scalar(update) };
    await step.run({ ...current, projections, states: [], batches, scalars, next: { ...next, states: [] } });
    [current, next] = [next, current];
  };
  return { train, creation };
}

const length = 4096;

export const trainingStep: Benchmark = {
  name: 'training-step',
  title: `training step: 6 layers, dim 512, 8 heads × 64, 256 features, batch 1, length ${length}`,
  async run() {
    const { train, creation } = await preparedStep(length);
    for (let i = 0; i < 6; i++) await train(); // the first steps touch fresh memory
    const peak = process.resourceUsage().maxRSS / 1e6;
    const product = await referenceProduct();
    const times = await inTurns({ train, product: product.run }, { warmup: 2, rounds: 11 });
    const rate = (operations: number, milliseconds: number) => operations / milliseconds / 1e6;
    const ours = rate(3 * forwardOperations(length), times.train.median);
    const limit = rate(product.operations, times.product.median);
    const { median, fastest, slowest } = times.train;
    return [
      bounded(
        {
          what: 'rate of arithmetic',
          value: `${ours.toFixed(0)} GFLOP/s (${median.toFixed(0)} ms, ${fastest.toFixed(0)}–${slowest.toFixed(0)})`,
          ratio: ours / limit,
          opponent: `a 2048² product at ${limit.toFixed(0)} GFLOP/s`,
        },
        { atLeast: 0.6 },
      ),
      { what: 'session creation', value: `${creation.toFixed(0)} ms`, target: '< 1000 ms', isMet: creation < 1000 },
      { what: 'peak memory', value: `${peak.toFixed(2)} GB`, target: '< 3.5 GB', isMet: peak < 3.5 },
    ];
  },
};
