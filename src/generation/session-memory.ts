/**
 * What a session remembers, as a whole and row by row: the state that is held where the engine computes, the tokens that it
 * came of, and their saved forms.
 */
import type { Engine } from '../engine/index.js';
import type { LoadedModel } from '../models/index.js';
import { HeldState } from './held-state.js';
import { emptyMemory, type HostLeaf, type Memory } from './memory.js';
import { withRows } from './memory-rows.js';
import type { ReaderOptions } from './reader.js';
import { checkIdentity, checkLayout, decodeMemory, encodeMemory, identityOf, type SavedState } from './saved-state.js';
import { TokenHistory } from './token-history.js';

export class SessionMemory {
  readonly #engine: Engine;
  readonly #options: ReaderOptions;
  #loaded: LoadedModel;
  #identity: Readonly<Record<string, string>> | undefined;
  readonly held: HeldState;
  #history: TokenHistory;

  private constructor(engine: Engine, loaded: LoadedModel, options: ReaderOptions, held: HeldState) {
    this.#engine = engine;
    this.#options = options;
    this.#loaded = loaded;
    this.held = held;
    this.#history = new TokenHistory(emptyMemory(loaded.model, options.batch));
  }

  static async create(engine: Engine, loaded: LoadedModel, options: ReaderOptions): Promise<SessionMemory> {
    return new SessionMemory(engine, loaded, options, await HeldState.create(engine, loaded, options));
  }

  /** The tokens that were read. */
  get history(): TokenHistory {
    return this.#history;
  }

  /** Takes other weights, which are inputs. */
  async replaceWeights(loaded: LoadedModel): Promise<void> {
    await this.held.replaceWeights(loaded);
    this.#loaded = loaded;
    this.#identity = undefined;
  }

  /** Reads a piece: tokens of each row, of which some may have none. */
  async read(rows: readonly Int32Array[]): Promise<void> {
    await this.held.read(rows);
    this.#history.note(rows);
  }

  /** Forgets all that was read, and reads a source for each row. */
  async readSource(rows: readonly Int32Array[]): Promise<void> {
    await this.held.readSource(rows);
    this.#history = new TokenHistory(emptyMemory(this.#loaded.model, this.#options.batch));
  }

  /** Forgets all that was read. */
  clear(): void {
    this.#resume(emptyMemory(this.#loaded.model, this.#options.batch));
  }

  async clearRow(row: number): Promise<void> {
    await this.#replaceRow(row, emptyMemory(this.#loaded.model, 1));
  }

  async save(): Promise<SavedState> {
    return encodeMemory(await this.held.memory(this.#history.tensors), this.#identify());
  }

  async saveRow(row: number): Promise<SavedState> {
    const from = await this.#settled();
    return encodeMemory(withRows(this.#loaded.model, [{ from, row }]), this.#identify());
  }

  /** Throws CHECKPOINT for what cannot be a saved state of this session. */
  check(where: string, layout: ReadonlyMap<string, HostLeaf>, metadata?: Readonly<Record<string, string>>): void {
    if (metadata !== undefined) checkIdentity(where, metadata, this.#identify());
    checkLayout(where, layout, this.#loaded.model, this.#options.batch);
  }

  /** Throws CHECKPOINT for a state of something else, or a damaged one; then nothing is changed. */
  load(where: string, saved: SavedState): void {
    this.#resume(decodeMemory(where, saved, this.#loaded.model, this.#options.batch, this.#identify()));
  }

  /** Throws as `load`. */
  async loadRow(where: string, row: number, saved: SavedState): Promise<void> {
    const single = await SessionMemory.create(this.#engine, this.#loaded, { ...this.#options, batch: 1 });
    try {
      single.#identity = this.#identify();
      single.load(where, saved);
      await this.#replaceRow(row, await single.#settled());
    } finally {
      await single.dispose();
    }
  }

  async dispose(): Promise<void> {
    await this.held.dispose();
  }

  /** Goes on from a memory, which it changes. */
  #resume(memory: Memory): void {
    this.held.resume(memory);
    this.#history = new TokenHistory(memory);
  }

  /** The memory with every token in the state, so that rows can be told apart. */
  async #settled(): Promise<Memory> {
    await this.held.settle();
    return this.held.memory(this.#history.tensors);
  }

  async #replaceRow(row: number, own: Memory): Promise<void> {
    const from = await this.#settled();
    const rows = Array.from({ length: this.#options.batch }, (_, at) =>
      at === row ? { from: own, row: 0 } : { from, row: at },
    );
    this.#resume(withRows(this.#loaded.model, rows));
  }

  /** What saved states belong to; the first call reads every weight. */
  #identify(): Readonly<Record<string, string>> {
    this.#identity ??= identityOf(this.#loaded);
    return this.#identity;
  }
}
