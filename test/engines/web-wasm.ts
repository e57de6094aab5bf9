/** Stands in for `src/engine/node.ts`: the suite runs on ONNX Runtime's WebAssembly build in a browser, with threads. */
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import type { Engine } from '../../src/engine/index.js';
import { webEngine } from '../../src/engine/web.js';

const engine = await webEngine({ threads: 2, wasmPaths: { wasm, mjs } });

export const nodeEngine = (): Engine => engine;
