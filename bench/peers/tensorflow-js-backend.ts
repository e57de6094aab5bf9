/**
 * The WebAssembly backend of TensorFlow.js in Node, with SIMD and with one thread or several.
 *
 * The package holds the files for threads, and they work in Node, but its own start passes them over there; so they are
 * started here. They use at most half of the cores that the system tells of: it is made to tell of enough.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BackendWasm, getThreadsCount, setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { ready, registerBackend, removeBackend, setBackend } from '@tensorflow/tfjs-core';

const require = createRequire(import.meta.url);
const folder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'));

/** What Emscripten makes of the WebAssembly. */
type WasmModule = ConstructorParameters<typeof BackendWasm>[0] & {
  cwrap(name: string, returns: 'number' | null, parameters: readonly 'number'[]): () => number;
};

interface FactorySettings {
  readonly mainScriptUrlOrBlob: string;
  locateFile(name: string, prefix: string): string;
}

export async function startTensorFlow(threads: number): Promise<void> {
  if (threads === 1) {
    setWasmPaths(join(folder, 'dist/'));
  } else {
    const module = await threadedModule(threads);
    setThreadsCount(threads);
    removeBackend('wasm');
    registerBackend('wasm', () => new BackendWasm(module));
  }
  await setBackend('wasm');
  await ready();
  if (getThreadsCount() !== threads) throw new Error(`expected ${threads} threads, got ${getThreadsCount()}`);
}

async function threadedModule(threads: number): Promise<WasmModule> {
  const file = (name: string) => join(folder, 'wasm-out', `tfjs-backend-wasm-threaded-simd.${name}`);
  const factory = require(file('js')) as (settings: FactorySettings) => Promise<WasmModule>;
  const { wasmWorkerContents } = require(file('worker.js')) as { wasmWorkerContents: string };
  require('node:os').cpus = () => Array(2 * threads);
  const own = await mkdtemp(join(tmpdir(), 'performer-bench-'));
  try {
    const worker = join(own, 'worker.cjs');
    await writeFile(worker, wasmWorkerContents.replaceAll('\n', '\\n'));
    const module = await factory({
      mainScriptUrlOrBlob: file('js'),
      locateFile: (name, prefix) => (name.endsWith('.worker.js') ? worker : prefix + name),
    });
    const numbers = (count: number) => Array<'number'>(count).fill('number');
    module.tfjs = {
      init: module.cwrap('init', null, []),
      initWithThreadsCount: module.cwrap('init_with_threads_count', null, numbers(1)),
      getThreadsCount: module.cwrap('get_threads_count', 'number', []),
      registerTensor: module.cwrap('register_tensor', null, numbers(3)),
      disposeData: module.cwrap('dispose_data', null, numbers(1)),
      dispose: module.cwrap('dispose', null, []),
    };
    return module;
  } finally {
    await rm(own, { recursive: true });
  }
}
