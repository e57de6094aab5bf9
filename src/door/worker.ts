/** The front door in a worker of the page, which stays responsive while a model trains or writes. */
import type { WebEngineOptions } from '../engine/web.js';
import type { RemotePerformer } from './remote-performer.js';
import { type PageWorker, startWorker } from './start-worker.js';

export type { RemotePerformer } from './remote-performer.js';

declare const Worker: new (script: URL, options: { readonly type: 'module' }) => PageWorker;

/**
 * Starts a worker with a WebAssembly engine of its own; the functions of the result are those of `performer-ts`.
 *
 * @throws as `webEngine`; DEVICE where there are no workers, as in Node, and where the worker's script does not load.
 */
export async function inWorker(options: WebEngineOptions = {}): Promise<RemotePerformer> {
  // Bundlers find the script by this very expression.
  const make = () => new Worker(new URL('./worker-thread.js', import.meta.url), { type: 'module' });
  return startWorker('inWorker', make, options);
}
