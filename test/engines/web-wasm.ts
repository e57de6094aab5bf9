/** Stands in for `src/engine/node.ts`: the suite runs on ONNX Runtime's WebAssembly build in a browser, with threads. */
import type { Engine } from '../../src/engine/index.js';
import { webEngine } from '../../src/engine/web.js';

const engine = await webEngine({ threads: 2 });

export const nodeEngine = (): Engine => engine;
