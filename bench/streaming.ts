/** A document read as a stream: the cost of a token does not grow with the length, nor does the memory. */
import { int32 } from '../src/base/index.js';
import { spec } from '../src/graph/index.js';
import { initialState, readTokens } from '../src/models/index.js';
import { median } from './measure.js';
import { config, engine, modelOf, someTokens, specsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure } from './report.js';

const window = 2048;

export const streaming: Benchmark = {
  name: 'streaming',
  title: `one document read forward in windows of ${window} whose state is carried: 6 layers, dim 512`,
  async run({ isQuick }: BenchmarkOptions) {
    const { params, projections } = modelOf();
    const start = initialState(config, 1);
    const reader = await engine.compile(
      (weights, features, state, { tokens }) => {
        const { lastHidden, state: next } = readTokens(config, weights, { tokens, projections: features, state });
        return { lastHidden, state: next };
      },
      [params, projections, specsOf(start), { tokens: spec('int32', [1, window]) }],
    );
    const windows = isQuick ? 2 : Math.ceil(1_000_000 / window);
    const times: number[] = [];
    let state = start;
    for (let index = 0; index < windows; index++) {
      const tokens = int32([1, window], someTokens(window));
      const began = performance.now();
      state = (await reader.run([params, projections, state, { tokens }])).state;
      times.push(performance.now() - began);
    }
    const peak = process.resourceUsage().maxRSS / 1e6;
    const perToken = (from: number, to: number) => (median(times.slice(from, to)) / window) * 1e3;
    if (isQuick) return [figure('two windows', perToken(0, 2), 'µs a token')];
    // The first windows touch fresh memory; the windows around a length are its cost of a token.
    return [
      comparison(
        {
          what: 'a token at length 131,072 against one at 2,048 to 16,384',
          ours: perToken(52, 76),
          theirs: perToken(2, 8),
          unit: 'µs a token',
          opponent: 'the shorter one',
          ratio: 'ours/theirs',
        },
        { atMost: 1.1 },
      ),
      comparison(
        {
          what: 'a token at length 1,000,000',
          ours: perToken(windows - 24, windows),
          theirs: perToken(2, 8),
          unit: 'µs a token',
          opponent: 'one at 2,048 to 16,384',
          ratio: 'ours/theirs',
        },
        { atMost: 1.1 },
      ),
      figure('peak memory over 1,000,000 tokens', peak, 'GB', { atMost: 2 }),
    ];
  },
};
