/** Models of folders whose files are in memory, ours and those of other systems. */
import { PerformerError } from '../base/errors.js';
import { huggingFaceTokenizer, isFromFile, openTokenizer, tokenizerFile } from '../data/index.js';
import { decodeSafetensors } from '../interop/index.js';
import { isPretrained } from '../pretrained/index.js';
import { contextFile } from './context.js';
import {
  checkTokenizer,
  configFile,
  jsonOf,
  type LoadedModel,
  modelFromFiles,
  type ReadOptions,
  weightsFile,
} from './folder.js';
import { decodeGguf, isGguf } from './gguf-model.js';
import { decodePretrained } from './pretrained-folder.js';

/**
 * The model of a folder whose files are in memory: config.json and model.safetensors, and tokenizer.json and context.json
 * where they are. `openTokenizer` must have made a tokenizer known that is kept in such a file.
 *
 * @throws CHECKPOINT or CONFIG where they are not a model, not whole, or not as they were saved.
 */
export function decodeModel(files: ReadonlyMap<string, Uint8Array>, options: ReadOptions = {}): LoadedModel {
  const bytes = (name: string) => {
    const found = files.get(name);
    if (found !== undefined) return found;
    const got = [...files.keys()].join(', ') || 'none';
    throw new PerformerError('CHECKPOINT', `decodeModel: expected the file ${name}, got ${got}.`);
  };
  const content = jsonOf(configFile, bytes(configFile));
  if (isPretrained(content)) {
    return decodePretrained(files, content, options);
  }
  const file = decodeSafetensors(weightsFile, bytes(weightsFile));
  const other = files.has(contextFile) && { where: contextFile, content: jsonOf(contextFile, bytes(contextFile)) };
  const where = { config: configFile, weights: weightsFile };
  const loaded = modelFromFiles(where, content, file, { ...options, context: other || undefined });
  if (files.has(tokenizerFile) && !isFromFile(loaded.model.config.tokenizer)) {
    checkTokenizer(tokenizerFile, loaded.model.config, jsonOf(tokenizerFile, bytes(tokenizerFile)));
  }
  return loaded;
}

/** The same, with the tokenizer that the folder keeps; or the model of one GGUF file. */
export async function openModel(files: ReadonlyMap<string, Uint8Array>, options?: ReadOptions): Promise<LoadedModel> {
  const [gguf] = [...files].filter(([name]) => isGguf(name));
  if (gguf !== undefined) return decodeGguf(...gguf, options);
  const config = files.get(configFile);
  const content = config === undefined ? undefined : jsonOf(configFile, config);
  if (isPretrained(content)) {
    if (files.has(tokenizerFile)) await huggingFaceTokenizer(files);
  } else if (content !== undefined) await openTokenizer(content, async () => files);
  return decodeModel(files, options);
}
