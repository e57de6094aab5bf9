/** `performer generate`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { samplingSchema } from '../generation/sampling.js';
import type { CommandWords } from './command.js';
import { inferenceFlags, inferenceSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';

const path = z.string().min(1);
const { temperature, topK, topP, repetitionPenalty } = samplingSchema.shape;
/** What the help says of a setting that a model may bring along. */
const fallback = (value: string) => ({ fallback: `the model's generation_config.json, or ${value}` });

const ownSchema = z.strictObject({
  prompt: option(z.string().optional(), 'the text to go on from; - reads it from standard input', {
    fallback: 'what is piped in, or a new line',
  }),
  promptFile: option(path.optional(), 'a file with the prompt, taken byte for byte; - for standard input', {
    value: 'file',
  }),
  source: option(
    z.string().optional(),
    'the text that another is written of, by models that read one; their prompt is what that begins with',
    { fallback: 'the prompt' },
  ),
  maxTokens: option(z.int().min(1).optional(), 'tokens to generate at most', fallback('200')),
  temperature: option(
    temperature.optional(),
    'below 1 likelier, above 1 more varied; 0: always the likeliest',
    fallback('0.8'),
  ),
  topK: option(topK.optional(), 'draw among this many of the likeliest tokens', fallback('all')),
  topP: option(
    topP.optional(),
    'draw among the likeliest tokens that have this probability together',
    fallback('0.95'),
  ),
  repetitionPenalty: option(
    repetitionPenalty.optional(),
    'above 1: tokens that were seen become less likely',
    fallback('1'),
  ),
  seed: option(z.int().min(0).optional(), 'the same seed gives the same text', {
    fallback: 'another each time, told at the end',
  }),
  stop: option(z.array(z.string().min(1)).optional(), 'end before this text; may be given more than once'),
  echo: option(z.boolean().default(true), 'print the prompt first'),
  saveState: option(path.optional(), 'write what the model remembers at the end to this safetensors file', {
    value: 'file',
  }),
  loadState: option(path.optional(), 'go on from such a file', { value: 'file' }),
});

/** Of models that paint. */
const imageSchema = z.strictObject({
  out: option(path.optional(), 'the PNG file to write', { value: 'file' }),
  count: option(z.int().min(1).max(4096).default(1), 'images to paint, which stand side by side in the file'),
  complete: option(path.optional(), 'a PNG or JPEG file whose upper rows are kept, and the others painted', {
    value: 'file',
  }),
  keptRows: option(z.int().min(0).optional(), 'how many of its rows are kept', { fallback: 'the upper half' }),
});

/** What only models of images, and only those of texts, take. */
export const imageFlags = Object.keys(imageSchema.shape);
export const textFlags = Object.keys(ownSchema.shape).filter(
  (key) => !['temperature', 'topK', 'topP', 'seed'].includes(key),
);

const generateSchema = z.strictObject({ ...ownSchema.shape, ...imageSchema.shape, ...inferenceSchema.shape });
export type GenerateFlags = z.output<typeof generateSchema>;

const notes = `The text goes to standard output as it comes, and the speed to standard error. Ctrl-C ends the text. A pipe or
a file gets the bytes as they are and nothing else; a terminal gets valid text, and an end of line after it.

A text that --max-tokens ends inside a --stop keeps that part back where --save-state keeps it for the next one.
"do_sample": false in generation_config.json means --temperature 0.

A model of images paints them, into the file --out: with --temperature 1 and without --top-p unless they are given.

Examples:
  performer generate runs/book --prompt "Call me " --max-tokens 500 --temperature 0.7
  performer generate runs/book --prompt "Once" --save-state memory.safetensors
  echo -n "Call me " | performer generate runs/book > text.txt
  performer generate runs/reverse --source "some text" --temperature 0
  performer generate runs/book --load-state memory.safetensors --prompt " more" --no-echo
  performer generate runs/digits --out digits.png --count 16
  performer generate runs/digits --out whole.png --complete half.png --count 4`;

export const generateCommand: CommandWords<typeof generateSchema> = {
  arguments: [{ name: '<folder>', text: 'the folder of a model' }],
  options: generateSchema,
  flags: [...flagsOf('Generation:', ownSchema), ...flagsOf('Images:', imageSchema), ...inferenceFlags],
  notes,
};
