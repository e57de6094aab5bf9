/** A document read forward in one run: the cost of a token does not grow with the length, nor does the memory. */
import { int32, symbol } from '../src/base/index.js';
import { spec, specsOf } from '../src/graph/index.js';
import { readInWindows } from '../src/models/index.js';
import { inTurns, peakBytes } from './measure.js';
import { engine, model, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure, spreadOf } from './report.js';

/** A short document is read so many times in a turn. */
const passes = 8;

export const streaming: Benchmark = {
  name: 'streaming',
  title: 'one document read forward in one run, in windows of 2,048: 6 layers, dim 512',
  async run({ isQuick }: BenchmarkOptions) {
    const { params, buffers } = weightsOf();
    const reader = await engine.compile(
      (learned, drawn, { tokens }) => {
        const { lastHidden, state } = readInWindows(model, { params: learned, buffers: drawn }, { tokens });
        return { lastHidden, state };
      },
      [params, specsOf(buffers), { tokens: spec('int32', [1, symbol('length')]) }],
    );
    const [short, long, longest] = isQuick ? [2048, 4096, 6144] : [2048, 131_072, 1_000_000];
    const read = (length: number) => {
      const tokens = int32([1, length], someTokens(length));
      return () => reader.run([{}, buffers, { tokens }]);
    };
    const once = read(short);
    const several = async () => {
      for (let i = 0; i < passes; i++) await once();
    };
    await several(); // fresh memory is slow
    const rounds = isQuick ? 1 : 3;
    const near = await inTurns({ short: several, long: read(long) }, { warmup: 0, rounds });
    const far = await inTurns({ short: several, long: read(longest) }, { warmup: 0, rounds: 1 });
    const peak = peakBytes() / 1e9;
    const row = (length: number, times: typeof near) =>
      comparison(
        {
          what: `a token at length ${length.toLocaleString('en-US')}`,
          ours: (times.long.median / length) * 1e3,
          theirs: (times.short.median / passes / short) * 1e3,
          spread: spreadOf(times.long, times.short),
          unit: 'µs a token',
          opponent: `one at ${short.toLocaleString('en-US')}`,
          ratio: 'ours/theirs',
        },
        { atMost: 1.1 },
      );
    return [
      row(long, near),
      row(longest, far),
      figure(`peak memory over ${longest.toLocaleString('en-US')} tokens`, peak, 'GB', { atMost: 2 }),
    ];
  },
};
