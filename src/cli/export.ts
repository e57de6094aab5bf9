/** `performer export`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { onnxForms } from '../export/index.js';
import type { CommandWords } from './command.js';
import { flagsOf } from './flags.js';

const onnxSchema = z.strictObject({
  onnx: option(
    z.string().min(1).optional(),
    'a file that ends in .onnx; or a folder for all forms, with config.json and the tokenizer',
    { value: 'file', fallback: 'none' },
  ),
  form: option(z.enum(onnxForms).optional(), 'which form a file has: of sequences, or of tokens after a state', {
    fallback: 'whole',
  }),
});
export type ExportOptions = z.output<typeof onnxSchema>;

export const exportCommand: CommandWords<typeof onnxSchema> = {
  arguments: [{ name: '<model>', text: 'the folder of a model' }],
  options: onnxSchema,
  flags: flagsOf('Export:', onnxSchema),
  notes: `Writes a model as ONNX, with the standard operators of opset 21 and the weights inside, for batches and lengths of any
size. A folder gets model.onnx and, where the model has that form, streaming.onnx. docs/export.md says what they take and give.

Examples:
  performer export runs/book --onnx book
  performer export runs/book --onnx book.onnx --form streaming`,
  isReport: () => true,
};
