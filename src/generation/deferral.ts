/**
 * Reading tokens beside the state (attention/deferred.ts) in place of writing the state for each.
 *
 * An engine on the host copies all that a run gives back, and the state is the most of it. So a token gives back a row
 * for each head, and the rows are added to the state when the window is full or the state itself is wanted.
 */
import { mergeTrees, pickTree } from '../base/tree.js';
import type { Deferral } from '../blocks/index.js';
import type { Engine } from '../engine/index.js';
import { specsOf } from '../graph/index.js';
import type { LoadedModel, TrunkRows } from '../models/index.js';
import { Compiled } from './compiled.js';
import {
  compileReader,
  type HeldReading,
  type ReadArguments,
  type Reader,
  type ReaderInputs,
  type ReaderOptions,
  rowWindow,
} from './reader.js';
import { RecentRows } from './recent-rows.js';

/** What adds rows to the state. */
interface Settler {
  run(state: TrunkRows, rows: TrunkRows, outputs: TrunkRows): Promise<void>;
  dispose(): Promise<void>;
}

async function compileSettler(
  engine: Engine,
  deferral: Deferral<TrunkRows, TrunkRows>,
  batch: number,
): Promise<Settler> {
  const executable = await engine.compile(
    ({ state }: { readonly state: TrunkRows }, { rows }: { readonly rows: TrunkRows }) => deferral.settle(state, rows),
    [
      { state: specsOf<object>(deferral.state(batch)) as TrunkRows },
      { rows: specsOf<object>(deferral.rows(batch, rowWindow)) as TrunkRows },
    ],
  );
  return {
    async run(state, rows, outputs) {
      await executable.run([{ state }, { rows }], { outputs });
    },
    dispose: () => executable.dispose(),
  };
}

/** The tokens after a state that others stand beside. */
export class DeferredTokens {
  readonly #deferral: Deferral<TrunkRows, TrunkRows>;
  readonly #batch: number;
  readonly #rows: RecentRows;
  readonly #readers: Readonly<Record<'all' | 'some', Compiled<Reader>>>;
  readonly #settler: Compiled<Settler>;

  constructor(engine: Engine, loaded: LoadedModel, deferral: Deferral<TrunkRows, TrunkRows>, options: ReaderOptions) {
    const reader = (hasLengths: boolean) =>
      new Compiled(() => compileReader(engine, loaded, options, { form: 'beside', hasLengths }));
    this.#deferral = deferral;
    this.#batch = options.batch;
    this.#rows = new RecentRows(deferral, options.batch);
    this.#readers = { all: reader(false), some: reader(true) };
    this.#settler = new Compiled(() => compileSettler(engine, deferral, options.batch));
  }

  get isEmpty(): boolean {
    return this.#rows.isEmpty;
  }

  get isFull(): boolean {
    return this.#rows.isFull;
  }

  /** The tokens, for a saved state. */
  save(): TrunkRows {
    return this.#rows.copy();
  }

  /** Goes on after these tokens. */
  load(saved: TrunkRows): void {
    this.#rows.restore(saved);
  }

  /** Reads a token after `current` and its recent rows; nothing where it has to go into the state. */
  async read(
    { state }: HeldReading,
    inputs: ReaderInputs,
    weights: ReadArguments['weights'],
  ): Promise<HeldReading | undefined> {
    const reader = await this.#readers[inputs.lengths === undefined ? 'all' : 'some'].get();
    const { logits, state: next, row } = await reader.run({ weights, state, inputs, rows: this.#rows.rows });
    if (row === undefined || !this.#rows.push(row)) return undefined;
    return { logits, state: mergeTrees(state, next) };
  }

  /** Adds the recent rows to the state of `current`, and writes what changes to the tensors of `set`. */
  async settle({ logits, state }: HeldReading, set: HeldReading): Promise<HeldReading> {
    const like = this.#deferral.state(this.#batch);
    const [before, after] = [pickTree(state, like), pickTree(set.state, like)];
    await (await this.#settler.get()).run(before, this.#rows.rows, after);
    this.#rows.clear();
    return { logits, state: mergeTrees(state, after) };
  }

  async dispose(): Promise<void> {
    for (const reader of Object.values(this.#readers)) await reader.dispose();
    await this.#settler.dispose();
  }
}
