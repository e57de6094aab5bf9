/** The option types of the front door name what the schemas know, and nothing else. */
import { expect, it } from 'vitest';
import type * as z from 'zod';
import { optionFields } from '../../src/base/index.js';
import type {
  ClassifierOptions,
  EncoderOptions,
  LanguageModelOptions,
  RegressorOptions,
  TrainingRunOptions,
} from '../../src/index.js';
import type { classifierSchema, encoderSchema, languageModelSchema } from '../../src/models/index.js';
import { type TrainingOptions, trainingSchema } from '../../src/training/index.js';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;

/** Options of files, which training in memory has not. */
type OfFolders = 'checkpointInterval' | 'keep';
/** What stands in a file and is no choice. */
type Fixed = 'version';
type KeysOf<S extends z.ZodType> = Exclude<keyof z.input<S>, Fixed>;
type Chosen<O> = Exclude<keyof O, 'preset'>;
type TargetsOf<K> = Extract<z.output<typeof classifierSchema>['targets'], { kind: K }>;

it('they have the keys of the schemas, with values that fit them', () => {
  const modelKeys: [
    Same<Chosen<LanguageModelOptions>, KeysOf<typeof languageModelSchema>>,
    Same<Chosen<EncoderOptions>, KeysOf<typeof encoderSchema>>,
    Same<Chosen<ClassifierOptions>, KeysOf<typeof classifierSchema>>,
    Same<Chosen<RegressorOptions>, KeysOf<typeof classifierSchema>>,
    Same<keyof ClassifierOptions['targets'], keyof TargetsOf<'classes'>>,
    Same<keyof RegressorOptions['targets'], keyof TargetsOf<'values'>>,
  ] = [true, true, true, true, true, true];
  const trainingKeys: Same<keyof TrainingRunOptions, Exclude<keyof TrainingOptions, OfFolders>> = true;
  const values: TrainingRunOptions extends Partial<{ [K in keyof TrainingOptions]: TrainingOptions[K] | undefined }>
    ? true
    : never = true;
  const pooling: Same<ClassifierOptions['pooling'], z.input<typeof classifierSchema>['pooling']> = true;
  expect([...modelKeys, trainingKeys, values, pooling].every(Boolean)).toBe(true);
  expect(optionFields(trainingSchema).map(({ path }) => path[0])).toContain('learningRate');
});
