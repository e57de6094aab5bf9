/** The front door in a worker of the page, which stays responsive while a model trains or writes. */
import { PerformerError } from '../base/errors.js';
import type { WebEngineOptions } from '../engine/web.js';
import type { MessageEnd } from './remote-calls.js';
import { Connection, type RemotePerformer, remotePerformer } from './remote-performer.js';

export type { RemotePerformer } from './remote-performer.js';

interface PageWorker extends MessageEnd {
  onerror: ((event: { readonly message?: string }) => void) | null;
  terminate(): void;
}

declare const Worker: new (script: URL, options: { readonly type: 'module' }) => PageWorker;

/**
 * Starts a worker with an engine of its own; the functions of the result are those of `performer-ts`.
 *
 * @throws as `webEngine`; DEVICE where there are no workers, as in Node, and where the worker's script does not load.
 */
export async function inWorker(options: WebEngineOptions = {}): Promise<RemotePerformer> {
  if (typeof Worker === 'undefined') {
    throw new PerformerError(
      'DEVICE',
      'inWorker: expected a browser, got a place without its workers. In Node the engine computes on threads of its own: ' +
        'call the functions of performer-ts.',
    );
  }
  // Bundlers find the script by this very expression.
  const worker = new Worker(new URL('./worker-thread.js', import.meta.url), { type: 'module' });
  const connection = new Connection(worker);
  worker.onerror = ({ message }) => {
    const got = message || 'a script that did not load';
    connection.fail(new PerformerError('DEVICE', `inWorker: expected a worker that runs, got ${got}.`));
  };
  try {
    await connection.call('start', [options]);
  } catch (cause) {
    worker.terminate();
    throw cause;
  }
  return remotePerformer(connection, () => worker.terminate());
}
