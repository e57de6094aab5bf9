/** The option types of the front door name what the schemas know, and nothing else. */
import { expect, it } from 'vitest';
import { optionFields } from '../../src/base/index.js';
import type { ModelOptions, TrainingRunOptions } from '../../src/index.js';
import type { LanguageModelOptions } from '../../src/models/index.js';
import { type TrainingOptions, trainingSchema } from '../../src/training/index.js';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;

/** Options of files, which training in memory has not. */
type OfFolders = 'checkpointInterval' | 'keep';
/** What stands in a file and is no choice. */
type Fixed = 'model' | 'version';

it('they have the keys of the schemas, with values that fit them', () => {
  const modelKeys: Same<Exclude<keyof ModelOptions, 'preset'>, Exclude<keyof LanguageModelOptions, Fixed>> = true;
  const trainingKeys: Same<keyof TrainingRunOptions, Exclude<keyof TrainingOptions, OfFolders>> = true;
  const values: TrainingRunOptions extends Partial<{ [K in keyof TrainingOptions]: TrainingOptions[K] | undefined }>
    ? true
    : never = true;
  expect([modelKeys, trainingKeys, values]).toEqual([true, true, true]);
  expect(optionFields(trainingSchema).map(({ path }) => path[0])).toContain('learningRate');
});
