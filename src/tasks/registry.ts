/** The tasks by name. `performer train --task` chooses among these. */
import { PerformerError } from '../base/errors.js';
import type { Model } from '../models/index.js';
import { languageModelling } from './language-modelling.js';
import { maskedLanguageModelling } from './masked-language-modelling.js';
import type { BatchSize, Task, TextData } from './task.js';

/** A kind of task as one record. */
export interface TaskFamily {
  readonly name: string;
  /** What is learned, in a few words for the help. */
  readonly text: string;
  /** The family of models that it trains. */
  readonly model: string;
  build(model: Model, size: BatchSize, data: TextData): Task;
}

const families: readonly TaskFamily[] = [
  {
    name: 'language-modelling',
    text: 'predict the next token',
    model: 'causal-language-model',
    build: languageModelling,
  },
  {
    name: 'masked-language-modelling',
    text: 'predict tokens that were masked',
    model: 'encoder',
    build: maskedLanguageModelling,
  },
];

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

/** The task that trains a family of models. Throws CONFIG where there is none. */
export function taskOfModel({ config }: Model): TaskFamily {
  const family = families.find(({ model }) => model === config.model);
  if (family !== undefined) return family;
  throw new PerformerError('CONFIG', `task: expected a model that some task trains, got ${config.model}.`);
}
