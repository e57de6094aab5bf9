/** What attention costs over a model without any: the paper's X, whose values pass through. */
import { languageModelConfig, modelOf, presets } from '../src/models/index.js';
import { inTurns } from './measure.js';
import { type Benchmark, type BenchmarkOptions, comparison, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

export const overhead: Benchmark = {
  name: 'overhead',
  title: 'training step of the whole model over the same model without attention (identity), 6 layers, dim 512',
  async run({ isQuick }: BenchmarkOptions) {
    const length = isQuick ? 128 : 4096;
    const favor = await preparedStep(length);
    const identity = await preparedStep(length, {
      of: modelOf(languageModelConfig({ ...presets.small.model, attention: 'none' })),
    });
    const times = await inTurns({ favor, identity }, { warmup: isQuick ? 1 : 6, rounds: isQuick ? 1 : 9 });
    const compared = {
      what: `length ${length.toLocaleString('en-US')}`,
      ours: times.favor.median,
      theirs: times.identity.median,
      spread: spreadOf(times.favor, times.identity),
      unit: 'ms',
      opponent: 'identity attention',
      ratio: 'ours/theirs',
    } as const;
    return [comparison(compared, { atMost: 1.9 }), comparison(compared, { atMost: 1.6, kind: 'stretch' })];
  },
};
