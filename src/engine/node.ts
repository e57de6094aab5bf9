/** The engine of Node: ONNX Runtime's native build. */
import { availableParallelism } from 'node:os';
import { messageOf, PerformerError } from '../base/errors.js';
import type { ProductDtype } from '../onnx/index.js';
import type { Engine } from './engine.js';
import { loadNodeRuntime } from './node-runtime.js';
import { expectProducts, expectThreads, ortEngine, processorOptimization } from './ort.js';

const providers = ['cpu', 'cuda', 'webgpu'] as const;
type Provider = (typeof providers)[number];

/** How ONNX Runtime runs in Node. */
export interface NodeEngineOptions {
  /** ONNX Runtime's execution provider: cpu unless given; cuda and webgpu are passed through. */
  readonly provider?: Provider | undefined;
  /** Threads for the work inside an op; as many as there are cores unless given. */
  readonly threads?: number | undefined;
  /**
   * How dense layers are computed whose weights are constants, as they are where nothing is trained: with weights of 8 bits and rows
   * rounded as they come (int8), or of 4 bits in blocks of 32 (int4); float32 unless given. All else is float32.
   */
  readonly dtype?: ProductDtype | undefined;
  /** Writes ONNX Runtime's profile of every session to files that begin with this path. */
  readonly profilePrefix?: string | undefined;
}

/**
 * ONNX Runtime in Node. The session options are the fastest that were measured for training and generation, and leave the
 * arithmetic of the process as it is: a session that flushes denormals to zero would do so to JavaScript's own thread.
 *
 * Nothing leaves the machine: the runtime's telemetry is switched off for the process before it is loaded.
 *
 * @throws CONFIG for options out of range; DEVICE where the package onnxruntime-node is not installed or does not load, and
 *   in a worker of a process in which no engine was made yet and `ORT_DISABLE_TELEMETRY=1` is not set: a worker cannot set it.
 */
export function nodeEngine({
  provider = 'cpu',
  threads = availableParallelism(),
  dtype = 'float32',
  profilePrefix,
}: NodeEngineOptions = {}): Engine {
  expectThreads('nodeEngine', threads);
  if (!providers.includes(provider)) {
    throw new PerformerError('CONFIG', `nodeEngine: expected ${providers.join(', ')} as provider, got ${provider}.`);
  }
  expectProducts('nodeEngine', dtype);
  const { InferenceSession, Tensor } = loadNodeRuntime();
  return ortEngine({
    name: `node-${provider}`,
    target: provider === 'webgpu' ? 'webgpu' : 'native',
    dtype,
    tensorClass: Tensor,
    fillsOutputs: true,
    createSession: ({ bytes, externalData }) => {
      const session = InferenceSession.create(bytes, {
        executionProviders: [provider],
        intraOpNumThreads: threads,
        executionMode: 'sequential',
        graphOptimizationLevel: processorOptimization,
        enableCpuMemArena: true,
        enableMemPattern: false,
        logSeverityLevel: 4,
        externalData: [...externalData],
        // Threads that go on spinning after a run take the cores from the next session's: up to twice the time.
        extra: { session: { force_spinning_stop: '1' } },
        ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
      });
      return provider === 'cpu' ? session : session.catch((cause: unknown) => refuseProvider(provider, cause));
    },
  });
}

/** A provider that is not installed, or has no device, is found out by the first session. */
function refuseProvider(provider: Provider, cause: unknown): never {
  const reason = messageOf(cause).replace(/^.* was false\. |^OrtSessionOptionsAppend\w+: /s, '');
  throw new PerformerError(
    'DEVICE',
    `nodeEngine: expected the provider ${provider}, got: ${reason.trim()}. ` +
      'Install its driver and libraries, or use the provider cpu.',
    { cause },
  );
}
