/** The engine of Node: ONNX Runtime's native build. */
import { availableParallelism } from 'node:os';
import type { Engine } from './engine.js';
import { loadNodeRuntime } from './node-runtime.js';
import { ortEngine } from './ort.js';

export { type Profile, type ProfileEntry, type ProfilePlace, readProfiles } from './node-profile.js';

export interface NodeEngineOptions {
  /** ONNX Runtime's execution provider: cpu unless given; cuda and webgpu are passed through. */
  readonly provider?: 'cpu' | 'cuda' | 'webgpu';
  /** Threads for the work inside an op; as many as there are cores unless given. */
  readonly threads?: number;
  /** Writes ONNX Runtime's profile of every session to files that begin with this path. */
  readonly profilePrefix?: string;
}

/**
 * ONNX Runtime in Node. The session options are the fastest that were measured for training and generation.
 *
 * @throws DEVICE where the package onnxruntime-node is not installed or does not load.
 */
export function nodeEngine({ provider = 'cpu', threads, profilePrefix }: NodeEngineOptions = {}): Engine {
  const { InferenceSession, Tensor } = loadNodeRuntime();
  return ortEngine({
    name: `node-${provider}`,
    target: provider === 'webgpu' ? 'webgpu' : 'native',
    tensorClass: Tensor,
    fillsOutputs: true,
    createSession: ({ bytes, externalData }) =>
      InferenceSession.create(bytes, {
        executionProviders: [provider],
        intraOpNumThreads: threads ?? availableParallelism(),
        executionMode: 'sequential',
        enableCpuMemArena: true,
        enableMemPattern: false,
        logSeverityLevel: 4,
        externalData: [...externalData],
        // Threads that go on spinning after a run take the cores from the next session's: up to twice the time.
        extra: { session: { set_denormal_as_zero: '1', force_spinning_stop: '1' } },
        ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
      }),
  });
}
