/** A language model with its weights, ready to be called: logits of a text, and generation. */
import { float32, type HostTensor, int32 } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { elementCount } from '../base/shape.js';
import { leavesOf } from '../base/tree.js';
import type { Engine } from '../engine/index.js';
import { type GenerateOptions, GenerationSession, generate } from '../generation/index.js';
import { spec, type Tensor } from '../graph/index.js';
import { encodeModel, type LoadedModel, type ModelConfig, tokenizerOf } from '../models/index.js';
import { breather } from './breather.js';

/** A text, its bytes as a Uint8Array, or its tokens in any other array: whole numbers from 0 to below the model's `vocabularySize`. */
export type Tokens = string | ArrayLike<number>;

/**
 * How text is generated; what is not given is 256 tokens at most, temperature 0.8, topP 0.95 and seed 0. Equal options give
 * equal texts.
 */
export interface GenerationOptions extends Partial<GenerateOptions> {}

/** A text that is being generated: in pieces, as they come (`for await`), or as a whole (`text()`). */
export class GeneratedText implements AsyncIterable<string> {
  readonly #begin: () => AsyncIterator<string>;

  constructor(begin: () => AsyncIterator<string>) {
    this.#begin = begin;
  }

  /** Begins the generation. A loop that is left ends it. */
  [Symbol.asyncIterator](): AsyncIterator<string> {
    return this.#begin();
  }

  /** The whole text, without the prompt. */
  async text(): Promise<string> {
    let text = '';
    for await (const piece of this) text += piece;
    return text;
  }
}

/** A causal language model, here or in a worker. */
export interface LanguageModel {
  readonly config: ModelConfig;
  readonly parameterCount: number;
  /**
   * What the model expects after each token: logits [length, vocabularySize], row t those of token t + 1.
   *
   * @throws DATA for no tokens, too many, or tokens that there are not.
   */
  logits(tokens: Tokens): Promise<HostTensor>;
  /** The text after a prompt. Several may be generated side by side. Throws as `generate` of `performer-ts/generation`. */
  generate(prompt: string | Uint8Array, options?: GenerationOptions): GeneratedText;
  /** The files of its model folder by name: see `saveModel`. */
  files(): Promise<Map<string, Uint8Array>>;
  /** Frees what was compiled. The model must not be used again. */
  dispose(): Promise<void>;
}

/** A language model in this thread. */
export interface LocalLanguageModel extends LanguageModel {
  /** The model and its weights as arrays, for the functions of the rooms. */
  readonly loaded: LoadedModel;
}

interface Pass {
  run(tokens: Int32Array): Promise<HostTensor>;
  dispose(): Promise<void>;
}

const defaults = { maxTokens: 256, temperature: 0.8, topP: 0.95, seed: 0 };

/** The model of weights on an engine. Throws CONFIG for one that is not causal. */
export function languageModelOn(engine: Engine, loaded: LoadedModel): LocalLanguageModel {
  if (!loaded.model.isCausal) {
    const got = loaded.model.config.model;
    throw new PerformerError('CONFIG', `language model: expected a causal model, got ${got}.`);
  }
  return new HostedModel(engine, loaded);
}

class HostedModel implements LocalLanguageModel {
  readonly parameterCount: number;
  #pass: Promise<Pass> | undefined;
  /** Sessions that no generation uses. */
  readonly #idle: GenerationSession[] = [];
  #isDisposed = false;

  constructor(
    private readonly engine: Engine,
    readonly loaded: LoadedModel,
  ) {
    this.parameterCount = leavesOf(loaded.params).reduce(
      (total, [, leaf]) => total + elementCount((leaf as HostTensor).shape),
      0,
    );
  }

  get config(): ModelConfig {
    return this.loaded.model.config;
  }

  async logits(tokens: Tokens): Promise<HostTensor> {
    this.#expectLive();
    const checked = tokensOf(tokens, this.loaded);
    this.#pass ??= compilePass(this.engine, this.loaded);
    return (await this.#pass).run(checked);
  }

  generate(prompt: string | Uint8Array, options: GenerationOptions = {}): GeneratedText {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    return new GeneratedText(() => this.#pieces(prompt, { ...defaults, ...Object.fromEntries(given) }));
  }

  async files(): Promise<Map<string, Uint8Array>> {
    return encodeModel(this.loaded);
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const pass = await this.#pass;
    this.#pass = undefined;
    await pass?.dispose();
    for (const session of this.#idle.splice(0)) await session.dispose();
  }

  async *#pieces(prompt: string | Uint8Array, options: GenerateOptions): AsyncGenerator<string, void, void> {
    this.#expectLive();
    const session = this.#idle.pop() ?? (await GenerationSession.create(this.engine, this.loaded));
    const breathe = breather();
    try {
      for await (const { text } of generate(session, prompt, options)) {
        await breathe();
        options.signal?.throwIfAborted();
        if (text !== '') yield text;
      }
    } finally {
      if (this.#isDisposed) await session.dispose();
      else {
        session.reset();
        this.#idle.push(session);
      }
    }
  }

  #expectLive(): void {
    if (this.#isDisposed) throw new PerformerError('USAGE', 'model: expected a live model, got one disposed of.');
  }
}

async function compilePass(engine: Engine, { model, params, buffers }: LoadedModel): Promise<Pass> {
  const compiled = await engine.compile(
    (learned: object, drawn: object, { tokens }: { readonly tokens: Tensor<'int32'> }) => ({
      logits: model.apply({ params: learned, buffers: drawn }, { tokens }).output,
    }),
    [params, buffers, { tokens: spec('int32', [1, symbol('length')]) }],
  );
  return {
    async run(tokens) {
      const { logits } = await compiled.run([{}, {}, { tokens: int32([1, tokens.length], tokens) }]);
      return float32(logits.shape.slice(1), Float32Array.from(logits.data));
    },
    dispose: () => compiled.dispose(),
  };
}

function tokensOf(given: Tokens, { model }: LoadedModel): Int32Array {
  const isText = typeof given === 'string' || given instanceof Uint8Array;
  const tokens: ArrayLike<number> = isText ? tokenizerOf(model.config).encode(given) : given;
  const { vocabularySize } = model.config;
  const longest = model.maxLength ?? Number.POSITIVE_INFINITY;
  if (!(tokens?.length >= 1 && tokens.length <= longest)) {
    throw new PerformerError('DATA', `logits: expected from 1 to ${longest} tokens, got ${tokens?.length}.`);
  }
  return Int32Array.from(tokens, (token) => {
    if (Number.isInteger(token) && token >= 0 && token < vocabularySize) return token;
    throw new PerformerError('DATA', `logits: expected tokens from 0 to ${vocabularySize - 1}, got ${token}.`);
  });
}
