/**
 * The engine of a browser's GPU: ONNX Runtime's WebAssembly build with WebGPU. It is an entry of its own, so that its file of
 * 27 MB goes into pages that ask for it, and no others.
 */
import { PerformerError } from '../base/errors.js';
import type { Engine } from './engine.js';
import { type GpuDevice, gpuMemory, requestGpu } from './web-gpu-memory.js';
import { type WasmPaths, type WebEngineOptions, WebRuntime } from './web-runtime.js';

export type { WasmPaths, WebEngineOptions } from './web-runtime.js';

const runtime = new WebRuntime('webGpuEngine', () => import('onnxruntime-web/webgpu'));

/** The GPU of the page, which all engines share. */
let gpu: Promise<GpuDevice> | undefined;

/** Where a bundler puts the runtime's files: see `webEngine`. */
function bundledPaths(): WasmPaths {
  return {
    mjs: new URL('onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs', import.meta.url).href,
    wasm: new URL('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm', import.meta.url).href,
  };
}

/**
 * ONNX Runtime on a browser's GPU; ops that have no kernel there run on the processor. Loads the runtime's code; the first
 * compilation loads its files.
 *
 * @throws as `webEngine` does; DEVICE where there is no WebGPU.
 */
export async function webGpuEngine(options: WebEngineOptions = {}): Promise<Engine> {
  if ((options.dtype ?? 'float32') !== 'float32') {
    throw new PerformerError('CONFIG', `webGpuEngine: expected float32 as dtype, got ${options.dtype}. Use webEngine.`);
  }
  gpu ??= requestGpu();
  const device = await gpu;
  const loaded = await runtime.start(options, bundledPaths());
  const memory = gpuMemory(device, loaded.Tensor);
  return runtime.engine(
    loaded,
    { name: 'web-webgpu', target: 'webgpu', memory },
    { name: 'webgpu', device: device as never },
  );
}
