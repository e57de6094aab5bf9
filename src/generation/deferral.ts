/**
 * Reading tokens beside the state (attention/deferred.ts) in place of writing the state for each.
 *
 * An engine on the host copies all that a run gives back, and the state is the most of it. So a token gives back a row
 * for each head, and the rows are added to the state when the window is full or the state itself is wanted.
 */
import type { AttentionState, DeferredState, RecentTokens } from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import { mapTree } from '../base/tree.js';
import type { BlockState } from '../blocks/index.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { Compiled } from './compiled.js';
import {
  compileReader,
  compileRowAdder,
  type HeldReading,
  inSinglePrecision,
  type Model,
  type Reader,
  type ReaderInputs,
  type Reading,
  type RowAdder,
} from './reader.js';
import { RecentRows } from './recent-rows.js';

/** By block, the tokens that stand beside a state: [batch, heads, count, ·]. */
export type DeferredRows = readonly RecentTokens<HostTensor>[];

type Blocks = readonly BlockState<EngineTensor>[];

/** Whether tokens can stand beside such states: those of linear attention. */
export function isDeferrable(blocks: Blocks): boolean {
  return blocks.every(({ attention }) => 'sum' in attention);
}

/** The tokens after a state of linear attention. */
export class Deferral {
  /** Whether the engine computes on the host, where reading tokens beside the state is worth it. */
  readonly isOnHost: boolean;
  readonly #rows: RecentRows;
  readonly #reader: Compiled<Reader>;
  readonly #adder: Compiled<RowAdder>;

  /** After states like those of `blocks`. */
  constructor(engine: Engine, model: Model, batch: number, blocks: Blocks) {
    this.isOnHost = blocks.every(({ attention }) => 'sum' in attention && !('isPlaced' in attention.sum));
    this.#rows = new RecentRows(blocks);
    this.#reader = new Compiled(() => compileReader(engine, model, batch, 'beside'));
    this.#adder = new Compiled(() => compileRowAdder(engine, model, batch));
  }

  get isEmpty(): boolean {
    return this.#rows.isEmpty;
  }

  get isFull(): boolean {
    return this.#rows.isFull;
  }

  clear(): void {
    this.#rows.clear();
  }

  /** The tokens, for a saved state. */
  save(): DeferredRows {
    return this.#rows.copy();
  }

  /** Goes on after these tokens. */
  load(saved: DeferredRows): void {
    this.#rows.restore(saved);
  }

  /** Reads a token of each row after `current` and its recent rows; nothing where it has to go into the state. */
  async read({ state }: HeldReading, inputs: ReaderInputs): Promise<HeldReading | undefined> {
    const given = { ...state, blocks: this.#rows.after(state.blocks) };
    const written = await (await this.#reader.get()).run([given, inputs]);
    const { logits, state: next }: Reading = mapTree(written as Reading, inSinglePrecision);
    const isTaken = this.#rows.push(next.blocks.map(({ attention }) => attention as RecentTokens<HostTensor>));
    if (!isTaken) return undefined;
    return { logits, state: { position: next.position, blocks: withAttentionOf(state.blocks, next.blocks) } };
  }

  /** Adds the recent rows to the states of `current`, and writes the sums to the tensors of `set`. */
  async settle({ logits, state }: HeldReading, set: HeldReading): Promise<HeldReading> {
    const given = this.#rows.after(state.blocks).map(({ attention }) => attention as DeferredState<HostTensor>);
    const outputs = set.state.blocks.map(({ attention }) => attention as AttentionState<HostTensor>);
    await (await this.#adder.get()).run([given], { outputs });
    this.#rows.clear();
    return { logits, state: { ...state, blocks: withAttentionOf(set.state.blocks, state.blocks) } };
  }

  async dispose(): Promise<void> {
    await this.#reader.dispose();
    await this.#adder.dispose();
  }
}

function withAttentionOf(held: Blocks, blocks: Blocks): Blocks {
  return held.map(({ attention }, index) => ({ ...blocks[index], attention }));
}
