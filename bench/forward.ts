/** The forward pass: linear in the length, and against exact softmax attention. */
import { causalAttention, exactAttention } from '../src/attention/index.js';
import { float32, type HostTensor, int32, symbol } from '../src/base/index.js';
import type { Weights } from '../src/blocks/index.js';
import { drawProjection, positiveFeatures } from '../src/features/index.js';
import { spec, specsOf, sum, type Tensor } from '../src/graph/index.js';
import { type ModelInputs, readInWindows } from '../src/models/index.js';
import { inTurns } from './measure.js';
import { engine, model, random, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, type Row, spreadOf } from './report.js';

export const linearity: Benchmark = {
  name: 'linearity',
  title: 'forward pass of the whole model in one run: time per token against the length',
  async run({ isQuick }: BenchmarkOptions) {
    const [near, far] = isQuick ? [64, 256] : [2048, 16384];
    const { params, buffers } = weightsOf();
    const rowOf = async (how: string, hiddenOf: (weights: Weights, inputs: ModelInputs) => Tensor, bound?: Bound) => {
      const executable = await engine.compile(
        (learned, drawn, { tokens }) => {
          const weights = { params: learned, buffers: drawn };
          return { total: sum(model.head(weights, hiddenOf(weights, { tokens }))) };
        },
        [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, symbol('length')]) }],
      );
      const forward = (length: number) => {
        const tokens = int32([1, length], someTokens(length));
        return () => executable.run([params, buffers, { tokens }]);
      };
      const rounds = { warmup: 2, rounds: isQuick ? 1 : 7 };
      const times = await inTurns({ short: forward(near), long: forward(far) }, rounds);
      await executable.dispose();
      return comparison(
        {
          what: `a token at length ${far.toLocaleString('en-US')}, ${how}`,
          ours: (times.long.median / far) * 1e3,
          theirs: (times.short.median / near) * 1e3,
          spread: spreadOf(times.long, times.short),
          unit: 'µs a token',
          opponent: `one at ${near.toLocaleString('en-US')}`,
          ratio: 'ours/theirs',
        },
        bound,
      );
    };
    return [
      await rowOf('in windows of 2,048', (...given) => readInWindows(model, ...given).hidden, { atMost: 1.25 }),
      await rowOf('all at once, as in training', (...given) => model.apply(...given).hidden),
    ];
  },
};

/** Heads at each length: exact scores of 8 heads at 16,384 do not fit in memory, so both get 2 there. */
const lengths = [
  { length: 512, heads: 8 },
  { length: 1024, heads: 8 },
  { length: 2048, heads: 8 },
  { length: 4096, heads: 8 },
  { length: 8192, heads: 8 },
  { length: 16384, heads: 2 },
] as const;

async function attentionRow(length: number, heads: number, bound?: Bound): Promise<Row> {
  const shape = [1, length, heads, 64];
  const draw = (name: string): HostTensor => float32(shape, random.split(name).normals(length * heads * 64));
  const inputs = { query: draw('query'), key: draw('key'), value: draw('value') };
  const projection = drawProjection(random.split('projection'), 256, 64);
  const favor = await engine.compile(
    (x: typeof inputs extends infer T ? { [K in keyof T]: Tensor } : never, { projection: rows }) => ({
      total: sum(causalAttention(x, positiveFeatures(rows)).output),
    }),
    [specsOf(inputs), { projection: spec('float32', [256, 64]) }],
  );
  const exact = await engine.compile(
    (x: { [K in keyof typeof inputs]: Tensor }) => ({ total: sum(exactAttention(x, { isCausal: true }).output) }),
    [specsOf(inputs)],
  );
  const times = await inTurns(
    { favor: () => favor.run([inputs, { projection }]), exact: () => exact.run([inputs]) },
    { warmup: length > 4096 ? 1 : 3, rounds: length > 4096 ? 3 : 9 },
  );
  await favor.dispose();
  await exact.dispose();
  return comparison(
    {
      what: `length ${length.toLocaleString('en-US')}, ${heads} heads`,
      ours: times.favor.median,
      theirs: times.exact.median,
      spread: spreadOf(times.favor, times.exact),
      unit: 'ms',
      opponent: 'exact over FAVOR+',
      ratio: 'theirs/ours',
    },
    bound,
  );
}

export const crossover: Benchmark = {
  name: 'crossover',
  title: 'causal attention alone, heads of 64, 256 features, forward: FAVOR+ against exact softmax on our engine',
  async run({ isQuick }: BenchmarkOptions) {
    if (isQuick) return [await attentionRow(128, 2)];
    const rows: Row[] = [];
    for (const { length, heads } of lengths) {
      rows.push(await attentionRow(length, heads, length === 2048 ? { atLeast: 1 } : undefined));
    }
    return rows;
  },
};
