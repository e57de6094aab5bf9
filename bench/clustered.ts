/** Clustered attention against exact attention: alone, and in the training step of an encoder. */
import { tokensSource } from '../src/data/index.js';
import { modelConfig, modelOf, presets } from '../src/models/index.js';
import { maskedLanguageModelling } from '../src/tasks/index.js';
import { initialSnapshot, Trainer } from '../src/training/index.js';
import { prepared } from './attention.js';
import { inTurns } from './measure.js';
import { engine, someTokens } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, type Row, spreadOf } from './report.js';
import { stepConfig } from './training-step.js';

export const clustered: Benchmark = {
  name: 'clustered',
  title: 'clustered attention, 64 clusters, against exact attention',
  async run({ isQuick }: BenchmarkOptions) {
    const rows: Row[] = [];
    for (const length of isQuick ? [128] : [1024, 2048, 4096]) {
      rows.push(...(await alone(length, isQuick)), ...(await steps(length, isQuick)));
    }
    return rows;
  },
};

type Runs = Readonly<Record<'clusters' | 'top' | 'exact', () => Promise<unknown>>>;

async function compared(what: string, runs: Runs, isQuick: boolean): Promise<readonly Row[]> {
  const times = await inTurns(runs, { warmup: isQuick ? 1 : 2, rounds: isQuick ? 1 : 9 });
  return (['clusters', 'top'] as const).map((name) =>
    comparison(
      {
        what: `${what}${name === 'top' ? ', 32 top keys' : ''}`,
        ...{ ours: times[name].median, theirs: times.exact.median, spread: spreadOf(times[name], times.exact) },
        ...{ unit: 'ms', opponent: 'exact', ratio: 'ours/theirs' },
      },
      isQuick || name === 'top' ? undefined : { atMost: 1 },
    ),
  );
}

async function alone(length: number, isQuick: boolean): Promise<readonly Row[]> {
  const forms = { clusters: 'clustered', top: 'clustered, 32 top keys', exact: 'exact' } as const;
  const of = (name: keyof typeof forms) => prepared(forms[name], length, false);
  const all = { clusters: await of('clusters'), top: await of('top'), exact: await of('exact') };
  const runs = { clusters: all.clusters.run, top: all.top.run, exact: all.exact.run };
  const rows = await compared(`attention alone, length ${length}`, runs, isQuick);
  for (const { dispose } of Object.values(all)) await dispose();
  return rows;
}

async function steps(length: number, isQuick: boolean): Promise<readonly Row[]> {
  const { attention: _, ...sizes } = presets.small.model;
  const training = stepConfig(length);
  const text = tokensSource(someTokens(length + 1), length + 1);
  const trainerWith = async (attention: object | string) => {
    const config = modelConfig({ model: 'encoder', ...sizes, depth: 2, attention });
    const task = maskedLanguageModelling(modelOf(config), training, { train: text, heldOut: text });
    return Trainer.create(initialSnapshot(config, training), { engine, task });
  };
  const trainers = {
    clusters: await trainerWith('clustered'),
    top: await trainerWith({ kind: 'clustered', topK: 32 }),
    exact: await trainerWith('softmax'),
  };
  const { clusters, top, exact } = trainers;
  const runs = { clusters: () => clusters.step(), top: () => top.step(), exact: () => exact.step() };
  const rows = await compared(`training step of an encoder, length ${length}`, runs, isQuick);
  for (const trainer of Object.values(trainers)) await trainer.dispose();
  return rows;
}
