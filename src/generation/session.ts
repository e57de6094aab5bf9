/**
 * A generation session: a model that reads tokens and keeps of them what the next ones need.
 *
 * With FAVOR+ that is one state of fixed size, so a token costs the same time and memory at any position: two sets of
 * tensors, which lie where the engine computes, take turns as what is read and what is written. Where that is the host,
 * single tokens are read beside the state (deferral.ts). The state of exact softmax attention grows with the text, as long for
 * all rows as that of the longest (memory-rows.ts), and comes to the host after each run.
 */
import { PerformerError } from '../base/errors.js';
import { OneAtATime } from '../base/one-at-a-time.js';
import type { ImageSize } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import type { ContextRecord, LoadedModel, ModelConfig, ModelWeights } from '../models/index.js';
import type { HostLeaf } from './memory.js';
import type { ReaderOptions, WeightsAs } from './reader.js';
import { checkModel, type SavedState } from './saved-state.js';
import { SessionMemory } from './session-memory.js';
import { checkSession, type GenerationSessionOptions } from './session-options.js';
import { checkRows, expectRow, expectTokens, longestRow, rowsOf, type TokenRows } from './token-rows.js';

/**
 * A model that reads tokens and remembers: rows side by side, each with the state of what it read. Free it with
 * `dispose`.
 */
export class GenerationSession {
  readonly config: ModelConfig;
  readonly batch: number;
  readonly readChunk: number;
  #loaded: LoadedModel;
  readonly #weightsAs: WeightsAs;
  readonly #memory: SessionMemory;
  #hasSource = false;
  readonly #calls = new OneAtATime('GenerationSession', 'session');

  private constructor(
    loaded: LoadedModel,
    memory: SessionMemory,
    { readChunk, batch, weightsAs }: ReaderOptions & { readonly readChunk: number },
  ) {
    const { chunk, config } = loaded.model;
    this.config = config;
    this.batch = batch;
    this.readChunk = Math.max(1, Math.floor(readChunk / chunk)) * chunk;
    this.#loaded = loaded;
    this.#weightsAs = weightsAs;
    this.#memory = memory;
  }

  /**
   * A session that has read nothing. Its functions are compiled when they are first needed.
   *
   * @throws CONFIG for options out of range and for a model that cannot go on from a state; CHECKPOINT for weights that do
   *   not fit the model.
   */
  static async create(
    engine: Engine,
    loaded: LoadedModel,
    options: GenerationSessionOptions = {},
  ): Promise<GenerationSession> {
    checkSession(engine, loaded, options);
    const { batch = 1, readChunk = 512, weights: weightsAs = 'constants' } = options;
    const memory = await SessionMemory.create(engine, loaded, { batch, weightsAs });
    return new GenerationSession(loaded, memory, { batch, weightsAs, readChunk });
  }

