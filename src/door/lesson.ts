/** What a task makes of the data of a training: its model's targets, and the task itself. */
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import {
  byteTokenizer,
  encodePairs,
  encodeTexts,
  encodeWords,
  splitCorpus,
  splitItems,
  splitTexts,
  type TargetList,
  wordTargets,
} from '../data/index.js';
import { type Model, textFrameOf, tokenizerOf } from '../models/index.js';
import { keptTargets, type Task, type TaskFamily, targetKind } from '../tasks/index.js';
import type { TrainingConfig } from '../training/index.js';
import { imageSource, labelledSource, pairList, type TrainingData, taggedList, textSource } from './training-data.js';
import type { TaskOptions } from './training-options.js';

export interface Lesson {
  /** The options of the model that follow from the data. */
  readonly model: object;
  taskFor(model: Model, training: TrainingConfig): Promise<Task>;
}

/**
 * Reads the data, and holds a part of them out. A model that is gone on from keeps what it tells, where that is
 * all that the data have.
 *
 * @throws DATA for data of another form than the task learns from; CONFIG for options of another task.
 */
export async function lessonOf(
  family: TaskFamily,
  data: TrainingData,
  { names, classWeights: weights }: TaskOptions,
  from?: Model | undefined,
): Promise<Lesson> {
  const kind = targetKind(family);
  const keptOf = (texts: TargetList) => {
    const kept = keptTargets(family, from, texts);
    refuseOptions(kept !== undefined);
    return kept;
  };
  const refuseOptions = (isKept: boolean) => {
    refuse('names', names, kind !== 'values' || isKept);
    refuse('classWeights', weights, kind !== 'classes' || isKept);
  };
  if (kind === undefined) refuseOptions(false);
  if (family.data === 'text') {
    const text = await textSource(data);
    return {
      model: {},
      taskFor: async (model, training) =>
        family.build(model, training, await splitCorpus(text, tokenizerOf(model.config), training)),
    };
  }
  if (family.data === 'pairs') {
    const pairs = await pairList(data);
    return {
      model: {},
      async taskFor(model, training) {
        const random = Random.fromSeed(training.seed).split('held out');
        const items = encodePairs(pairs, tokenizerOf(model.config), {
          frame: textFrameOf(model.config),
          window: training.window,
        });
        return family.build(model, training, splitItems(items, training.heldOut, random));
      },
    };
  }
  if (family.data === 'words') {
    const texts = await taggedList(data);
    const told = wordTargets(texts);
    const targets = keptOf(told) ?? family.targets(told, { weights });
    return {
      model: { targets },
      async taskFor(model, training) {
        const random = Random.fromSeed(training.seed).split('held out');
        const items = encodeWords(texts, tokenizerOf(model.config), textFrameOf(model.config));
        return family.build(model, training, splitItems(items, training.heldOut, random));
      },
    };
  }
  const images = family.data === 'images' ? await imageSource(data) : undefined;
  const texts = images?.texts ?? (await labelledSource(data));
  const targets = keptOf(texts) ?? family.targets?.(texts, { names, weights });
  return {
    model: { ...(images && { image: images.size }), ...(targets && { targets }) },
    async taskFor(model, training) {
      const framing = { frame: textFrameOf(model.config), window: training.window };
      const tokens = await encodeTexts(texts, images ? byteTokenizer : tokenizerOf(model.config), framing);
      const random = Random.fromSeed(training.seed).split('held out');
      return family.build(model, training, splitTexts(tokens, training.heldOut, random));
    },
  };
}

function refuse(name: string, value: unknown, isForeign: boolean): void {
  if (value === undefined || !isForeign) return;
  const advice = 'Leave it out.';
  throw new PerformerError('CONFIG', `trainModel: expected a task of new targets for ${name}, got another. ${advice}`);
}
