/** What the models of the front door have in common: what they compile and keep, embeddings, files, and their end. */
import { PerformerError } from '../base/errors.js';
import { parameterCount } from '../base/layout.js';
import type { Engine } from '../engine/index.js';
import {
  createEmbedder,
  type EmbeddingOptions,
  encodeModel,
  type GivenTokens,
  type LoadedModel,
  type ModelConfig,
  tokenConfig,
} from '../models/index.js';

/** What every model has, whatever its kind. */
export interface BasicModel {
  /** All options of the model, those that were not given among them. */
  readonly config: ModelConfig;
  readonly parameterCount: number;
  /** The files of its model folder by name: see `saveModel`. */
  files(): Promise<Map<string, Uint8Array>>;
  /** Frees what was compiled, once calls that are under way have ended. The model must not be used again. */
  dispose(): Promise<void>;
}

/** What every model that reads texts has. */
export interface TextModel extends BasicModel {
  /**
   * One vector [dimensions] for each text, in their order: its tokens' last hidden layer, pooled. Texts are read in batches of
   * about one length, and a text has the same vector, up to rounding, whatever stands beside it.
   *
   * @throws CONFIG for options out of range, and for a text longer than the learned positions; DATA for tokens that there
   *   are not.
   */
  embed(texts: readonly GivenTokens[], options?: EmbeddingOptions): Promise<Float32Array[]>;
}

/** What models of this thread have beside. */
export interface Loaded {
  /** The model and its weights as arrays, for the functions of the rooms. */
  readonly loaded: LoadedModel;
}

/** A model of this thread, and not of a worker. */
export type Local<M extends BasicModel> = M & Loaded;

interface Disposable {
  dispose(): Promise<void>;
}

/** A model on an engine: what is compiled for its methods is kept until its end. */
export class Host {
  readonly #kept = new Map<string, Promise<Disposable>>();
  readonly #running = new Set<Promise<unknown>>();
  #isDisposed = false;

  constructor(
    readonly engine: Engine,
    readonly loaded: LoadedModel,
  ) {}

  /** Works with what is made on first use, and known by a name from then on. Throws USAGE after the end. */
  async use<T extends Disposable, R>(
    name: string,
    make: () => Promise<T>,
    work: (made: T) => R | PromiseLike<R>,
  ): Promise<R> {
    if (this.#isDisposed) throw new PerformerError('USAGE', 'model: expected a live model, got one disposed of.');
    const made = (this.#kept.get(name) as Promise<T> | undefined) ?? make();
    this.#kept.set(name, made);
    made.catch(() => this.#kept.delete(name));
    const running = made.then(work);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    await Promise.allSettled(this.#running);
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    for (const made of kept) await (await made).dispose();
  }
}

/** What every model of this thread has. */
export function basicModel(host: Host): Local<BasicModel> {
  const { loaded } = host;
  return {
    loaded,
    config: loaded.model.config,
    parameterCount: parameterCount(loaded.params),
    files: async () => encodeModel(loaded),
    dispose: () => host.dispose(),
  };
}

/** What every model of this thread that reads texts has. */
export function textModel(host: Host): Local<TextModel> {
  const { engine, loaded } = host;
  return {
    ...basicModel(host),
    async embed(texts, options = {}) {
      const checked = checkTexts('embed', texts, loaded.model.config);
      const make = () => createEmbedder(engine, loaded, options);
      return host.use(`embed ${JSON.stringify(options)}`, make, (embedder) => embedder.embed(checked));
    },
  };
}

/** The texts, once their tokens are known to be some of the model. Throws DATA. */
export function checkTexts(where: string, texts: readonly GivenTokens[], config: ModelConfig): readonly GivenTokens[] {
  if (!Array.isArray(texts))
    throw new PerformerError('DATA', `${where}: expected a list of texts, got ${typeof texts}.`);
  for (const text of texts) {
    if (typeof text !== 'string' && !(text instanceof Uint8Array)) checkTokens(where, text, config);
  }
  return texts;
}

/** Throws DATA for tokens that the model does not have. */
export function checkTokens(where: string, tokens: ArrayLike<number>, config: ModelConfig): void {
  const { vocabularySize } = tokenConfig(config);
  for (const token of Array.from(tokens)) {
    if (Number.isInteger(token) && token >= 0 && token < vocabularySize) continue;
    throw new PerformerError('DATA', `${where}: expected tokens from 0 to ${vocabularySize - 1}, got ${token}.`);
  }
}
