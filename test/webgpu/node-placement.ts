/** Where ONNX Runtime puts the nodes of a graph: on the GPU, or on the processor for want of a kernel. */

import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import { env, InferenceSession } from 'onnxruntime-web/webgpu';
import type { TracedGraph } from '../../src/graph/index.js';
import { encodeModel } from '../../src/onnx/index.js';

env.wasm.wasmPaths = { wasm, mjs };
env.wasm.numThreads = 1;
env.logLevel = 'verbose';

export interface Placement {
  /** Nodes by op, on the GPU and on the processor. */
  readonly gpu: ReadonlyMap<string, number>;
  readonly processor: ReadonlyMap<string, number>;
}

/** The lines that the runtime logs; it keeps the console that it finds at its start. */
let logged: string[] = [];

for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
  const write = console[level].bind(console);
  console[level] = (...words: unknown[]) => {
    const line = words.join(' ');
    if (/\[[VIW]:onnxruntime/.test(line)) logged.push(line);
    else write(...words);
  };
}

/** Plans a session for a graph, and reads from the runtime's log what was put where. */
export async function placementOf(graph: TracedGraph): Promise<Placement> {
  const { bytes, externalData } = encodeModel(graph, 'webgpu');
  logged = [];
  const session = await InferenceSession.create(bytes, {
    executionProviders: ['webgpu'],
    externalData: [...externalData],
    logSeverityLevel: 0,
  });
  await session.release();
  const counts = { gpu: new Map<string, number>(), processor: new Map<string, number>() };
  let side: Map<string, number> | undefined;
  for (const line of logged) {
    if (!line.includes('VerifyEachNodeIsAssignedToAnEp')) continue;
    const [, provider] = /placed on \[(\w+)\]/.exec(line) ?? [];
    if (provider !== undefined) {
      side = provider === 'WebGpuExecutionProvider' ? counts.gpu : counts.processor;
      continue;
    }
    const [, op] = /VerifyEachNodeIsAssignedToAnEp\]\s+(\w+) \(/.exec(line) ?? [];
    if (op !== undefined && side !== undefined) side.set(op, (side.get(op) ?? 0) + 1);
  }
  return counts;
}
