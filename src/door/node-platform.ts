/** The front door in Node: the native engine, and folders on disk. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from '../engine/index.js';
import { nodeEngine } from '../engine/node.js';
import { writeFileAtomic } from '../interop/node.js';
import { loadModel } from '../models/node.js';
import type { Platform } from './platform.js';

let engine: Engine | undefined;

export const platform: Platform = {
  async engine() {
    engine ??= nodeEngine();
    return engine;
  },
  load: (folder) => loadModel(typeof folder === 'string' ? folder : fileURLToPath(folder)),
  async save(folder, files) {
    await mkdir(folder, { recursive: true });
    for (const [name, bytes] of files) await writeFileAtomic(join(folder, name), [bytes]);
  },
};
