/** Starts the worker of a page, and gives the front door of which it answers the calls. */
import { PerformerError } from '../base/errors.js';
import type { WebEngineOptions } from '../engine/web.js';
import type { MessageEnd } from './remote-calls.js';
import { Connection, type RemotePerformer, remotePerformer } from './remote-performer.js';

export interface PageWorker extends MessageEnd {
  onerror: ((event: { readonly message?: string }) => void) | null;
  terminate(): void;
}

/** Throws DEVICE where there are no workers, as in Node, and where the script does not load; what the engine throws. */
export async function startWorker(
  where: string,
  makeWorker: () => PageWorker,
  options: WebEngineOptions,
): Promise<RemotePerformer> {
  // ONNX Runtime's files for browsers set a Worker in Node, too, which is not one of a page.
  if (!('Worker' in globalThis && 'addEventListener' in globalThis)) {
    throw new PerformerError(
      'DEVICE',
      `${where}: expected a browser, got a place without its workers. In Node the engine computes on threads of its own: ` +
        'call the functions of performer-ts.',
    );
  }
  const worker = makeWorker();
  const connection = new Connection(worker);
  worker.onerror = ({ message }) => {
    const got = message || 'a script that did not load';
    connection.fail(new PerformerError('DEVICE', `${where}: expected a worker that runs, got ${got}.`));
  };
  try {
    await connection.call('start', [options]);
  } catch (cause) {
    worker.terminate();
    throw cause;
  }
  return remotePerformer(connection, () => worker.terminate());
}
