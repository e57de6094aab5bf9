/**
 * What the engines of browsers share: ONNX Runtime's WebAssembly build, with or without WebGPU, its settings and its turns.
 *
 * A build of the runtime is one for the whole page and takes its settings once: its engines share them.
 */
import type { env, InferenceSession, TensorConstructor } from 'onnxruntime-common';
import { messageOf, PerformerError } from '../base/errors.js';
import type { ProductDtype } from '../onnx/index.js';
import type { Engine } from './engine.js';
import { missingRuntime } from './missing-runtime.js';
import { expectThreads, type OrtEngineOptions, ortEngine, processorOptimization, silence } from './ort.js';

/** How ONNX Runtime runs as WebAssembly. A page has one runtime, with the options of its first engine. */
export interface WebEngineOptions {
  /** How dense layers are computed whose weights are constants: see `NodeEngineOptions`. float32 unless given, and on WebGPU. */
  readonly dtype?: ProductDtype | undefined;
  /** Threads, from 1; as many as there are cores, up to 4, unless given. More than one needs a cross-origin isolated page. */
  readonly threads?: number | undefined;
  /**
   * Where ONNX Runtime's files are served: URLs of the .wasm and of the .mjs that belongs to it. Bundlers that know
   * `new URL(…, import.meta.url)` find both by themselves (see docs/engines.md).
   */
  readonly wasmPaths?: WasmPaths | undefined;
}

/** URLs of the two files of the runtime, which belong together. */
export interface WasmPaths {
  readonly wasm: string;
  readonly mjs: string;
}

interface Runtime {
  readonly InferenceSession: { create: (typeof InferenceSession)['create'] };
  readonly Tensor: TensorConstructor;
  readonly env: typeof env;
}

interface PageWorker {
  onerror: (() => void) | null;
  terminate(): void;
}

/** What a page or a worker has of these, and Node not. */
interface PageGlobals {
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: { readonly hardwareConcurrency?: number };
  readonly Worker?: new (script: string, options: { readonly type: 'module' }) => PageWorker;
  readonly process?: { readonly versions?: { readonly node?: string } };
}

/** Node's build of the runtime finds its files itself. */
export function isNode(): boolean {
  return (globalThis as PageGlobals).process?.versions?.node !== undefined;
}

/** Threads that this place allows: WebAssembly shares memory between them, which pages must be isolated for. */
function checkThreads(where: string, threads: number | undefined): number {
  const { crossOriginIsolated, navigator } = globalThis as PageGlobals;
  const isAllowed = typeof SharedArrayBuffer !== 'undefined' && crossOriginIsolated !== false;
  if (threads === undefined) return isAllowed ? Math.min(4, navigator?.hardwareConcurrency ?? 1) : 1;
  expectThreads(where, threads);
  if (threads > 1 && !isAllowed) {
    const advice =
      'Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.';
    throw new PerformerError(
      'DEVICE',
      `${where}: expected a cross-origin isolated page for ${threads} threads, got one that is not. ${advice}`,
    );
  }
  return threads;
}

/** Work in turns: a runtime is one, and a call that waits must not be overtaken by another. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** One build of the runtime. */
export class WebRuntime {
  readonly #where: string;
  readonly #load: () => Promise<Runtime>;
  readonly #turns = new Turns();
  /** The settings that it was started with. */
  #settings: string | undefined;
  /** What its threads load, where it has any in a page. */
  #threadScript: string | undefined;
  #isLoaded = false;

  /** `where` names the function that makes its engines, and `load` imports it. */
  constructor(where: string, load: () => Promise<Runtime>) {
    this.#where = where;
    this.#load = load;
  }

