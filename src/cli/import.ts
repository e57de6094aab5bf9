/** `performer import`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { flagsOf } from './flags.js';

const importSchema = z.strictObject({
  out: option(z.string().min(1), 'the folder to write, which must not exist', { value: 'folder', fallback: 'none' }),
});
export type ImportOptions = z.output<typeof importSchema>;

export const importCommand: CommandWords<typeof importSchema> = {
  arguments: [
    { name: '<folder>', text: 'config.json with model.safetensors, or with an index and its files; or a GGUF file' },
  ],
  options: importSchema,
  flags: flagsOf('Import:', importSchema),
  notes: `Reads a model as Hugging Face has it, or a GGUF file of llama.cpp (Llama, Mistral and Qwen2), and writes it as a folder of
ours in float32. Other commands read such folders and files directly, too. What is not understood is an error that names it.

Examples:
  performer import downloads/gpt2 --out models/gpt2
  performer import downloads/model-q8_0.gguf --out models/llama`,
  isReport: () => true,
};
