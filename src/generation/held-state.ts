/**
 * The state of a session where the engine computes, and what reads tokens into it. Two sets of tensors take turns as what is
 * read and what is written; nothing is written in place where the state grows.
 */
import type { HostTensor } from '../base/array.js';
import { leavesOf } from '../base/tree.js';
import type { Engine } from '../engine/index.js';
import { hasGrowingState, type LoadedModel, type ModelWeights, tokenConfig } from '../models/index.js';
import { Compiled } from './compiled.js';
import { DeferredTokens } from './deferral.js';
import { type ReadingRun, readGrowing } from './growing-state.js';
import { emptyMemory, type History, type Memory } from './memory.js';
import { compileReader, type HeldReading, type Reader, type ReaderOptions } from './reader.js';
import { compileSourceReader, type SourceReader } from './source-reader.js';
import { readerInputs } from './token-rows.js';

/**
 * The first tokens of a row are read one by one into its state, where it begins with at most so many, and until it has so many: other
 * readers take time to compile, and one of single tokens is needed in any case, so that a short prompt is answered sooner. It is so
 * whatever else was compiled, since the readers differ by a rounding.
 */
const firstSingles = 24;

const nothing = new Int32Array(0);

type PlacedWeights = readonly [params: object, buffers: object];

/** Tokens of each row that are read at once, as a reader has them. */
interface Piece extends ReturnType<typeof readerInputs> {
  readonly rows: readonly Int32Array[];
}

const pieceOf = (rows: readonly Int32Array[]): Piece => ({ rows, ...readerInputs(rows) });

export class HeldState {
  #loaded: LoadedModel;
  readonly #engine: Engine;
  readonly #options: ReaderOptions;
  #weights: PlacedWeights;
  readonly #readers = new Map<string, Compiled<Reader>>();
  #sourceReader: Compiled<SourceReader> | undefined;
  #current: HeldReading;
  readonly #sets: readonly HeldReading[];
  /** The set that holds the parts of the current state which rows go into; none after loading. */
  #holder: HeldReading | undefined;
  /** Tokens after the current state, where they can stand beside it. */
  readonly #deferred: DeferredTokens | undefined;
  /** Whether the engine computes on the host, where reading tokens beside the state is worth it. */
  readonly #isOnHost: boolean;

