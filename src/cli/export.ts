/** `performer export`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { onnxForms } from '../export/index.js';
import { weightDtypes } from '../interop/index.js';
import type { CommandWords } from './command.js';
import { flagsOf } from './flags.js';

const folder = { value: 'folder', fallback: 'none' };

const exportSchema = z.strictObject({
  onnx: option(
    z.string().min(1).optional(),
    'ONNX: a file that ends in .onnx; or a folder for all forms, with config.json and the tokenizer',
    { value: 'file', fallback: 'none' },
  ),
  form: option(z.enum(onnxForms).optional(), 'which form a file has: of sequences, or of tokens after a state', {
    fallback: 'whole',
  }),
  huggingFace: option(
    z.string().min(1).optional(),
    'a folder as Hugging Face has it, of the model that it is there',
    folder,
  ),
  out: option(z.string().min(1).optional(), 'a folder of ours, to keep weights otherwise', folder),
  dtype: option(
    z.enum([...weightDtypes, 'int8']).optional(),
    'how a folder keeps weights, rounded to the nearest; int8: how the dense layers of ONNX files are computed',
    { fallback: 'float32, or as the folder of Hugging Face says that was read' },
  ),
});
export type ExportOptions = z.output<typeof exportSchema>;

export const exportCommand: CommandWords<typeof exportSchema> = {
  arguments: [{ name: '<model>', text: 'the folder of a model' }],
  options: exportSchema,
  flags: flagsOf('Export:', exportSchema),
  notes: `ONNX has the standard operators of opset 21 and the weights inside, for batches and lengths of any size. A folder gets
model.onnx and, where the model has that form, streaming.onnx. A folder of Hugging Face can be written of models that one of the
architectures is that import reads. docs/export.md says more.

Examples:
  performer export runs/book --onnx book
  performer export runs/book --onnx book.onnx --form streaming
  performer export runs/book --onnx small.onnx --dtype int8
  performer export runs/tuned --hugging-face tuned --dtype bfloat16
  performer export runs/book --out book16 --dtype float16`,
  isReport: () => true,
};
