/** The engine of browsers: ONNX Runtime's WebAssembly build, on the processor. It runs in Node too. */
import type { Engine } from './engine.js';
import { expectProducts } from './ort.js';
import { isNode, type WasmPaths, type WebEngineOptions, WebRuntime } from './web-runtime.js';

export type { WasmPaths, WebEngineOptions } from './web-runtime.js';

const runtime = new WebRuntime('webEngine', () => import('#onnxruntime-web'));

/**
 * Where a bundler puts the runtime's files, which it finds by these very expressions. The .mjs is given so that threads
 * load it: they would load the script that the runtime is bundled into otherwise, which is the application.
 */
function bundledPaths(): WasmPaths {
  return {
    mjs: new URL('onnxruntime-web/ort-wasm-simd-threaded.mjs', import.meta.url).href,
    wasm: new URL('onnxruntime-web/ort-wasm-simd-threaded.wasm', import.meta.url).href,
  };
}

/**
 * ONNX Runtime's WebAssembly in a browser or in Node. Loads the runtime's code; the first compilation loads its files.
 *
 * @throws CONFIG for options out of range, or settings other than those that the page's runtime was started with; DEVICE
 *   for more than one thread on a page that is not cross-origin isolated, and where onnxruntime-web is not installed. A
 *   compilation throws DEVICE where the runtime's files do not load.
 */
export async function webEngine(options: WebEngineOptions = {}): Promise<Engine> {
  expectProducts('webEngine', options.dtype ?? 'float32');
  const loaded = await runtime.start(options, isNode() ? undefined : bundledPaths());
  return runtime.engine(loaded, { name: 'web-wasm', target: 'web', dtype: options.dtype }, 'wasm');
}
