/** `performer export` at work. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { exportOnnx, type OnnxForm, whyNotStreaming } from '../export/index.js';
import { writeFileAtomic } from '../interop/node.js';
import { folderError, writeFolder } from '../interop/node-folders.js';
import type { LoadedModel } from '../models/index.js';
import { writeSettings } from '../models/node.js';
import { type Given, usageError } from './command.js';
import type { ExportOptions } from './export.js';
import type { Io } from './io.js';
import { expectFile } from './output-file.js';
import { readModel } from './read-model.js';

export async function runExport({ arguments: [folder], options }: Given<ExportOptions>, io: Io): Promise<void> {
  const { onnx, form } = options;
  if (onnx === undefined) throw usageError('export: expected --onnx, got nothing to write. Name a file or a folder.');
  const isFile = onnx.endsWith('.onnx');
  if (isFile) await expectFile('--onnx', onnx);
  else await expectNothing(onnx, form);
  const loaded = await readModel(folder as string, io);
  if (isFile) return writeForm(loaded, form ?? 'whole', { path: onnx, shown: onnx }, io);
  await writeFolder(onnx, async (draft) => {
    const write = (name: string, own: OnnxForm) =>
      writeForm(loaded, own, { path: join(draft, name), shown: join(onnx, name) }, io);
    await write('model.onnx', 'whole');
    const reason = whyNotStreaming(loaded.model);
    if (reason === undefined) await write('streaming.onnx', 'streaming');
    else io.stderr.write(`There is no streaming form: the model is ${reason}.\n`);
    await writeSettings(draft, loaded.model.config);
  }).catch((cause: unknown) => {
    throw folderError(onnx, cause);
  });
}

/** Throws USAGE where a folder would be written that is there, or is to have one form. */
async function expectNothing(path: string, form: OnnxForm | undefined): Promise<void> {
  if (form !== undefined) {
    throw usageError(`--form: expected a file that ends in .onnx as --onnx, got ${path}. A folder gets every form.`);
  }
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw usageError(`--onnx: expected a folder that does not exist, got ${path}. Name another.`);
}

async function writeForm(
  loaded: LoadedModel,
  form: OnnxForm,
  { path, shown }: { readonly path: string; readonly shown: string },
  io: Io,
): Promise<void> {
  const bytes = exportOnnx(loaded, { form });
  await writeFileAtomic(path, [bytes]);
  io.stdout.write(`${shown}: ${form} form, ${(bytes.length / 1e6).toFixed(1)} MB\n`);
}
