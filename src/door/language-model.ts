/** A language model with its weights, ready to be called: logits of a text, and generation. */
import type { HostTensor } from '../base/array.js';
import { type GenerateOptions, GenerationSession, generate } from '../generation/index.js';
import { type ContextReach, type ContextRecord, contextReach } from '../models/index.js';
import { type Host, type Local, type TextModel, textModel } from './host.js';
import { type Tokens, tokenLogits } from './token-logits.js';

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

/** Losses by position, and the longest text whose positions are all good: at most 0.05 nats a token above a window's end. */
export interface ModelContext extends ContextRecord, ContextReach {}

/** A model that continues texts, here or in a worker. */
export interface LanguageModel extends TextModel {
  readonly kind: 'language-model';
  /**
   * What the evaluation of its training has shown of long texts: losses by position, and how long texts may be; undefined
   * where none is known. `onNote` of `generate` tells of a text that is longer.
   */
  readonly context: ModelContext | undefined;
  /**
   * What the model expects after each token: logits [length, vocabularySize], row t those of token t + 1.
   *
   * @throws DATA for no tokens, too many, or tokens that there are not.
   */
  logits(tokens: Tokens): Promise<HostTensor>;
  /** The text after a prompt. Several may be generated side by side. Throws as `generate` of `performer-ts/generation`. */
  generate(prompt: string | Uint8Array, options?: GenerationOptions): GeneratedText;
}

const defaults = { maxTokens: 256, temperature: 0.8, topP: 0.95, seed: 0 };

export function languageModel(host: Host): Local<LanguageModel> {
  const { context } = host.loaded;
  return {
    kind: 'language-model',
    ...textModel(host),
    context: context && { ...context, ...contextReach(context) },
    logits: (tokens) => tokenLogits(host, tokens),
    generate: (prompt, options = {}) => generated(host, prompt, options),
  };
}

/** The text after a prompt, as it is generated. */
export function generated(host: Host, prompt: string | Uint8Array, options: GenerationOptions): GeneratedText {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return new GeneratedText(() => pieces(host, prompt, { ...defaults, ...Object.fromEntries(given) }));
}

async function* pieces(
  host: Host,
  prompt: string | Uint8Array,
  options: GenerateOptions,
): AsyncGenerator<string, void, void> {
  const sessions = await host.use(
    'sessions',
    async () => new Sessions(host),
    (own) => own,
  );
  const session = await sessions.take();
  try {
    for await (const { text } of generate(session, prompt, options)) {
      options.signal?.throwIfAborted();
      if (text !== '') yield text;
    }
  } finally {
    await sessions.giveBack(session);
  }
}

/** The sessions of a model: those that no generation uses are kept for the next one. */
class Sessions {
  readonly #idle: GenerationSession[] = [];
  #isDisposed = false;

  constructor(private readonly host: Host) {}

  async take(): Promise<GenerationSession> {
    return this.#idle.pop() ?? GenerationSession.create(this.host.engine, this.host.loaded);
  }

  async giveBack(session: GenerationSession): Promise<void> {
    if (this.#isDisposed) return session.dispose();
    session.reset();
    this.#idle.push(session);
  }

  /** Sessions in use end when they are given back. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    for (const session of this.#idle.splice(0)) await session.dispose();
  }
}
