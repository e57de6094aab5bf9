/** The page's side of the front door in a worker: the same functions, whose work is done over there. */
import { PerformerError } from '../base/errors.js';
import type { ModelKind } from '../models/index.js';
import type { AttentionArrays, AttentionOptions } from './attention.js';
import { type AnyModel, streamingMethods } from './kinds.js';
import { GeneratedText, type GenerationOptions } from './language-model.js';
import type { Answer, CallName, ErrorAnswer, MessageEnd, ModelHandle, RemoteCalls, Request } from './remote-calls.js';
import type { CreateModel, CreateModelOptions, From, LoadModel, ModelSource, TrainModel } from './signatures.js';
import { dataInMemory, type TrainingData } from './training-data.js';
import type { TrainingProgress, TrainModelOptions } from './training-options.js';

/** The functions of the front door, whose engine is the worker's. */
export interface RemotePerformer {
  /** See `attention` of `performer-ts`. */
  attention(arrays: AttentionArrays, options?: Omit<AttentionOptions, 'engine'>): Promise<Float32Array>;
  /** See `createModel` of `performer-ts`. */
  readonly createModel: CreateModel<unknown, unknown>;
  /**
   * See `trainModel` of `performer-ts`. The training does not wait for `onProgress`; what it goes on from is a model of this
   * worker, and data that come one by one, or from a source, are gathered in memory first.
   */
  readonly trainModel: TrainModel<unknown, unknown>;
  /** See `loadModel` of `performer-ts`; a text is a URL relative to the page. */
  readonly loadModel: LoadModel<unknown, unknown>;
  /** Ends the worker. What is under way rejects with USAGE, and its models are gone. */
  dispose(): void;
}

interface Pending {
  resolve(value: unknown): void;
  reject(cause: unknown): void;
  tell(value: unknown): void;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly tell?: ((value: never) => void) | undefined;
}

/** Calls over a pair of message ends. */
export class Connection {
  readonly #pending = new Map<number, Pending>();
  #count = 0;
  /** Why nothing is answered any more. */
  #failure: PerformerError | undefined;

  constructor(private readonly end: MessageEnd) {
    end.onmessage = ({ data }) => this.#take(data as Answer);
  }

  /** The answer to a call. Once the signal is given the call is cancelled, and an error of it is the signal's reason. */
  call<K extends CallName>(
    name: K,
    args: Parameters<RemoteCalls[K]>,
    { signal, tell = () => {} }: CallOptions = {},
  ): Promise<ReturnType<RemoteCalls[K]>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#count += 1;
    const id = this.#count;
    const send = (request: Request) => this.end.postMessage(request);
    const cancel = () => send({ cancelled: id });
    const answer = new Promise<ReturnType<RemoteCalls[K]>>((resolve, reject) => {
      const refuse = (cause: unknown) => reject(signal?.aborted ? signal.reason : cause);
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject: refuse, tell: tell as Pending['tell'] });
      send({ id, name, args });
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel);
    });
    return answer.finally(() => {
      this.#pending.delete(id);
      signal?.removeEventListener('abort', cancel);
    });
  }

  /** Rejects all calls, those under way and those to come. */
  fail(failure: PerformerError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#pending.values()) reject(failure);
  }

  #take(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (answer.kind === 'told') pending?.tell(answer.value);
    else if (answer.kind === 'value') pending?.resolve(answer.value);
    else pending?.reject(errorOf(answer));
  }
}

function errorOf({ code, message }: ErrorAnswer): Error {
  return code === undefined ? new Error(message) : new PerformerError(code, message);
}

/** The front door over a connection whose other end is served; `end` ends the worker. */
export function remotePerformer(connection: Connection, end: () => void): RemotePerformer {
  /** The numbers of the models that the worker holds. */
  const numbers = new WeakMap<object, number>();
  const modelOf = (handle: ModelHandle) => {
    const model = remoteModel(connection, handle);
    numbers.set(model, handle.model);
    return model;
  };
  const numberOf = (model: object) => {
    const number = numbers.get(model);
    if (number !== undefined) return number;
    throw new PerformerError('USAGE', 'trainModel: expected a model of this worker to go on from, got another.');
  };
  const create = async (options: CreateModelOptions = {}) => modelOf(await connection.call('createModel', [options]));
  const train = async (
    given: TrainingData,
    { onProgress, signal, from, ...options }: TrainModelOptions & From<AnyModel> = {},
  ) => {
    const tell = (progress: TrainingProgress) => void onProgress?.(progress);
    const sent = { ...options, from: from && numberOf(from) };
    return modelOf(await connection.call('trainModel', [await dataInMemory(given), sent], { signal, tell }));
  };
  const load = async (source: ModelSource, { kind }: { readonly kind?: ModelKind | undefined } = {}) => {
    const { location } = globalThis as { readonly location?: { readonly href: string } };
    const place = source instanceof Map ? source : new URL(source as string | URL, location?.href).href;
    return modelOf(await connection.call('loadModel', [place, kind]));
  };
  return {
    attention: (arrays, options = {}) => connection.call('attention', [arrays, options]),
    createModel: create as CreateModel<unknown, unknown>,
    trainModel: train as TrainModel<unknown, unknown>,
    loadModel: load as LoadModel<unknown, unknown>,
    dispose() {
      end();
      connection.fail(new PerformerError('USAGE', 'worker: expected a live worker, got one disposed of.'));
    },
  };
}

/** A model with the methods of its kind, each of which asks the worker. */
function remoteModel(connection: Connection, { model, facts, methods }: ModelHandle): AnyModel {
  const asking = (name: string) =>
    streamingMethods.includes(name)
      ? (prompt: unknown, options: GenerationOptions = {}) =>
          new GeneratedText(() => remotePieces(connection, [model, name, prompt], options))
      : (...args: readonly unknown[]) => connection.call('ask', [model, name, args]);
  const own = Object.fromEntries(methods.map((name) => [name, asking(name)]));
  return { ...facts, ...own, dispose: () => connection.call('dispose', [model]) } as unknown as AnyModel;
}

/** The pieces of a text as they are told; a loop that is left cancels the generation. */
async function* remotePieces(
  connection: Connection,
  what: readonly [model: number, method: string, prompt: unknown],
  { signal, onNote, ...options }: GenerationOptions,
): AsyncGenerator<string, void, void> {
  const told: string[] = [];
  let wake = () => {};
  let isDone = false;
  const left = new AbortController();
  const tell = (piece: string | { readonly note: string }) => {
    if (typeof piece !== 'string') return onNote?.(piece.note);
    told.push(piece);
    wake();
  };
  const both = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
  const call = connection.call('stream', [...what, options], { signal: both, tell });
  const end = () => {
    isDone = true;
    wake();
  };
  call.then(end, end);
  try {
    while (true) {
      while (told.length > 0) yield told.shift() as string;
      if (isDone) return await call;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    left.abort();
  }
}
