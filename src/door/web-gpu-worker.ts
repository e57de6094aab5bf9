/** The front door in a worker of the page that computes on the GPU: an entry of its own, as `engine/web-gpu` is. */
import type { WebEngineOptions } from '../engine/web.js';
import type { RemotePerformer } from './remote-performer.js';
import { type PageWorker, startWorker } from './start-worker.js';

export type { RemotePerformer } from './remote-performer.js';

declare const Worker: new (script: URL, options: { readonly type: 'module' }) => PageWorker;

/**
 * Starts a worker with an engine of its own on the browser's GPU; the functions of the result are those of `performer-ts`.
 *
 * @throws as `webGpuEngine`; DEVICE where there are no workers, as in Node, and where the worker's script does not load.
 */
export async function inGpuWorker(options: WebEngineOptions = {}): Promise<RemotePerformer> {
  // Bundlers find the script by this very expression.
  const make = () => new Worker(new URL('./web-gpu-worker-thread.js', import.meta.url), { type: 'module' });
  return startWorker('inGpuWorker', make, options);
}
