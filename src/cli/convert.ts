/** `performer convert`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { trainingSchema } from '../training/config.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { type Flag, flagsOf } from './flags.js';
import { modelFlags } from './train-flags.js';

const word = z.string().min(1);

const ownSchema = z.strictObject({
  out: option(word, 'the folder of the run and of its model', { value: 'folder', fallback: 'none' }),
  transferSteps: option(
    z
      .int()
      .min(0)
      .max(2 ** 31)
      .default(100),
    'steps in which each block learns by itself, before the model learns as a whole',
  ),
  tolerance: option(
    z.number().positive().optional(),
    'the error of attention for which the features of each layer and their number are chosen, on the text; in place of options of features',
    { fallback: 'features as they are given' },
  ),
  resume: option(z.literal(true).optional(), 'go on with the conversion in --out from its newest checkpoint'),
});

const convertSchema = z.strictObject({ ...ownSchema.shape, ...engineSchema.shape });
export type ConvertOptions = z.output<typeof convertSchema>;

/** The options of a model that its conversion can change, as the weights that it has keep their places. */
const changed = ['attention', 'queryKeyNorm', 'positions'];
/** Their flags; those of parts have their own defaults where these are given. */
const wholes = ['attention', 'query-key-norm', 'positions'];
export const convertedFlags = modelFlags
  .filter(({ path: [top] }) => changed.includes(top as string))
  .map((flag): Flag => (wholes.includes(flag.flag) ? { ...flag, fallback: 'that of the model' } : flag));

/** What a conversion has unless told otherwise; its window is that which the model was trained with, or 256. */
export const conversionDefaults = {
  ...{ steps: 200, batch: 4, learningRate: 5e-4, weightDecay: 0, redrawInterval: 0 },
};

export const trainingFlags: readonly Flag[] = flagsOf('Training:', trainingSchema)
  .filter(({ key }) => key !== 'carryState')
  .map((flag) => {
    const own = (conversionDefaults as Readonly<Record<string, unknown>>)[flag.key];
    if (flag.key === 'window') return { ...flag, fallback: 'that of the training of the model, or 256' };
    return own === undefined ? flag : { ...flag, fallback: String(own) };
  });

export const convertCommand: CommandWords<typeof convertSchema> = {
  arguments: [
    { name: '[folder]', text: 'the model whose attention is replaced; needed unless --resume is given' },
    { name: '[files...]', text: 'text to learn from and to measure on; needed unless --resume is given' },
  ],
  options: convertSchema,
  flags: [...flagsOf('Conversion:', ownSchema), ...convertedFlags, ...trainingFlags, ...engineFlags],
  notes: `Replaces the attention of a model, keeps all else, and teaches the new model to give what the old one gives: first each
block by itself, then the whole. At the end it tells, on text that was held out, what the exact model, the new one before any
learning, after the blocks have learned and after the whole has learned are worth, and the error of each block.

--out has the new model; --out/transfer has the one whose blocks have learned by themselves.
Ctrl-C ends after the step under way, saves, and says how to go on.

Examples:
  performer convert runs/softmax book.txt --out runs/linear --attention hybrid --attention-window 64
  performer convert models/gpt2 texts/*.txt --out runs/gpt2 --attention favor+ --feature-map hedgehog --window 1024
  performer convert runs/softmax book.txt --out runs/linear --attention favor+ --tolerance 0.2
  performer convert --out runs/linear --resume`,
  isReport: () => true,
};
