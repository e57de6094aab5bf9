/** Training at the front door: from texts to a model, by any task, in Node and in a browser. */
import type { AnyHostTensor } from '../base/array.js';
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import {
  type LoadedModel,
  type ModelConfig,
  type ModelWeights,
  modelConfig,
  modelOf,
  type PresetName,
  weightsToBegin,
} from '../models/index.js';
import { type TaskFamily, taskFamily } from '../tasks/index.js';
import {
  furtherTraining,
  initialSnapshot,
  readTrainingConfig,
  runTraining,
  snapshotFrom,
  Trainer,
  type TrainingConfig,
  trainingOf,
  weightsOfSnapshot,
} from '../training/index.js';
import { optionsFrom } from './from-model.js';
import type { Loaded, Local } from './host.js';
import { type AnyModel, modelOn } from './kinds.js';
import { lessonOf } from './lesson.js';
import { chosenEngine } from './model.js';
import { type EngineOption, type Given, givenOf, withPreset, withTokenizer } from './options.js';
import type { From, TrainModel } from './signatures.js';
import type { TrainingData } from './training-data.js';
import { splitOptions, type TrainModelOptions } from './training-options.js';

/** `trainModel` for what is known only when it runs. */
export async function train(
  data: TrainingData,
  options: TrainModelOptions & From<Local<AnyModel>> & EngineOption = {},
): Promise<Local<AnyModel>> {
  const { task: name = 'language-modelling', onProgress, signal, engine: given, preset, from, ...own } = options;
  const split = splitOptions(await withTokenizer(own));
  const family = taskFamily(name);
  const asked = trainingAsked(split.training, { preset, isFurther: from !== undefined, family: family.model });
  const lesson = await lessonOf(family, data, split.task, from?.loaded.model);
  const base: Given =
    from === undefined
      ? withPreset('trainModel', 'model', preset, split.model, family.model)
      : optionsFrom(from.loaded.model, family.model, split.model);
  const config: ModelConfig = modelConfig({ model: family.model, ...base, ...lesson.model }, 'trainModel');
  expectFamily(config, family);
  const model = modelOf(config, asked);
  const training = trainingOf(model, asked);
  expectWindow(training, split.training);
  const engine = await chosenEngine(given);
  const fresh = initialSnapshot(config, training);
  const snapshot = from === undefined ? fresh : snapshotFrom(fresh, weightsToBegin(model, from.loaded));
  const trainer = await Trainer.create(snapshot, { engine, task: await lesson.taskFor(model, training) });
  try {
    let best: Omit<LoadedModel, 'model'> | undefined;
    for await (const event of runTraining(trainer, { signal })) {
      if (event.kind === 'checkpoint') continue;
      if (event.kind === 'evaluation' && event.isBest) {
        best = { ...(await weightsOf(trainer)), context: event.context };
      }
      await onProgress?.({ ...event, steps: training.steps });
    }
    return modelOn(engine, { model, ...(best ?? (await weightsOf(trainer))) });
  } finally {
    await trainer.dispose();
  }
}

/** The options of a training with the preset's, or of one that goes on from a model with what suits that. */
function trainingAsked(
  given: Given,
  { preset, isFurther, family }: { preset: PresetName | undefined; isFurther: boolean; family: string },
): TrainingConfig {
  const base = withPreset('trainModel', 'training', preset, {}, family);
  const further = isFurther && preset === undefined ? furtherTraining(given) : {};
  return readTrainingConfig({ ...base, ...further, ...givenOf(given) }, 'trainModel');
}

/** See the signatures: the kind of the model follows from the task. */
export const trainModel = train as TrainModel<EngineOption, Loaded>;

function expectFamily({ model: got }: ModelConfig, { name, model }: TaskFamily): void {
  if (got === model) return;
  throw new PerformerError(
    'CONFIG',
    `trainModel: expected ${withArticle(model)} for ${name}, got ${got}. Leave out model.`,
  );
}

/** Throws CONFIG for another window than the only one. */
function expectWindow({ window: expected }: TrainingConfig, { window: got = expected }: Given): void {
  if (got === expected) return;
  const message = `trainModel: expected a window of ${expected}, as images are read whole, got ${got}. Leave it out.`;
  throw new PerformerError('CONFIG', message);
}

/** A copy of the weights, which later steps leave as they are. */
async function weightsOf(trainer: Trainer): Promise<ModelWeights> {
  const { params, buffers } = weightsOfSnapshot(await trainer.fetchSnapshot());
  const copy = ({ data, ...tensor }: AnyHostTensor) => ({ ...tensor, data: data.slice() }) as AnyHostTensor;
  return { params: mapTree(params, copy), buffers };
}
