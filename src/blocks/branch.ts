/**
 * A branch: what a block adds to its residual stream. Attention is one, the feed-forward layer another.
 *
 * A branch is layouts and one `apply`. Whoever holds branches (a block, a stack, a model) joins their layouts and knows
 * nothing of what is in them, so that the trees are plain objects here and have their types inside of the branch.
 */
import type { Dim } from '../base/dimension.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import type { MapLeaves } from '../base/tree.js';
import type { Tensor } from '../graph/index.js';
import type { Dropout } from './dropout.js';
import type { RotaryAngles } from './position.js';

/** The values of what a branch or a model learns and draws. */
export interface Weights<P extends object = object, B extends object = object> {
  /** Learned. */
  readonly params: P;
  /** Drawn and measured: random projections, shapes of features. */
  readonly buffers: B;
}

/** What another model has read, for cross-attention. */
export interface SourceContext {
  /** Hidden layers [batch, source, dim]. */
  readonly hidden: Tensor;
  /** bool [batch, source], true for real tokens; absent where all are. */
  readonly mask?: Tensor<'bool'> | undefined;
  /** uint32 [batch, source] */
  readonly positions: Tensor<'uint32'>;
}

/** What attention hands on to later layers, whose tokens may look where its tokens looked. */
export interface SharedAttention {
  readonly rows: SharedRows;
  /** What the layer learned and drew. */
  readonly weights: Weights;
}

/** Queries and outputs [batch, length, heads, headDim] of attention, and its keys [batch, length, keyHeads, headDim]. */
export interface SharedRows {
  readonly query: Tensor;
  readonly key: Tensor;
  /** [batch, length, keyHeads], where keys decay. */
  readonly logDecay?: Tensor | undefined;
  /** Before the output projection. */
  readonly output: Tensor;
}

/** What is known of the tokens that a pass reads, the same for every branch. */
export interface TokenContext {
  /** Tokens of a pass without the padding to whole chunks. */
  readonly length: Dim;
  /** uint32 [batch, length] */
  readonly positions: Tensor<'uint32'>;
  /** bool [batch, length], true for real tokens; absent where all are. */
  readonly mask?: Tensor<'bool'> | undefined;
  /** Of rotary positions. */
  readonly angles?: RotaryAngles | undefined;
  /** Given in training alone. */
  readonly dropout?: Dropout | undefined;
  /** What cross-attention looks at, where it was not kept in the state before. */
  readonly source?: SourceContext | undefined;
  /**
   * What each block of a stack reads, in place of what the one before it gives: so that each can learn by itself. Not for
   * reversible stacks, whose blocks read two.
   */
  readonly streams?: readonly Tensor[] | undefined;
  /** The attention of the nearest earlier layer that hands on its own. */
  readonly shared?: SharedAttention | undefined;
  /**
   * The last real tokens of each row, as many as `before` has, and its own where x has fewer: [batch, length, ·] →
   * [batch, tokens, ·]. Without `before` the last one, or zeros.
   */
  takeLast(x: Tensor, before?: Tensor): Tensor;
}

/** What a branch keeps of the tokens before. */
export interface Memory<S extends object = object, R extends object = object> {
  readonly state: S;
  /** The last tokens where they stand beside the state (`Deferral`). */
  readonly rows?: R | undefined;
}

/** The rows that attention compares, for statistics and pictures: [batch, length, heads, headDim], keys and values of their heads. */
export interface AttendedRows {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
}

/** What a branch gives for a run of tokens. */
export interface BranchResult<S extends object = object, R extends object = object> {
  /** [batch, length, dim] */
  readonly output: Tensor;
  /** After the last token; where rows stand beside the state, only the parts that change all the same. */
  readonly state: S;
  /** The token that was read, where rows stand beside the state. */
  readonly row?: R | undefined;
  readonly attended?: AttendedRows | undefined;
  /** What it hands on to later layers. */
  readonly shared?: SharedRows | undefined;
  /** What the branch that hands on learned and drew, as a block tells it. */
  readonly sharedWeights?: Weights | undefined;
}

/**
 * Reading single tokens beside the state in place of writing the state for each: the state is the most of what an engine
 * on the host copies. A token gives back a row, and many rows go into the state at once.
 */
export interface Deferral<S extends object = object, R extends object = object> {
  /** The parts of the state that rows go into. */
  state(batch: Dim): MapLeaves<S, StateSpec>;
  /** `window` rows, all empty: [batch, heads, window, ·]. */
  rows(batch: number, window: number): MapLeaves<R, StateSpec>;
  /** Those parts with the rows in them. */
  settle(state: S, rows: R): S;
  /** Whether such a row [batch, heads, 1, ·] can stand beside the state; otherwise its token must go into the state. */
  isTaken(row: MapLeaves<R, { readonly data: ArrayLike<number> }>): boolean;
}

/** What a block adds to its residual stream: layouts of what it learns, draws and keeps, and the function itself. */
export interface Branch<
  P extends object = object,
  B extends object = object,
  S extends object = object,
  R extends object = object,
> {
  readonly params: MapLeaves<P, ParameterSpec>;
  readonly buffers: MapLeaves<B, BufferSpec>;
  /** The state before the first token. */
  state(batch: Dim): MapLeaves<S, StateSpec>;
  /** Absent where tokens cannot be read beside the state. */
  readonly deferral?: Deferral<S, R> | undefined;
  /** x [batch, length, dim] → the output and what comes after. */
  apply(weights: Weights<P, B>, x: Tensor, context: TokenContext, memory?: Memory<S, R>): BranchResult<S, R>;
}

type Named<T> = Readonly<Record<string, T>>;

/** Deferrals by name as one, whose states and rows have the same names. */
export function joinDeferrals<S extends object, R extends { readonly [K in keyof S]: object }>(
  parts: { readonly [K in keyof S]: Deferral<S[K] & object, R[K]> },
): Deferral<S, R> {
  const list = Object.entries(parts) as readonly (readonly [string, Deferral])[];
  const each = (of: (deferral: Deferral, name: string) => object) =>
    Object.fromEntries(list.map(([name, deferral]) => [name, of(deferral, name)])) as never;
  const at = (tree: object, name: string) => (tree as Named<object>)[name]!;
  return {
    state: (batch) => each((deferral) => deferral.state(batch)),
    rows: (batch, window) => each((deferral) => deferral.rows(batch, window)),
    settle: (state, rows) => each((deferral, name) => deferral.settle(at(state, name), at(rows, name))),
    isTaken: (row) => list.every(([name, deferral]) => deferral.isTaken(at(row, name) as never)),
  };
}
