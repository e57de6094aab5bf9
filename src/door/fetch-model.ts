/** A model from a URL: the folder's config.json and model.safetensors, and its context.json and tokenizer where they are. */
import { messageOf, PerformerError } from '../base/errors.js';
import { isFromFile, tokenizerConfigFile, tokenizerFile } from '../data/index.js';
import { contextFile, type LoadedModel, openModel } from '../models/index.js';

/** Throws CHECKPOINT where a file cannot be had or is no model; CONFIG for options that no model has. */
export async function fetchModel(folder: URL): Promise<LoadedModel> {
  const base = new URL(folder.pathname.endsWith('/') ? folder : `${folder.origin}${folder.pathname}/${folder.search}`);
  const files = new Map<string, Uint8Array>();
  for (const name of ['config.json', 'model.safetensors']) files.set(name, await fetchBytes(new URL(name, base)));
  const others = [contextFile, ...(keepsTokenizer(files) ? [tokenizerFile, tokenizerConfigFile] : [])];
  for (const name of others) {
    const found = await fetch(new URL(name, base)).catch(() => undefined);
    const isThere = found?.ok === true && found.headers.get('content-type')?.includes('json') === true; // no page in its place
    if (isThere) files.set(name, new Uint8Array(await found.arrayBuffer()));
  }
  return openModel(files);
}

/** Whether the folder has a tokenizer's files beside. What its config is else, its reader says. */
function keepsTokenizer(files: ReadonlyMap<string, Uint8Array>): boolean {
  try {
    const config = JSON.parse(new TextDecoder().decode(files.get('config.json'))) as { readonly tokenizer?: unknown };
    return isFromFile(config?.tokenizer);
  } catch {
    return false;
  }
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  const refuse = (got: string, cause?: unknown): never => {
    const advice = 'Give the URL of a folder with config.json and model.safetensors.';
    throw new PerformerError('CHECKPOINT', `loadModel: expected a file at ${url.href}, got ${got}. ${advice}`, {
      cause,
    });
  };
  try {
    const response = await fetch(url);
    if (!response.ok) return refuse(`the status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    if (cause instanceof PerformerError) throw cause;
    return refuse(messageOf(cause), cause);
  }
}
