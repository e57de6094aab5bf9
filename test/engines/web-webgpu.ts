/** Stands in for `src/engine/node.ts`: the suite runs on ONNX Runtime's WebGPU in a browser. */
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import type { Engine } from '../../src/engine/index.js';
import { webEngine } from '../../src/engine/web.js';

const engine = await webEngine({ provider: 'webgpu', threads: 1, wasmPaths: { wasm, mjs } });

export const nodeEngine = (): Engine => engine;