  /**
   * Takes other weights of the same model from here on, without compiling again. What was read stays.
   *
   * @throws USAGE unless the session was made with weights as inputs; CHECKPOINT for weights that do not fit.
   */
  async replaceWeights({ params, buffers }: ModelWeights): Promise<void> {
    this.#calls.expectIdle();
    if (this.#weightsAs !== 'inputs') {
      const got = "a session whose weights are constants. Create it with weights: 'inputs'.";
      throw new PerformerError('USAGE', `replaceWeights: expected weights that are inputs, got ${got}`);
    }
    const loaded = { ...this.#loaded, params, buffers, context: undefined };
    checkModel('replaceWeights', loaded);
    await this.#calls.run(() => this.#memory.replaceWeights(loaded));
    this.#loaded = loaded;
  }

  /** How many tokens each row has read: [batch]. */
  get position(): Int32Array {
    return Int32Array.from(this.#memory.held.position.data);
  }

  /** How many more tokens every row can read: with learned positions, what is left of maxLength. */
  get room(): number {
    return longestRow(this.#loaded.model) - Math.max(...this.position);
  }

  /** What an evaluation of the weights has shown of long texts; undefined where none is known. */
  get context(): ContextRecord | undefined {
    return this.#loaded.context;
  }

  /** The logits after the last token of each row, [batch × vocabulary]; zeros for a row that has read nothing. */
  get logits(): Float32Array {
    return Float32Array.from(this.#memory.held.logits.data);
  }

  /** The tokens that a row has read, each once, in rising order. */
  seenTokens(row = 0): number[] {
    expectRow('seenTokens', row, this.batch);
    return this.#memory.history.seenTokens(row);
  }

  /** The last tokens of a row, in the order in which they were read: at most as many as the tokenizer looks back at. */
  recentTokens(row = 0): Int32Array {
    expectRow('recentTokens', row, this.batch);
    return this.#memory.history.recentTokens(row);
  }

  /**
   * The last bytes that the model said and `generate` did not give out, as they might begin a stop string. They count
   * until the session reads on, and a saved state has them too.
   */
  get withheld(): Uint8Array {
    return this.#memory.history.withheld;
  }

  /** Notes that the last bytes that were read have not been given out. */
  withhold(bytes: Uint8Array): void {
    this.#memory.history.withhold(bytes);
  }

  /**
   * Forgets all that was read, and reads a source for each row, of which as much is kept as the model needs to write from
   * it. Rows may have sources of different lengths.
   *
   * @throws CONFIG for a model that reads no source; DTYPE for tokens that are no Int32Array; SHAPE unless there is one list
   *   for each row; DATA for a token outside of the vocabulary, and for more tokens than the model's positions know.
   */
  async readSource(tokens: TokenRows): Promise<void> {
    const rows = rowsOf('readSource', tokens);
    this.#calls.expectIdle();
    checkRows('readSource', rows, new Int32Array(this.batch), this.#loaded.model);
    await this.#calls.run(() => this.#memory.readSource(rows));
    this.#hasSource = true;
  }

  /** The token that the model begins and ends its texts with; none where they have neither. */
  get boundary(): number | undefined {
    return this.#loaded.model.boundary;
  }

  /** The size of the images that the model paints; none where it writes texts. */
  get image(): ImageSize | undefined {
    return this.#loaded.model.image;
  }

  /** Whether the model writes from a source. */
  get readsSource(): boolean {
    return this.#loaded.model.readSource !== undefined;
  }

  /**
   * Reads tokens, of any number in each row, in pieces of `readChunk`. A row without tokens is idle: it stays as it was, and
   * costs the others nothing. Returns the logits after the last token of each row, [batch × vocabulary]. Should the engine
   * fail, `position` tells how far the reading came.
   *
   * @throws DTYPE for tokens that are no Int32Array; SHAPE unless there is one list for each row; DATA for a token outside of
   *   the vocabulary, where no row would have read anything, or for more tokens than there is room for.
   */
  async read(tokens: TokenRows): Promise<Float32Array> {
    const rows = rowsOf('read', tokens);
    this.#calls.expectIdle();
    if (this.readsSource && !this.#hasSource) {
      throw new PerformerError('USAGE', 'read: expected a source before the text, got none. Call readSource first.');
    }
    checkRows('read', rows, this.position, this.#loaded.model);
    const longest = Math.max(...rows.map(({ length }) => length));
    return this.#calls.run(async () => {
      for (let start = 0; start < longest; start += this.readChunk) {
        await this.#memory.read(rows.map((row) => row.subarray(start, start + this.readChunk)));
      }
      return this.logits;
    });
  }

  /** Reads one token of each row, [batch], and returns the logits after it, [batch × vocabulary]. Throws as `read`. */
  async step(tokens: Int32Array): Promise<Float32Array> {
    expectTokens('step', tokens);
    return this.read(Array.from(tokens, (token) => Int32Array.of(token)));
  }

  /** Forgets all that was read. */
  reset(): void {
    this.#calls.expectIdle();
    this.#memory.clear();
    this.#hasSource = false;
  }

  /** Forgets what one row has read; the others go on. Throws SHAPE unless there is such a row. */
  async clearRow(row: number): Promise<void> {
    expectRow('clearRow', row, this.batch);
    await this.#calls.run(() => this.#memory.clearRow(row));
  }

  /** What one row has read, as the state of a session of one row. Throws SHAPE unless there is such a row. */
  async saveRow(row: number): Promise<SavedState> {
    expectRow('saveRow', row, this.batch);
    return this.#calls.run(() => this.#memory.saveRow(row));
  }

  /**
   * Puts a saved state of one row into a row; the others go on.
   *
   * @throws SHAPE unless there is such a row; CHECKPOINT for a state of another model or projections, or a damaged one.
   */
  async loadRow(row: number, saved: SavedState, where = 'loadRow'): Promise<void> {
    expectRow('loadRow', row, this.batch);
    await this.#calls.run(() => this.#memory.loadRow(where, row, saved));
    this.#hasSource = true;
  }

  /**
   * A copy of all that is needed to go on from here, for a safetensors file: a session that loads it gives bit for bit
   * the logits of one that never stopped, on the same machine and engine. The first call reads every weight once.
   */
  async saveState(): Promise<SavedState> {
    return this.#calls.run(() => this.#memory.save());
  }

  /**
   * Throws CHECKPOINT unless tensors of these names, dtypes and shapes, with these metadata where they are given, may be a
   * saved state: to be asked before they are read from a file. `where` heads the messages; the path of the file is best.
   */
  checkState(
    layout: ReadonlyMap<string, HostLeaf>,
    where = 'checkState',
    metadata?: Readonly<Record<string, string>>,
  ): void {
    this.#calls.expectIdle();
    this.#memory.check(where, layout, metadata);
  }

  /**
   * Goes on from a saved state, which is copied; the session is unchanged when it is refused. `where` heads the messages;
   * the path of the file is best.
   *
   * @throws CHECKPOINT for a state of another model, of other projections or of another batch, or a damaged one.
   */
  loadState(saved: SavedState, where = 'loadState'): void {
    this.#calls.expectIdle();
    this.#memory.load(where, saved);
    this.#hasSource = true;
  }

  /** Frees what was compiled. The session must not be used again. */
  async dispose(): Promise<void> {
    if (!this.#calls.end()) return;
    await this.#memory.dispose();
  }
}