  private constructor(
    engine: Engine,
    loaded: LoadedModel,
    options: ReaderOptions,
    { sets, weights }: { readonly sets: readonly HeldReading[]; readonly weights: PlacedWeights },
  ) {
    const { deferral } = loaded.model;
    this.#engine = engine;
    this.#loaded = loaded;
    this.#options = options;
    this.#weights = weights;
    this.#sets = sets;
    this.#isOnHost = leavesOf<object>(sets[0]?.state.blocks ?? []).every(
      ([, leaf]) => !('isPlaced' in (leaf as object)),
    );
    if (deferral !== undefined) this.#deferred = new DeferredTokens(engine, loaded, deferral, options);
    const { logits, state } = emptyMemory(loaded.model, options.batch);
    this.#current = { logits, state };
  }

  static async create(engine: Engine, loaded: LoadedModel, options: ReaderOptions): Promise<HeldState> {
    const set = async (): Promise<HeldReading> => {
      const { logits, state } = emptyMemory(loaded.model, options.batch);
      return { logits, state: { ...state, blocks: (await engine.place(state.blocks)) as readonly object[] } };
    };
    const sets = hasGrowingState(loaded.model) ? [] : [await set(), await set()];
    return new HeldState(engine, loaded, options, { sets, weights: await place(engine, loaded, options) });
  }

  get logits(): HostTensor {
    return this.#current.logits;
  }

  get position(): HostTensor<'int32'> {
    return this.#current.state.position;
  }

  /** Takes other weights, which are inputs. */
  async replaceWeights(loaded: LoadedModel): Promise<void> {
    this.#engine.free(this.#weights);
    this.#weights = await place(this.#engine, loaded, this.#options);
    this.#loaded = loaded;
  }

  /** Reads a piece: tokens of each row, of which some may have none. */
  async read(rows: readonly Int32Array[]): Promise<void> {
    if (this.#sets.length === 0) {
      const run: ReadingRun = (from, piece) => this.#run(from, pieceOf(piece));
      this.#current = await readGrowing(this.#loaded.model, run, this.#current, rows);
    } else if (!(await this.#readBeside(rows))) {
      await this.settle();
      const pieces = this.#piecesOf(rows).map(pieceOf);
      // All are compiled before anything is read, so that a failure leaves the state as it was.
      for (const piece of pieces) await this.#readerOf(this.#current, piece).get();
      for (const piece of pieces) {
        const outputs = this.#otherSet();
        this.#current = await this.#run(this.#current, piece, outputs);
        this.#holder = outputs;
      }
    }
  }

  /** Forgets all that was read, and reads a source for each row. */
  async readSource(rows: readonly Int32Array[]): Promise<void> {
    this.#sourceReader ??= new Compiled(() => compileSourceReader(this.#engine, this.#loaded, this.#options));
    const reader = await this.#sourceReader.get();
    const memory = emptyMemory(this.#loaded.model, this.#options.batch);
    this.resume({ ...memory, state: await reader.run(this.#weights, memory.state, rows) });
  }

  /** Brings all that was read into the state. */
  async settle(): Promise<void> {
    if (this.#deferred === undefined || this.#deferred.isEmpty) return;
    const set = this.#otherSet() as HeldReading;
    this.#current = await this.#deferred.settle(this.#current, set);
    this.#holder = set;
  }

  /** All that is kept, as arrays, with what a session knows beside it. */
  async memory(history: History): Promise<Memory> {
    const { logits, state } = this.#current;
    const deferred = this.#deferred?.save() ?? { blocks: [] };
    const fetched = (await this.#engine.fetch<object>(state)) as HeldReading['state'];
    return { logits, state: fetched, deferred, ...history };
  }

  /** Goes on from such a memory. */
  resume({ logits, state, deferred }: Memory): void {
    this.#deferred?.load(deferred);
    this.#holder = undefined;
    this.#current = { logits, state };
  }

  async dispose(): Promise<void> {
    for (const reader of this.#readers.values()) await reader.dispose();
    await this.#deferred?.dispose();
    await this.#sourceReader?.dispose();
    this.#engine.free(this.#sets);
    if (this.#options.weightsAs === 'inputs') this.#engine.free(this.#weights);
  }

  /** Reads a token of rows beside the state; false where they have to be read into the state. */
  async #readBeside(rows: readonly Int32Array[]): Promise<boolean> {
    const { form, inputs } = readerInputs(rows);
    if (form !== 'token' || this.#deferred === undefined || !this.#isOnHost) return false;
    const position = this.position.data;
    if (rows.every(({ length }, index) => length === 0 || (position[index] as number) < firstSingles)) return false;
    // Nothing can stand beside the state of a row that has read nothing.
    if (rows.some(({ length }, index) => length > 0 && position[index] === 0)) return false;
    if (this.#deferred.isFull) await this.settle();
    const next = await this.#deferred.read(this.#current, inputs, this.#weights);
    if (next === undefined) return false;
    this.#current = this.#withIdle(rows, this.#current, next);
    return true;
  }

  /** What of the rows is read at once, one piece after another: the tokens of short beginnings one by one. */
  #piecesOf(rows: readonly Int32Array[]): readonly (readonly Int32Array[])[] {
    const position = this.position.data;
    const isShort = rows.map(({ length }, index) => this.#isOnHost && position[index] === 0 && length <= firstSingles);
    const short = rows.filter((_, index) => isShort[index]);
    const singles = Array.from({ length: Math.max(0, ...short.map(({ length }) => length)) }, (_, at) =>
      rows.map((row, index) => (isShort[index] ? row.subarray(at, at + 1) : nothing)),
    );
    const others = rows.map((row, index) => (isShort[index] ? nothing : row));
    return singles.length === 0 ? [rows] : others.every(({ length }) => length === 0) ? singles : [others, ...singles];
  }

  async #run(from: HeldReading, piece: Piece, outputs?: HeldReading): Promise<HeldReading> {
    const reader = await this.#readerOf(from, piece).get();
    const { inputs, rows } = piece;
    return this.#withIdle(rows, from, await reader.run({ weights: this.#weights, state: from.state, inputs, outputs }));
  }

  #readerOf({ state }: HeldReading, { form, inputs }: Piece): Compiled<Reader> {
    const { model } = this.#loaded;
    const hasLengths = inputs.lengths !== undefined;
    const isEmpty = state.position.data.every((at) => at === 0);
    // Into a growing state memory tokens are read where it is empty.
    const isFirst = isEmpty && model.config.memoryTokens > 0 && hasGrowingState(model);
    const key = `${form} ${hasLengths} ${isFirst}`;
    const known = this.#readers.get(key);
    if (known !== undefined) return known;
    const reader = new Compiled(() =>
      compileReader(this.#engine, this.#loaded, this.#options, { form, hasLengths, isFirst }),
    );
    this.#readers.set(key, reader);
    return reader;
  }

  /** What was read, with the logits of idle rows as they were. */
  #withIdle(rows: readonly Int32Array[], before: HeldReading, after: HeldReading): HeldReading {
    const { vocabularySize } = tokenConfig(this.#loaded.model.config);
    rows.forEach((row, index) => {
      if (row.length > 0) return;
      const start = index * vocabularySize;
      after.logits.data.set(before.logits.data.subarray(start, start + vocabularySize), start);
    });
    return after;
  }

  /** A set that does not hold the current state. */
  #otherSet(): HeldReading | undefined {
    return this.#sets.find((set) => set !== this.#holder);
  }
}

/** Weights that are inputs, where the engine computes; those that are constants stay as they are. */
async function place(
  engine: Engine,
  { params, buffers }: ModelWeights,
  { weightsAs }: ReaderOptions,
): Promise<PlacedWeights> {
  if (weightsAs === 'constants') return [params, buffers];
  return (await engine.place([params, buffers])) as PlacedWeights;
}
