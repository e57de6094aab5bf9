/** `performer generate`: what it is called with. */
import * as z from 'zod';
import { samplingSchema } from '../generation/sampling.js';
import type { Command } from './command.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';

const generateSchema = z.strictObject({
  prompt: z.string().optional(),
  promptFile: z.string().min(1).optional(),
  maxTokens: z.int().min(1).optional(),
  ...samplingSchema.shape,
  seed: z.int().min(0).optional(),
  stop: z.array(z.string().min(1)).optional(),
  echo: z.boolean().default(true),
  saveState: z.string().min(1).optional(),
  loadState: z.string().min(1).optional(),
});

const fromModel = "the model's generation_config.json, or";

const flags = flagsOf('Generation:', generateSchema.shape, {
  prompt: {
    text: 'the text to go on from; - reads it from standard input',
    fallback: 'what is piped in, or a new line',
  },
  promptFile: { text: 'a file with the prompt, taken byte for byte; - for standard input', value: 'file' },
  maxTokens: { text: 'bytes to generate at most', fallback: `${fromModel} 200` },
  temperature: { text: 'below 1 likelier, above 1 more varied; 0: always the likeliest', fallback: `${fromModel} 0.8` },
  topK: { text: 'draw among this many of the likeliest bytes', fallback: `${fromModel} all` },
  topP: { text: 'draw among the likeliest bytes that have this probability together', fallback: `${fromModel} 0.95` },
  repetitionPenalty: { text: 'above 1: bytes that were seen become less likely', fallback: `${fromModel} 1` },
  seed: { text: 'the same seed gives the same text', fallback: 'another each time, told at the end' },
  stop: { text: 'end before this text; may be given more than once' },
  echo: { text: 'print the prompt first' },
  saveState: { text: 'write what the model remembers at the end to this safetensors file', value: 'file' },
  loadState: { text: 'go on from such a file', value: 'file' },
});

const notes = `The text goes to standard output as it comes, and the speed to standard error. Ctrl-C ends the text. A pipe or
a file gets the bytes as they are and nothing else; a terminal gets valid text, and an end of line after it.

A text that --max-tokens ends inside a --stop keeps that part back where --save-state keeps it for the next one.
"do_sample": false in generation_config.json means --temperature 0.

Examples:
  performer generate runs/book --prompt "Call me " --max-tokens 500 --temperature 0.7
  performer generate runs/book --prompt "Once" --save-state memory.safetensors
  echo -n "Call me " | performer generate runs/book > text.txt
  performer generate runs/book --load-state memory.safetensors --prompt " more" --no-echo`;

export const generateCommand: Command = {
  name: 'generate',
  text: 'generate text with a model',
  arguments: [{ name: '<folder>', text: 'the folder of a model' }],
  flags: [...flags, ...engineFlags],
  notes,
  async run({ arguments: [folder], flags: given }, io) {
    const { runGenerate } = await import('./generate-run.js');
    await runGenerate(folder as string, given, io);
  },
};
