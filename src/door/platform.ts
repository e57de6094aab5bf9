/** What differs between Node and a browser for the front door; package.json chooses one (`#platform`). */
import type { Engine } from '../engine/index.js';
import type { LoadedModel } from '../models/index.js';

export interface Platform {
  /** The engine that is taken where none is given: one for the whole process or page. */
  engine(): Promise<Engine>;
  /** A model by a text: a folder's path in Node, and a URL relative to the page in a browser; or by the URL of a file. */
  load(place: string | URL): Promise<LoadedModel>;
  /** Writes files by name into a folder, which is made where there is none. */
  save(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void>;
}
