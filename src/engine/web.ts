/**
 * The engine of browsers: ONNX Runtime's WebAssembly build, on the processor or on the GPU through WebGPU. It runs in
 * Node too (wasm).
 *
 * The runtime is one for the whole page and takes its settings once: engines of one provider share them.
 */
import type { InferenceSession } from 'onnxruntime-common';
import { PerformerError } from '../base/errors.js';
import type { Engine } from './engine.js';
import { ortEngine } from './ort.js';
import { type GpuDevice, gpuMemory, requestGpu } from './web-gpu.js';

export interface WebEngineOptions {
  /** wasm computes on the processor, webgpu on the GPU (ops that it lacks run on the processor); wasm unless given. */
  readonly provider?: 'wasm' | 'webgpu';
  /** Threads, from 1; as many as there are cores, up to 4, unless given. More than one needs a cross-origin isolated page. */
  readonly threads?: number;
  /** Where ONNX Runtime's files are served: URLs of the .wasm and of the .mjs that belongs to it (see docs/engines.md). */
  readonly wasmPaths?: { readonly wasm: string; readonly mjs: string };
}

type Runtime = Pick<typeof import('onnxruntime-common'), 'InferenceSession' | 'Tensor' | 'env'>;
type Provider = NonNullable<WebEngineOptions['provider']>;

/** The builds of the runtime: that with WebGPU is twice as large, and not needed without. */
const builds: Readonly<Record<Provider, () => Promise<Runtime>>> = {
  wasm: () => import('#onnxruntime-web'),
  webgpu: () => import('onnxruntime-web/webgpu'),
};

/** The settings that each build was started with. */
const started = new Map<Provider, string>();

/** What a page has of these, and Node not. */
interface PageGlobals {
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: { readonly hardwareConcurrency?: number };
}

/** Threads that this place allows: WebAssembly shares memory between them, which pages must be isolated for. */
function checkThreads(threads: number | undefined): number {
  const { crossOriginIsolated, navigator } = globalThis as PageGlobals;
  const isAllowed = typeof SharedArrayBuffer !== 'undefined' && crossOriginIsolated !== false;
  if (threads === undefined) return isAllowed ? Math.min(4, navigator?.hardwareConcurrency ?? 1) : 1;
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new PerformerError('CONFIG', `webEngine: expected a positive integer as threads, got ${threads}.`);
  }
  if (threads > 1 && !isAllowed) {
    const advice =
      'Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.';
    throw new PerformerError(
      'DEVICE',
      `webEngine: expected a cross-origin isolated page for ${threads} threads, got one that is not. ${advice}`,
    );
  }
  return threads;
}

/** Loads the runtime of a provider and gives it its settings. */
async function loadRuntime(
  provider: Provider,
  threads: number,
  wasmPaths: WebEngineOptions['wasmPaths'],
): Promise<Runtime> {
  const settings = JSON.stringify({ threads, wasmPaths });
  const before = started.get(provider);
  if (before !== undefined && before !== settings) {
    const advice = 'A page has one runtime for each provider: give all its engines the same settings.';
    throw new PerformerError('CONFIG', `webEngine: expected the settings ${before}, got ${settings}. ${advice}`);
  }
  started.set(provider, settings);
  const runtime = await builds[provider]();
  runtime.env.wasm.numThreads = threads;
  if (wasmPaths !== undefined) runtime.env.wasm.wasmPaths = { ...wasmPaths };
  return runtime;
}

/** Work in turns: the runtime of a page is one, and a call that waits must not be overtaken by another. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

const turns: Readonly<Record<Provider, Turns>> = { wasm: new Turns(), webgpu: new Turns() };

/** The GPU of the page, which all engines share. */
let gpu: Promise<GpuDevice> | undefined;

/**
 * ONNX Runtime in a browser, or in Node (wasm). Loads the runtime.
 *
 * @throws CONFIG for options out of range, or settings other than those that the page's runtime was started with; DEVICE
 *   for more than one thread on a page that is not cross-origin isolated, and where there is no WebGPU.
 */
export async function webEngine({ provider = 'wasm', threads, wasmPaths }: WebEngineOptions = {}): Promise<Engine> {
  const threadCount = checkThreads(threads);
  if (provider === 'webgpu') gpu ??= requestGpu();
  const device = provider === 'webgpu' ? await gpu : undefined;
  const { InferenceSession: Session, Tensor } = await loadRuntime(provider, threadCount, wasmPaths);
  const executionProvider = device === undefined ? 'wasm' : { name: 'webgpu', device: device as never };
  const inTurn = turns[provider];
  return ortEngine({
    name: `web-${provider}`,
    target: provider === 'webgpu' ? 'webgpu' : 'web',
    tensorClass: Tensor,
    fillsOutputs: false,
    ...(device === undefined ? {} : { memory: gpuMemory(device, Tensor) }),
    async createSession({ bytes, externalData }): Promise<Pick<InferenceSession, 'run' | 'release'>> {
      const session = await inTurn.take(() =>
        Session.create(bytes, {
          executionProviders: [executionProvider],
          logSeverityLevel: 4,
          externalData: [...externalData],
        }),
      );
      return {
        run: (...args: Parameters<InferenceSession['run']>) => inTurn.take(() => session.run(...args)),
        release: () => inTurn.take(() => session.release()),
      } as Pick<InferenceSession, 'run' | 'release'>;
    },
  });
}
