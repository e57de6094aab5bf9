/**
 * A generation session: a model that reads tokens and keeps of them what the next ones need.
 *
 * With FAVOR+ that is one state of fixed size, so a token costs the same time and memory at any position: two sets of
 * tensors, which lie where the engine computes, take turns as what is read and what is written. Where that is the host,
 * single tokens are read beside the state (deferral.ts). The state of exact softmax attention grows with the text, and
 * comes to the host after each run.
 */
import * as z from 'zod';
import { type HostTensor, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import type { Engine } from '../engine/index.js';
import {
  type LanguageModelConfig,
  type LanguageModelParams,
  languageModelConfig,
  type Projections,
} from '../models/index.js';
import { Compiled } from './compiled.js';
import { Deferral, isDeferrable } from './deferral.js';
import {
  compileReader,
  type HeldReading,
  inSinglePrecision,
  type Model,
  type Reader,
  type ReaderInputs,
  type Reading,
} from './reader.js';
import { checkOptions } from './sampling.js';
import {
  checkIdentity,
  checkLayout,
  checkModel,
  decodeMemory,
  emptyMemory,
  encodeMemory,
  type History,
  type HostLeaf,
  identityOf,
  type Memory,
  noTokens,
  recentCount,
  type SavedState,
} from './saved-state.js';
import {
  checkRows,
  expectTokens,
  longestRow,
  type RowsForm,
  readerInputs,
  rowsOf,
  type TokenRows,
} from './token-rows.js';
import { nameOfValue } from './value-name.js';

export interface GenerationSessionOptions {
  /** Rows that are read side by side, from 1; 1 unless given. */
  readonly batch?: number | undefined;
  /** Tokens of a prompt that are read at once: rounded down to whole chunks of the model, one at least; 512 unless given. */
  readonly readChunk?: number | undefined;
}

const optionsSchema = z.strictObject({ batch: z.int().min(1).optional(), readChunk: z.int().min(1).optional() });

export class GenerationSession {
  readonly config: LanguageModelConfig;
  readonly batch: number;
  readonly readChunk: number;
  readonly #engine: Engine;
  readonly #model: Model;
  readonly #readers: Readonly<Record<RowsForm, Compiled<Reader>>>;
  #identity: Readonly<Record<string, string>> | undefined;
  #current: HeldReading;
  /** What readings are written into, in turns; nothing where the state grows. */
  readonly #sets: readonly HeldReading[];
  /** Tokens after the state of `#current`, with linear attention. */
  readonly #deferral: Deferral | undefined;
  #history: History;
  #status: 'idle' | 'busy' | 'disposed' = 'idle';

  private constructor(
    engine: Engine,
    model: Model,
    sets: readonly HeldReading[],
    { batch, readChunk }: { readonly batch: number; readonly readChunk: number },
  ) {
    const { chunk } = model.config;
    this.config = model.config;
    this.batch = batch;
    this.readChunk = Math.max(1, Math.floor(readChunk / chunk)) * chunk;
    this.#engine = engine;
    this.#model = model;
    const reader = (form: RowsForm) => new Compiled(() => compileReader(engine, model, batch, form));
    this.#readers = { piece: reader('piece'), token: reader('token') };
    this.#sets = sets;
    const blocks = sets[0]?.state.blocks;
    if (blocks !== undefined && isDeferrable(blocks)) this.#deferral = new Deferral(engine, model, batch, blocks);
    ({ history: this.#history, current: this.#current } = parts(emptyMemory(model, batch)));
  }

  /**
   * A session that has read nothing. Its functions are compiled when they are first needed.
   *
   * @throws CONFIG for options out of range; CHECKPOINT for weights or projections that do not fit the config.
   */
  static async create(
    engine: Engine,
    config: LanguageModelConfig,
    params: LanguageModelParams<HostTensor>,
    projections: Projections<HostTensor<'float32'>>,
    options: GenerationSessionOptions = {},
  ): Promise<GenerationSession> {
    if (typeof engine?.compile !== 'function') {
      throw new PerformerError('CONFIG', `GenerationSession: expected an engine, got ${nameOfValue(engine)}.`);
    }
    checkOptions('GenerationSession', optionsSchema, options);
    const { batch = 1, readChunk = 512 } = options;
    const model = { config: languageModelConfig(config), params, projections };
    checkModel('GenerationSession', model);
    const set = async (): Promise<HeldReading> => {
      const { logits, state } = emptyMemory(model, batch);
      return { logits, state: { ...state, blocks: await engine.place(state.blocks) } };
    };
    const sets = config.attention === 'softmax' ? [] : [await set(), await set()];
    return new GenerationSession(engine, model, sets, { batch, readChunk });
  }

  /** How many tokens each row has read: [batch]. */
  get position(): Int32Array {
    return Int32Array.from(this.#current.state.position.data as Int32Array);
  }

  /** How many more tokens every row can read: with learned positions, what is left of maxLength. */
  get room(): number {
    return longestRow(this.config) - Math.max(...this.position);
  }

  /** The logits after the last token of each row, [batch × vocabulary]; zeros for a row that has read nothing. */
  get logits(): Float32Array {
    return Float32Array.from(this.#current.logits.data as Float32Array);
  }

  /** The tokens that a row has read, each once, in rising order. */
  seenTokens(row = 0): number[] {
    this.#expectRow('seenTokens', row);
    const { vocabularySize } = this.config;
    const marks = (this.#history.seen.data as Uint8Array).subarray(row * vocabularySize, (row + 1) * vocabularySize);
    return Array.from(marks.keys()).filter((token) => marks[token] === 1);
  }

  /** The last tokens of a row, three at most, in the order in which they were read. */
  recentTokens(row = 0): Int32Array {
    this.#expectRow('recentTokens', row);
    const recent = (this.#history.recent.data as Int32Array).slice(row * recentCount, (row + 1) * recentCount);
    return recent.filter((token) => token >= 0);
  }

  /**
   * The last bytes that the model said and `generate` did not give out, as they might begin a stop string. They count
   * until the session reads on, and a saved state has them too.
   */
  get withheld(): Uint8Array {
    return Uint8Array.from(this.#history.withheld.data as Int32Array);
  }

  /** Notes that the last bytes that were read have not been given out. */
  withhold(bytes: Uint8Array): void {
    this.#history = { ...this.#history, withheld: int32([bytes.length], Int32Array.from(bytes)) };
  }

  /**
   * Reads tokens, of any number in each row, in pieces of `readChunk`. A row without tokens stays as it was. Returns
   * the logits after the last token of each row, [batch × vocabulary]. Should the engine fail, `position` tells how
   * far the reading came.
   *
   * @throws DTYPE for tokens that are no Int32Array; SHAPE unless there is one list for each row; DATA for a token outside of the vocabulary, for a row that
   *   would still have read nothing, or for more tokens than there is room for; CONFIG for rows of different lengths
   *   with exact softmax attention.
   */
  async read(tokens: TokenRows): Promise<Float32Array> {
    const rows = rowsOf('read', tokens);
    this.#expectIdle();
    checkRows('read', rows, this.position, this.config);
    const longest = Math.max(...rows.map(({ length }) => length));
    this.#status = 'busy';
    try {
      for (let start = 0; start < longest; start += this.readChunk) {
        await this.#readPiece(rows.map((row) => row.subarray(start, start + this.readChunk)));
      }
    } finally {
      this.#status = 'idle';
    }
    return this.logits;
  }

  /** Reads one token of each row, [batch], and returns the logits after it, [batch × vocabulary]. Throws as `read`. */
  async step(tokens: Int32Array): Promise<Float32Array> {
    expectTokens('step', tokens);
    return this.read(Array.from(tokens, (token) => Int32Array.of(token)));
  }

  /** Forgets all that was read. */
  reset(): void {
    this.#expectIdle();
    this.#resume(emptyMemory(this.#model, this.batch));
  }

  /**
   * A copy of all that is needed to go on from here, for a safetensors file: a session that loads it gives bit for bit
   * the logits of one that never stopped, on the same machine and engine. The first call reads every weight once.
   */
  async saveState(): Promise<SavedState> {
    this.#expectIdle();
    this.#identity ??= identityOf(this.#model);
    this.#status = 'busy';
    try {
      const { logits, state } = this.#current;
      const deferred = this.#deferral?.save() ?? [];
      const memory = { logits, state: await this.#engine.fetch(state), deferred, ...this.#history };
      return encodeMemory(memory, this.#identity);
    } finally {
      this.#status = 'idle';
    }
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
    this.#identity ??= identityOf(this.#model);
    if (metadata !== undefined) checkIdentity(where, metadata, this.#identity);
    checkLayout(where, layout, this.#model, this.batch);
  }

  /**
   * Goes on from a saved state, which is copied; the session is unchanged when it is refused. `where` heads the messages;
   * the path of the file is best.
   *
   * @throws CHECKPOINT for a state of another model, of other projections or of another batch, or a damaged one.
   */
  loadState(saved: SavedState, where = 'loadState'): void {
    this.#expectIdle();
    this.#identity ??= identityOf(this.#model);
    const memory = decodeMemory(where, saved, this.#model, this.batch, this.#identity);
    this.#resume(memory);
  }

  /** Frees what was compiled. The session must not be used again. */
  async dispose(): Promise<void> {
    if (this.#status === 'disposed') return;
    this.#expectIdle();
    this.#status = 'disposed';
    for (const reader of Object.values(this.#readers)) await reader.dispose();
    await this.#deferral?.dispose();
    this.#engine.free(this.#sets);
  }

  #resume(memory: Memory): void {
    this.#deferral?.load(memory.deferred);
    ({ history: this.#history, current: this.#current } = parts(memory));
  }

  async #readPiece(rows: readonly Int32Array[]): Promise<void> {
    const { form, inputs } = readerInputs(rows, this.config);
    if (form !== 'token' || !(await this.#readBeside(inputs))) {
      await this.#settle();
      await this.#readInto(form, inputs, rows);
    }
    rows.forEach((row, index) => this.#note(row, index));
    this.#history = { ...this.#history, withheld: noTokens };
  }

  /** Reads a token of each row beside the state; false where it has to be read into the state. */
  async #readBeside(inputs: ReaderInputs): Promise<boolean> {
    // Nothing can stand beside the state of a row that has read nothing.
    if (!this.#deferral?.isOnHost || this.position.includes(0)) return false;
    if (this.#deferral.isFull) await this.#settle();
    const next = await this.#deferral.read(this.#current, inputs);
    if (next !== undefined) this.#current = next;
    return next !== undefined;
  }

  /** Brings all that was read into the state. */
  async #settle(): Promise<void> {
    if (this.#deferral === undefined || this.#deferral.isEmpty) return;
    this.#current = await this.#deferral.settle(this.#current, this.#otherSet() as HeldReading);
  }

  async #readInto(form: RowsForm, inputs: ReaderInputs, rows: readonly Int32Array[]): Promise<void> {
    const reader = await this.#readers[form].get();
    const { logits, state } = this.#current;
    const outputs = this.#otherSet();
    const written = await reader.run([state, inputs], { outputs });
    const next: HeldReading = outputs ?? mapTree(written as Reading, inSinglePrecision);
    const { vocabularySize } = this.config;
    rows.forEach((row, index) => {
      if (row.length > 0) return;
      const start = index * vocabularySize;
      const before = (logits.data as Float32Array).subarray(start, start + vocabularySize);
      (next.logits.data as Float32Array).set(before, start);
    });
    this.#current = next;
  }

  /** A set whose attention states are not the current ones. */
  #otherSet(): HeldReading | undefined {
    const attentionOf = ({ state }: HeldReading) => state.blocks[0]?.attention;
    return this.#sets.find((set) => attentionOf(set) !== attentionOf(this.#current));
  }

  #note(tokens: Int32Array, row: number): void {
    const { seen, recent } = this.#history;
    for (const token of tokens) (seen.data as Uint8Array)[row * this.config.vocabularySize + token] = 1;
    const own = (recent.data as Int32Array).subarray(row * recentCount, (row + 1) * recentCount);
    own.set(Int32Array.of(...own, ...tokens.slice(-recentCount)).slice(-recentCount));
  }

  #expectRow(where: string, row: number): void {
    if (Number.isInteger(row) && row >= 0 && row < this.batch) return;
    throw new PerformerError('SHAPE', `${where}: expected a row from 0 to ${this.batch - 1}, got ${row}.`);
  }

  #expectIdle(): void {
    if (this.#status === 'idle') return;
    const got = this.#status === 'busy' ? 'a call before the last one ended' : 'one disposed of';
    throw new PerformerError('USAGE', `GenerationSession: expected a session at rest, got ${got}.`);
  }
}

function parts({ seen, recent, withheld, logits, state }: Memory): { history: History; current: Reading } {
  return { history: { seen, recent, withheld }, current: { logits, state } };
}
