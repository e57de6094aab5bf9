/** A process of TensorFlow.js, seen from outside: see peers/tensorflow-js.ts. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AttentionArrays, AttentionSizes, PeerForm, PeerRequest, PeerResult } from './tensorflow-js.js';

/** What TensorFlow.js can have. */
export const mostThreads = 8;

export interface TensorFlowProcess {
  readonly threads: number;
  /** Hands over the arrays of the runs to come. */
  give(arrays: AttentionArrays, sizes: AttentionSizes): Promise<void>;
  run(form: PeerForm, returns: PeerResult): Promise<Float32Array>;
  /** Ends the process. Throws what it printed, if anything: TensorFlow.js warns of wrong uses. */
  end(): Promise<void>;
}

export async function startTensorFlowProcess(threads: number): Promise<TensorFlowProcess> {
  const child = fork(fileURLToPath(new URL('peers/tensorflow-js.js', import.meta.url)), {
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) => {
      printed += data;
    });
  }
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ask = (request: PeerRequest) =>
    new Promise((resolve, reject) => {
      child.once('message', resolve);
      closed.then(() => reject(new Error(`TensorFlow.js ended: ${printed.slice(-2000)}`)));
      child.send(request);
    });
  await ask({ kind: 'start', threads });
  return {
    threads,
    async give(arrays, sizes) {
      await ask({ kind: 'give', arrays, sizes });
    },
    async run(form, returns) {
      return (await ask({ kind: 'run', form, returns })) as Float32Array;
    },
    async end() {
      child.kill();
      await closed;
      if (printed !== '') throw new Error(`TensorFlow.js printed: ${printed.slice(0, 2000)}`);
    },
  };
}
