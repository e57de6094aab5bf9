/** A model from a URL: the folder's config.json and model.safetensors, and context.json where there is one. */
import { messageOf, PerformerError } from '../base/errors.js';
import { contextFile, decodeModel, type LoadedModel } from '../models/index.js';

/** Throws CHECKPOINT where a file cannot be had or is no model; CONFIG for options that no model has. */
export async function fetchModel(folder: URL): Promise<LoadedModel> {
  const base = new URL(folder.pathname.endsWith('/') ? folder : `${folder.origin}${folder.pathname}/${folder.search}`);
  const files = new Map<string, Uint8Array>();
  for (const name of ['config.json', 'model.safetensors']) files.set(name, await fetchBytes(new URL(name, base)));
  const context = await fetch(new URL(contextFile, base)).catch(() => undefined);
  const isThere = context?.ok === true && context.headers.get('content-type')?.includes('json') === true; // no page in its place
  if (isThere) files.set(contextFile, new Uint8Array(await context.arrayBuffer()));
  return decodeModel(files);
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
