/** The front door in a browser: the WebAssembly engine, and models from URLs. */
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import { webEngine } from '../engine/web.js';
import { fetchModel } from './fetch-model.js';
import type { Platform } from './platform.js';

let engine: Promise<Engine> | undefined;

/** What a page or a worker has, and Node not. */
const { location } = globalThis as { readonly location?: { readonly href: string } };

export const platform: Platform = {
  async engine() {
    engine ??= webEngine();
    try {
      return await engine;
    } catch (cause) {
      engine = undefined;
      throw cause;
    }
  },
  load: (place) => fetchModel(new URL(place, location?.href)),
  async save(folder) {
    throw new PerformerError(
      'USAGE',
      `saveModel: expected Node to write the folder ${folder}, got a browser. Leave the folder out: the files are returned.`,
    );
  },
};
