/** Stands in for `src/engine/node.ts`: the suite runs on ONNX Runtime's WebGPU in a browser. */
import type { Engine } from '../../src/engine/index.js';
import { webGpuEngine } from '../../src/engine/web-gpu.js';

const engine = await webGpuEngine({ threads: 1 });

export const nodeEngine = (): Engine => engine;
