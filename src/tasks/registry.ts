/** The tasks by name. `performer train --task` chooses among these. */
import { PerformerError } from '../base/errors.js';
import type { LabelledData, PairData, TaggedData, TargetList } from '../data/index.js';
import { type Model, type Targets, targetsOf } from '../models/index.js';
import { classification, classTargets } from './classification.js';
import { imageModelling } from './image-modelling.js';
import { languageModelling } from './language-modelling.js';
import { maskedLanguageModelling } from './masked-language-modelling.js';
import { labelTargets, multiLabelClassification } from './multi-label-classification.js';
import { regression, valueTargets } from './regression.js';
import { sequenceToSequence } from './sequence-to-sequence.js';
import type { BatchSize, Task, TextData } from './task.js';
import { tokenClassification } from './token-classification.js';

interface TaskRecord<K extends string, D> {
  readonly name: string;
  /** What is learned, in a few words for the help. */
  readonly text: string;
  /** What it learns from. */
  readonly data: K;
  /** The family of models that it trains. */
  readonly model: string;
  /** The task of a model on these data. */
  build(model: Model, size: BatchSize, data: D): Task;
}

/** A task on running text. */
export interface TextTaskFamily extends TaskRecord<'text', TextData> {}

/** How targets are made from labelled texts. */
export interface TargetOptions {
  /** Names of values. */
  readonly names?: readonly string[] | undefined;
  /** Of classes: `balanced` lets each count as much as another, `equal` each text. */
  readonly weights?: 'equal' | 'balanced' | undefined;
}

/** A task on labelled texts, which it takes as tokens, and whose targets are an option of the model. */
export interface LabelledTaskFamily extends TaskRecord<'labelled', LabelledData> {
  readonly kind: Targets['kind'];
  /** The targets of a model that learns from these texts. Throws DATA for texts whose targets are of another kind. */
  targets(texts: TargetList, options?: TargetOptions): Targets;
}

/** A task on pairs of texts, of which the second is written of the first. */
export interface PairTaskFamily extends TaskRecord<'pairs', PairData> {}

/** A task on images of one size, which it takes as the tokens of texts: each is a value from 0 to 255. */
export interface ImageTaskFamily extends TaskRecord<'images', LabelledData> {
  /** The targets of a model that learns from these images; absent where it learns none. Throws DATA for images without classes. */
  targets?(images: TargetList, options?: TargetOptions): Targets;
}

/** A task on texts whose words have labels. */
export interface WordTaskFamily extends TaskRecord<'words', TaggedData> {
  /** The targets of a model that learns from all of these words. Throws DATA for words of one label alone. */
  targets(words: TargetList, options?: TargetOptions): Targets;
}

/** A kind of task as one record; `data` tells them apart. */
export type TaskFamily = TextTaskFamily | LabelledTaskFamily | PairTaskFamily | ImageTaskFamily | WordTaskFamily;

const families: readonly TaskFamily[] = [
  {
    name: 'language-modelling',
    text: 'predict the next token',
    data: 'text',
    model: 'causal-language-model',
    build: languageModelling,
  },
  {
    name: 'masked-language-modelling',
    text: 'predict tokens that were masked',
    data: 'text',
    model: 'encoder',
    build: maskedLanguageModelling,
  },
  {
    name: 'classification',
    text: 'tell the class of a text',
    data: 'labelled',
    model: 'classifier',
    kind: 'classes',
    targets: (texts, { weights } = {}) => classTargets(texts, weights),
    build: classification,
  },
  {
    name: 'multi-label-classification',
    text: 'tell which of some labels a text has',
    data: 'labelled',
    model: 'classifier',
    kind: 'labels',
    targets: (texts) => labelTargets(texts),
    build: multiLabelClassification,
  },
  {
    name: 'regression',
    text: 'tell numbers of a text',
    data: 'labelled',
    model: 'classifier',
    kind: 'values',
    targets: (texts, { names } = {}) => valueTargets(texts, names),
    build: regression,
  },
  {
    name: 'token-classification',
    text: 'tell the class of each word of a text',
    data: 'words',
    model: 'token-classifier',
    targets: (words, { weights } = {}) => classTargets(words, weights),
    build: tokenClassification,
  },
  {
    name: 'sequence-to-sequence',
    text: 'write a text of another',
    data: 'pairs',
    model: 'encoder-decoder',
    build: sequenceToSequence,
  },
  {
    name: 'image-classification',
    text: 'tell the class of an image',
    data: 'images',
    model: 'image-classifier',
    targets: (images, { weights } = {}) => classTargets(images, weights),
    build: classification,
  },
  {
    name: 'image-modelling',
    text: 'predict the next value of an image, to paint others',
    data: 'images',
    model: 'pixel-model',
    build: imageModelling,
  },
];

/** The kind of targets that a task learns; none where it learns none. */
export function targetKind(family: TaskFamily): Targets['kind'] | undefined {
  if (family.data === 'labelled') return family.kind;
  return 'targets' in family ? 'classes' : undefined;
}

/**
 * The targets that a model keeps when a task goes on with it: its own, where they are of the task's kind and have every name of the data.
 * Others begin anew, and so does the head that tells them.
 */
export function keptTargets(family: TaskFamily, from: Model | undefined, data?: TargetList): Targets | undefined {
  const own = from && targetsOf(from);
  if (own === undefined || own.kind !== targetKind(family)) return undefined;
  const known = new Set<unknown>(own.names);
  const isWhole = own.kind === 'values' || (data?.targets ?? []).flat().every((target) => known.has(target));
  return isWhole ? own : undefined;
}

/** The names of all tasks. */
export function taskNames(): readonly string[] {
  return families.map(({ name }) => name);
}

/** The task of a name. Throws CONFIG for one that there is none of. */
export function taskFamily(name: string): TaskFamily {
  const family = families.find((each) => each.name === name);
  if (family !== undefined) return family;
  throw new PerformerError('CONFIG', `task: expected one of ${taskNames().join(', ')}, got ${name}.`);
}

/** The task that trains a model. Throws CONFIG where there is none. */
export function taskOfModel(model: Model): TaskFamily {
  const kind = targetsOf(model)?.kind;
  const family = families.find(
    (each) => each.model === model.config.model && (each.data !== 'labelled' || each.kind === kind),
  );
  if (family !== undefined) return family;
  throw new PerformerError('CONFIG', `task: expected a model that some task trains, got ${model.config.model}.`);
}
