/**
 * What an exact window beside FAVOR+ costs, and attention that is exact up to a length, against the faster of its two forms. How
 * much closer to exact attention the hybrid is says hybrid-error.ts.
 */
import { type LanguageModelOptions, languageModelConfig, modelOf, presets } from '../src/models/index.js';
import { type AttentionForm, prepared, window } from './attention.js';
import { inTurns } from './measure.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, type Row, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

export const hybrid: Benchmark = {
  name: 'hybrid',
  title: `an exact window of ${window} and FAVOR+ beyond it; attention that is exact up to 512 keys`,
  async run(options: BenchmarkOptions) {
    return [...(await costs(options)), ...(await upTo(options))];
  },
};

type HybridOptions = { readonly window: number; readonly forgetting?: 'gates' };

async function costs({ isQuick }: BenchmarkOptions): Promise<readonly Row[]> {
  const length = isQuick ? 256 : 4096;
  const { attention, ...sizes } = presets.small.model;
  const stepOf = (given: Partial<LanguageModelOptions>) =>
    preparedStep(length, { of: modelOf(languageModelConfig({ ...sizes, depth: 2, ...given })) });
  const plain = await stepOf({ attention });
  const over = async (what: string, given: HybridOptions) => {
    const step = await stepOf({ attention: { ...attention, ...given, kind: 'hybrid' } });
    const times = await inTurns({ step, plain }, { warmup: 2, rounds: isQuick ? 1 : 9 });
    return comparison(
      {
        ...{ what: `training step, length ${length}, ${what}`, unit: 'ms', opponent: 'FAVOR+', ratio: 'ours/theirs' },
        ...{ ours: times.step.median, theirs: times.plain.median, spread: spreadOf(times.step, times.plain) },
      },
      { atMost: 1.35 },
    );
  };
  const alone = (isCausal: boolean) =>
    against('hybrid', 'favor', { length, isCausal, isQuick, ratio: 'ours/theirs' }, undefined);
  const rows = [
    await over(`window ${window}`, { window }),
    await over('window 64 and gates, as the presets have it', { window: 64, forgetting: 'gates' }),
  ];
  return [...rows, await alone(true), await alone(false)];
}

interface Against {
  readonly length: number;
  readonly isCausal: boolean;
  readonly isQuick: boolean;
  readonly ratio: 'ours/theirs' | 'theirs/ours';
}

/** Two forms of attention alone, forward. */
async function against(
  ours: AttentionForm,
  theirs: AttentionForm,
  given: Against,
  bound: Bound | undefined,
): Promise<Row> {
  const { length, isCausal, isQuick, ratio } = given;
  const [own, other] = [await prepared(ours, length, isCausal), await prepared(theirs, length, isCausal)];
  const times = await inTurns({ own: own.run, other: other.run }, { warmup: 3, rounds: isQuick ? 1 : 15 });
  await own.dispose();
  await other.dispose();
  const form = isCausal ? 'causal' : 'bidirectional';
  return comparison(
    {
      ...{ what: `${ours}, ${form} attention alone, length ${length}`, unit: 'ms', opponent: theirs, ratio },
      ...{ ours: times.own.median, theirs: times.other.median, spread: spreadOf(times.own, times.other) },
    },
    bound,
  );
}

/** Exact attention by the engine's own op up to a length, and FAVOR+ beyond it. */
async function upTo({ isQuick }: BenchmarkOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const length of isQuick ? [64, 600] : [64, 128, 256, 512, 768, 1024, 2048, 4096]) {
    const opponents = length <= 512 ? (['fused'] as const) : (['fused', 'favor'] as const);
    for (const opponent of opponents) {
      const given = { length, isCausal: false, isQuick, ratio: 'theirs/ours' } as const;
      rows.push(await against('exact up to 512', opponent, given, isQuick ? undefined : { atLeast: 0.95 }));
    }
  }
  return rows;
}