  /** Loads the runtime's code. Throws CONFIG for other settings than those before; DEVICE where it is not installed. */
  async start({ threads, wasmPaths }: WebEngineOptions, defaultPaths: WasmPaths | undefined): Promise<Runtime> {
    const threadCount = checkThreads(this.#where, threads);
    const paths = wasmPaths ?? defaultPaths;
    const settings = JSON.stringify({ threads: threadCount, wasmPaths: paths });
    if (this.#settings !== undefined && this.#settings !== settings) {
      const advice = 'A page has one runtime for each build: give all its engines the same settings.';
      throw new PerformerError(
        'CONFIG',
        `${this.#where}: expected the settings ${this.#settings}, got ${settings}. ${advice}`,
      );
    }
    const runtime = await this.#load().catch((cause: unknown) => {
      throw missingRuntime(this.#where, 'onnxruntime-web', cause);
    });
    this.#settings = settings;
    this.#threadScript = threadCount > 1 ? paths?.mjs : undefined;
    silence(runtime.env);
    runtime.env.wasm.numThreads = threadCount;
    if (paths !== undefined) runtime.env.wasm.wasmPaths = { ...paths };
    return runtime;
  }

  /** An engine on the runtime, given what its sessions compute on. */
  engine(
    { InferenceSession: Session, Tensor }: Runtime,
    options: Pick<OrtEngineOptions, 'name' | 'target' | 'dtype' | 'memory'>,
    executionProvider: InferenceSession.ExecutionProviderConfig,
  ): Engine {
    return ortEngine({
      ...options,
      tensorClass: Tensor,
      fillsOutputs: false,
      createSession: async ({ bytes, externalData }) => {
        const session = await this.#turns.take(() =>
          this.#whileLoading(
            Session.create(bytes, {
              executionProviders: [executionProvider],
              graphOptimizationLevel: options.target === 'webgpu' ? 'all' : processorOptimization,
              logSeverityLevel: 4,
              externalData: [...externalData],
            }),
          ),
        );
        return {
          run: (...args: Parameters<InferenceSession['run']>) => this.#turns.take(() => session.run(...args)),
          release: () => this.#turns.take(() => session.release()),
        } as Pick<InferenceSession, 'run' | 'release'>;
      },
    });
  }
  /** The first session loads the runtime's files and starts its threads. Throws DEVICE, with what to do, where that fails. */
  async #whileLoading<T>(session: Promise<T>): Promise<T> {
    if (this.#isLoaded) return session;
    const thread = this.#threadScript === undefined ? undefined : failedThread(this.#threadScript);
    try {
      const loaded = await (thread === undefined ? session : Promise.race([session, thread.failure]));
      this.#isLoaded = true;
      return loaded;
    } catch (cause) {
      const isOurs = cause instanceof WorkerFailure || /no available backend found/.test(messageOf(cause));
      if (!isOurs) throw cause;
      const advice =
        'Serve that .mjs and that .wasm of onnxruntime-web from the origin of the page, with the headers of the page ' +
        '(Cross-Origin-Embedder-Policy), and give their URLs as wasmPaths: see docs/engines.md.';
      const expected = `${this.#where}: expected ONNX Runtime to load with ${this.#settings}`;
      throw new PerformerError('DEVICE', `${expected}, got ${messageOf(cause)}. ${advice}`, { cause });
    } finally {
      thread?.end();
    }
  }
}

/** A thread that the browser refused. */
class WorkerFailure extends Error {}

/**
 * Rejects when a thread does not start, as on a server whose page has the headers of isolation and whose scripts have not.
 * The runtime misses that event and waits for ever, so a worker of its script is started beside it, which does nothing.
 */
function failedThread(script: string): { readonly failure: Promise<never>; end(): void } {
  let worker: PageWorker | undefined;
  const failure = new Promise<never>((_, reject) => {
    try {
      worker = new (globalThis as PageGlobals).Worker!(script, { type: 'module' });
      worker.onerror = () => reject(new WorkerFailure('a thread that did not start'));
    } catch {
      // The script is of another origin: the runtime copies it.
    }
  });
  return { failure, end: () => worker?.terminate() };
}
