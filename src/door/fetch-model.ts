/** A model from a URL: the folder's config.json and weights, and its context.json, tokenizer and settings where they are. */
import { messageOf, PerformerError } from '../base/errors.js';
import { isFromFile, tokenizerConfigFile, tokenizerFile } from '../data/index.js';
import { contextFile, filesBeside, isGguf, type LoadedModel, openModel } from '../models/index.js';
import { indexFile, isPretrained, modulesFile, shardsOf } from '../pretrained/index.js';

const weightsFile = 'model.safetensors';

/** Throws CHECKPOINT where a file cannot be had or is no model; CONFIG for options that no model has. */
export async function fetchModel(folder: URL): Promise<LoadedModel> {
  if (isGguf(folder.pathname)) return openModel(new Map([[folder.pathname, await fetchBytes(folder)]]));
  const base = new URL(folder.pathname.endsWith('/') ? folder : `${folder.origin}${folder.pathname}/${folder.search}`);
  const files = new Map<string, Uint8Array>();
  const fetchFile = async (name: string) => void files.set(name, await fetchBytes(new URL(name, base)));
  const fetchOther = async (name: string) => {
    const bytes = await fetchWhereThere(new URL(name, base));
    if (bytes !== undefined) files.set(name, bytes);
  };
  await fetchFile('config.json');
  const config = contentOf(files.get('config.json'));
  const isForeign = isPretrained(config);
  if (isForeign) await fetchOther(indexFile);
  const index = files.get(indexFile);
  const weights = index === undefined ? [weightsFile] : shardsOf(indexFile, contentOf(index)).keys();
  for (const name of weights) await fetchFile(name);
  const { tokenizer } = Object(config) as { readonly tokenizer?: unknown };
  if (isForeign || isFromFile(tokenizer))
    for (const name of [tokenizerFile, tokenizerConfigFile]) await fetchOther(name);
  if (isForeign) {
    await fetchOther(modulesFile);
    const modules = files.get(modulesFile);
    for (const name of filesBeside(modules && contentOf(modules))) await fetchOther(name);
  } else await fetchOther(contextFile);
  return openModel(files);
}

/** The value of a file of JSON; undefined for other text, which its reader refuses. */
function contentOf(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

const isAbsent = [403, 404, 410]; // 403: as stores of objects say it

/** The file; undefined where there is none, or a page in its place, as servers of programs of one page have for all paths. */
async function fetchWhereThere(url: URL): Promise<Uint8Array | undefined> {
  const { status, bytes, type } = await answerOf(url);
  if (isAbsent.includes(status) || type.includes('html')) return undefined;
  return bytes ?? refuse(url, `the status ${status}`);
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  const { status, bytes } = await answerOf(url);
  return bytes ?? refuse(url, `the status ${status}`);
}

/** What a server says; the bytes where it has the file. Many servers, that of Hugging Face too, call JSON plain text. */
async function answerOf(url: URL) {
  try {
    const response = await fetch(url);
    const bytes = response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
    return { status: response.status, bytes, type: response.headers.get('content-type') ?? '' };
  } catch (cause) {
    return refuse(url, messageOf(cause), cause);
  }
}

function refuse(url: URL, got: string, cause?: unknown): never {
  const advice = 'Give the URL of a folder with config.json and model.safetensors, or of a GGUF file.';
  throw new PerformerError('CHECKPOINT', `loadModel: expected a file at ${url.href}, got ${got}. ${advice}`, { cause });
}
