/** `performer export` at work. */
import { copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  exportOnnx,
  keptAs,
  type OnnxDtype,
  type OnnxExportOptions,
  type OnnxForm,
  onnxDtypes,
  toHuggingFace,
  whyNotStreaming,
} from '../export/index.js';
import { type WeightDtype, weightDtypes } from '../interop/index.js';
import { readJson, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';
import { folderError, writeFolder } from '../interop/node-folders.js';
import { isGguf, type LoadedModel, type ModelConfig } from '../models/index.js';
import { writeJson, writeModel, writeSettings } from '../models/node.js';
import { readTensors } from '../models/node-folder.js';
import { isPretrained, modulesFile, sentenceFiles, sentenceSettings } from '../pretrained/index.js';
import { type Given, usageError } from './command.js';
import type { ExportOptions } from './export.js';
import type { Io } from './io.js';
import { expectFile } from './output-file.js';
import { readModel } from './read-model.js';

export async function runExport({ arguments: [source], options }: Given<ExportOptions>, io: Io): Promise<void> {
  const folder = source as string;
  const asked = (['onnx', 'huggingFace', 'out'] as const).filter((name) => options[name] !== undefined);
  if (asked.length !== 1) {
    const got = asked.length === 0 ? 'nothing to write' : 'more';
    throw usageError(`export: expected one of --onnx, --hugging-face and --out, got ${got}. Name one.`);
  }
  const { onnx, huggingFace, out, form, dtype } = options;
  if (form !== undefined && !onnx?.endsWith('.onnx')) {
    throw usageError('--form: expected a file that ends in .onnx as --onnx, got another. A folder gets every form.');
  }
  if (onnx !== undefined) {
    const products = dtypeAmong(onnxDtypes, dtype, 'ONNX files');
    if (!onnx.endsWith('.onnx')) return writeOnnx(folder, onnx, products, io);
    await expectFile('--onnx', onnx);
    const asked = { form: form ?? 'whole', dtype: products };
    return writeForm(await readModel(folder, io), asked, { path: onnx, shown: onnx }, io);
  }
  const kept = dtypeAmong(weightDtypes, dtype, 'folders');
  if (huggingFace !== undefined) return writeHuggingFace(folder, huggingFace, kept, io);
  return writeOwn(folder, out!, kept, io);
}

function dtypeAmong<D extends string>(known: readonly D[], given: string | undefined, of: string): D | undefined {
  const found = known.find((each) => each === given);
  if (found !== undefined || given === undefined) return found;
  throw usageError(`--dtype: expected ${known.join(', ')} of ${of}, got ${given}.`);
}

/** Writes a folder that must not exist yet, whole or not at all. */
async function writeNew(
  flag: string,
  path: string,
  fill: () => Promise<(draft: string) => Promise<void>>,
): Promise<void> {
  if (await isThere(path))
    throw usageError(`${flag}: expected a folder that does not exist, got ${path}. Name another.`);
  await writeFolder(path, await fill()).catch((cause: unknown) => {
    throw folderError(path, cause);
  });
}

function writeOnnx(folder: string, path: string, dtype: OnnxDtype | undefined, io: Io): Promise<void> {
  return writeNew('--onnx', path, async () => {
    const loaded = await readModel(folder, io);
    return async (draft) => {
      const write = (name: string, form: OnnxForm) =>
        writeForm(loaded, { form, dtype }, { path: join(draft, name), shown: join(path, name) }, io);
      await write('model.onnx', 'whole');
      const reason = whyNotStreaming(loaded.model);
      if (reason === undefined) await write('streaming.onnx', 'streaming');
      else io.stderr.write(`There is no streaming form: the model is ${reason}.\n`);
      await writeSettings(draft, loaded.model.config);
    };
  });
}

async function writeForm(
  loaded: LoadedModel,
  options: OnnxExportOptions & { readonly form: OnnxForm },
  { path, shown }: { readonly path: string; readonly shown: string },
  io: Io,
): Promise<void> {
  const bytes = exportOnnx(loaded, options);
  await writeFileAtomic(path, [bytes]);
  io.stdout.write(`${shown}: ${options.form} form, ${(bytes.length / 1e6).toFixed(1)} MB\n`);
}

function writeHuggingFace(folder: string, path: string, dtype: WeightDtype | undefined, io: Io): Promise<void> {
  return writeNew('--hugging-face', path, async () => {
    const loaded = await readModel(folder, io);
    const content = isGguf(folder) ? undefined : await readJson(join(folder, 'config.json'));
    const from = isPretrained(content) ? { config: content, ...(await readTensors(folder)) } : undefined;
    const own = toHuggingFace(loaded, { from, dtype });
    return async (draft) => {
      if (from === undefined) await writeHuggingFaceSettings(draft, loaded.model.config);
      else await copySettings(folder, draft);
      await writeSafetensors(join(draft, 'model.safetensors'), own.tensors, { format: 'pt' }, () => own.dtype);
      if (own.config !== from?.config) await writeJson(join(draft, 'config.json'), own.config);
      io.stdout.write(`${path}: ${own.config.model_type}, ${own.dtype}\n`);
    };
  });
}

/** Writes what lies beside config.json and the weights: the tokenizer, how it generates, how texts become vectors. */
async function writeHuggingFaceSettings(draft: string, config: ModelConfig): Promise<void> {
  await writeSettings(draft, config);
  const { vectors, dim } = config;
  if (vectors === undefined) return;
  for (const [name, content] of sentenceSettings(vectors, dim)) {
    await mkdir(dirname(join(draft, name)), { recursive: true });
    await writeJson(join(draft, name), content);
  }
}

/** Copies what lies beside the weights of a folder: config.json, the tokenizer, how it generates, how texts become vectors. */
async function copySettings(folder: string, draft: string): Promise<void> {
  const modules = join(folder, modulesFile);
  const below = (await isThere(modules)) ? sentenceFiles(await readJson(modules)) : [];
  const names = (await readdir(folder)).filter(
    (name) => /\.(json|txt|model)$/.test(name) && !name.endsWith('.index.json'),
  );
  for (const name of new Set([...names, ...below])) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (!found?.isFile()) continue;
    await mkdir(dirname(join(draft, name)), { recursive: true });
    await copyFile(join(folder, name), join(draft, name));
  }
}

function writeOwn(folder: string, path: string, dtype: WeightDtype = 'float32', io: Io): Promise<void> {
  return writeNew('--out', path, async () => {
    const { model, ...weights } = keptAs(await readModel(folder, io), dtype);
    return async (draft) => {
      await writeModel(draft, model.config, weights, dtype);
      io.stdout.write(`${path}: ${model.config.model}, ${dtype}\n`);
    };
  });
}
