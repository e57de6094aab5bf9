/** What an editor tells of options before anything runs: `npm run types` fails where a line below is not refused. */
import { expect, it } from 'vitest';
import { type FitOptions, fitKernelMachine } from '../../src/machines/index.js';
import { type LanguageModelOptions, languageModelConfig } from '../../src/models/index.js';
import { type TrainingOptions, trainingConfig } from '../../src/training/index.js';

type Parameter<F extends (...args: never[]) => unknown, At extends number> = Parameters<F>[At];
type Same<A, B> = [A, B] extends [B, A] ? true : false;

const model = { dim: 8, depth: 1, heads: 1, headDim: 8 };
const training = { steps: 1, batch: 1, window: 8, learningRate: 1e-3 };

it('the options of a model are typed, and refused at run time as well', () => {
  const areTyped: Same<Parameter<typeof languageModelConfig, 0>, LanguageModelOptions> = true;
  expect(areTyped).toBe(true);
  const { attention } = languageModelConfig({ ...model, attention: 'softmax', positions: undefined });
  expect(attention).toEqual({ kind: 'softmax' });
  // @ts-expect-error: no such attention
  expect(() => languageModelConfig({ ...model, attention: 'hard' })).toThrow(/attention/);
  // @ts-expect-error: no such option
  expect(() => languageModelConfig({ ...model, layers: 2 })).toThrow(/layers/);
  // @ts-expect-error: sizes are needed
  expect(() => languageModelConfig({ dim: 8, depth: 1, heads: 1 })).toThrow(/headDim/);
});

it('so are those of a training', () => {
  const areTyped: Same<Parameter<typeof trainingConfig, 0>, TrainingOptions> = true;
  expect(areTyped).toBe(true);
  expect(trainingConfig({ ...training, schedule: 'linear' }).schedule).toBe('linear');
  // @ts-expect-error: no such schedule
  expect(() => trainingConfig({ ...training, schedule: 'sine' })).toThrow(/schedule/);
  // @ts-expect-error: a number
  expect(() => trainingConfig({ ...training, steps: '10' })).toThrow(/steps/);
});

it('and those of a kernel machine', async () => {
  const areTyped: Same<Parameter<typeof fitKernelMachine, 2>, FitOptions> = true;
  expect(areTyped).toBe(true);
  // @ts-expect-error: no such kernel
  await expect(fitKernelMachine({} as never, [] as never, { kernel: 'gauss' })).rejects.toThrow(/kernel/);
});
