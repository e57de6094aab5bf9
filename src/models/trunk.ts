/**
 * The trunk of every model: positions, a stack of blocks, and a last norm, from embeddings to hidden layers. This is the
 * Performer itself; a model family is an embedding before it and a head behind.
 */
import type { Dim } from '../base/dimension.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import {
  type AttendedRows,
  applyLayerNorm,
  block,
  type Deferral,
  dropout,
  type EmbeddingParams,
  embed,
  embeddingLayout,
  feedForwardBranch,
  type LayerNormParams,
  layerNormLayout,
  type Stack,
  stack,
  type TokenContext,
  type Weights,
} from '../blocks/index.js';
import { add, cast, scalar, scope, slice, type Tensor, where } from '../graph/index.js';
import { buildMixer, type Mixer } from '../mixers/index.js';
import { type FrameInputs, frameOf, type TokenFrame } from './frame.js';
import { maxLengthOf, type TrunkConfig } from './trunk-options.js';

export interface TrunkParams<T = Tensor> {
  /** [maxLength, dim], for learned positions. */
  readonly positions?: EmbeddingParams<T> | undefined;
  readonly blocks: readonly object[];
  readonly norm: LayerNormParams<T>;
}

export interface TrunkBuffers {
  readonly blocks: readonly object[];
}

/** All that a trunk keeps of the tokens that it has read. */
export interface TrunkState<T = Tensor<'int32'>> {
  /** Tokens read, [batch] int32. */
  readonly position: T;
  readonly blocks: readonly object[];
}

/** Rows beside the state, or the parts of it that they go into, by block. */
export interface TrunkRows {
  readonly blocks: readonly object[];
}

export interface TrunkInputs {
  readonly frame: TokenFrame;
  readonly state?: TrunkState | undefined;
  readonly rows?: TrunkRows | undefined;
  /** Blocks keep nothing but their inputs for the gradient, and compute the rest again there. */
  readonly recompute?: boolean | undefined;
}

export interface TrunkResult {
  /** The last hidden layer, normalised: [batch, length, dim]. */
  readonly hidden: Tensor;
  /** The hidden layer of the last real token of each row: [batch, 1, dim]. */
  readonly lastHidden: Tensor;
  /** bool [batch, length], true for real tokens; absent where all are. */
  readonly mask: Tensor<'bool'> | undefined;
  readonly state: TrunkState;
  readonly rows: TrunkRows | undefined;
  /** What the attention of each block compares. */
  readonly attended: readonly (AttendedRows | undefined)[];
}

export interface Trunk {
  readonly params: TrunkParams<ParameterSpec>;
  readonly buffers: { readonly blocks: readonly BufferSpec[] };
  readonly mixers: readonly Mixer[];
  readonly stack: Stack;
  readonly deferral: Deferral<TrunkRows, TrunkRows> | undefined;
  state(batch: Dim): TrunkState<StateSpec>;
  /** What is known of the tokens of a pass. Throws CONFIG for lengths where the mixers keep no mask. */
  frame(where: string, inputs: FrameInputs): TokenFrame;
  /** Embeddings [batch, whole, dim] → hidden layers. */
  apply(weights: Weights<TrunkParams, TrunkBuffers>, embedded: Tensor, inputs: TrunkInputs): TrunkResult;
}

export interface TrunkOptions {
  readonly isCausal: boolean;
  /** Tokens that causal attention takes at once; changes the speed alone. */
  readonly chunk: number;
}

export function buildTrunk(config: TrunkConfig, { isCausal, chunk }: TrunkOptions): Trunk {
  const { dim, depth, heads, headDim } = config;
  const outputGain = 1 / Math.sqrt(2 * depth);
  const hidden = Math.round(dim * config.feedForwardMultiplier);
  const mixers = Array.from({ length: depth }, () =>
    buildMixer(config.attention, { dim, heads, headDim, isCausal, outputGain, chunk }),
  );
  const blocks = mixers.map((mixer, layer) =>
    block({
      path: `blocks.${layer}`,
      dim,
      tokenShift: config.tokenShift,
      slots: [
        { name: 'attention', branch: mixer },
        { name: 'feedForward', branch: feedForwardBranch(dim, hidden, outputGain) },
      ],
    }),
  );
  const own = stack('blocks', blocks);
  const maxLength = maxLengthOf(config);
  return {
    mixers,
    stack: own,
    params: {
      positions: maxLength === undefined ? undefined : embeddingLayout(maxLength, dim),
      blocks: own.params as readonly object[],
      norm: layerNormLayout(dim),
    },
    buffers: { blocks: own.buffers as readonly BufferSpec[] },
    deferral: own.deferral && trunkDeferral(own.deferral as unknown as Deferral<readonly object[], readonly object[]>),
    state: (batch) => ({
      position: { dtype: 'int32', shape: [batch], initial: 0 },
      blocks: own.state(batch) as readonly object[],
    }),
    frame: (where, inputs) => frameOf(where, config, mixers, chunk, inputs),
    apply: (weights, embedded, inputs) => applyTrunk(own, weights, embedded, inputs),
  };
}

function trunkDeferral(blocks: Deferral<readonly object[], readonly object[]>): Deferral<TrunkRows, TrunkRows> {
  return {
    state: (batch) => ({ blocks: blocks.state(batch) as readonly object[] }),
    rows: (batch, window) => ({ blocks: blocks.rows(batch, window) as readonly object[] }),
    settle: (state, rows) => ({ blocks: blocks.settle(state.blocks, rows.blocks) }),
    isTaken: (row) => blocks.isTaken(row.blocks as never),
  };
}

function applyTrunk(
  own: Stack,
  { params, buffers }: Weights<TrunkParams, TrunkBuffers>,
  embedded: Tensor,
  { frame, state, rows, recompute = false }: TrunkInputs,
): TrunkResult {
  const { context, length, start, counts } = frame;
  const { rates, key } = context.dropout ?? {};
  const placed = scope('embedding', () => withPositions(params.positions, embedded, context));
  const x = dropout(placed, rates?.embedding ?? 0, 'embedding', key);
  const memory = state && { state: state.blocks, rows: rows?.blocks };
  const result = own.apply({ params: params.blocks, buffers: buffers.blocks }, x, context, memory, recompute);
  return {
    hidden: scope('norm', () => applyLayerNorm(params.norm, slice(result.output, 1, 0, length))),
    lastHidden: scope('norm', () => applyLayerNorm(params.norm, context.takeLast(result.output))),
    mask: context.mask,
    state: { position: add(start, counts), blocks: result.state },
    rows: result.row && { blocks: result.row },
    attended: result.attendedByBlock,
  };
}

/** Embeddings with learned positions. */
function withPositions(
  table: EmbeddingParams | undefined,
  embedded: Tensor,
  { positions, mask }: TokenContext,
): Tensor {
  if (table === undefined) return embedded;
  // Padding may reach beyond the table, and nobody sees what it reads; a real token there is an error of the engine.
  const known = cast(positions, 'int32');
  return add(embedded, embed(table, mask === undefined ? known : where(mask, known, scalar(0, 'int32'))));
}
