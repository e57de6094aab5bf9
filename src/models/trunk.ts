/**
 * The trunk of every model: positions, a stack of blocks, and a last norm, from embeddings to hidden layers. This is the
 * Performer itself; a model family is an embedding before it and a head behind.
 */
import { addDims, type Dim } from '../base/dimension.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import {
  type AttendedRows,
  block,
  type Deferral,
  dropout,
  type EmbeddingParams,
  feedForwardBranch,
  lastNormLayout,
  type NormParams,
  normOf,
  ownNormLayout,
  type Slot,
  type SourceContext,
  type Stack,
  stack,
  type Weights,
} from '../blocks/index.js';
import { add, scope, slice, type Tensor } from '../graph/index.js';
import { buildCrossMixers, buildMixers, type CrossMixer, type Mixer } from '../mixers/index.js';
import { type FrameInputs, frameOf, type TokenFrame } from './frame.js';
import { afterMemory, begunState, memoryLayout, memoryRows } from './memory-tokens.js';
import { type PositionParams, positionLayout, positionTables, withPositions } from './positions.js';
import { keyHeadsOf, mixersByLayer, type TrunkConfig } from './trunk-options.js';

export interface TrunkParams<T = Tensor> {
  /** Of learned and axial positions. */
  readonly positions?: PositionParams<T> | undefined;
  /** [memoryTokens, dim] */
  readonly memory?: EmbeddingParams<T> | undefined;
  /** Behind the embeddings, where they have one. */
  readonly embeddingNorm?: NormParams<T> | undefined;
  readonly blocks: readonly object[];
  /** Absent after post-norm. */
  readonly norm?: NormParams<T> | undefined;
}

/** The paths of parameters of which a token takes a row. */
export const trunkTables = [...positionTables, 'memory.weight'];

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
  /** What cross-attention looks at, unless the state has it. */
  readonly source?: SourceContext | undefined;
  /** Blocks keep nothing but their inputs for the gradient, and compute the rest again there; so do steps of reversible ones. */
  readonly recompute?: boolean | undefined;
  /** What each block reads, in place of what the one before it gives. */
  readonly streams?: readonly Tensor[] | undefined;
}

export interface TrunkResult {
  /** The last hidden layer, normalised: [batch, length, dim]. */
  readonly hidden: Tensor;
  /** The hidden layer of the last real token of each row: [batch, 1, dim]. */
  readonly lastHidden: Tensor;
  /** bool, true for the rows of `attended` that are real, memory tokens among them; absent where all are. */
  readonly mask: Tensor<'bool'> | undefined;
  readonly state: TrunkState;
  readonly rows: TrunkRows | undefined;
  /**
   * The residual stream before the first block and after each of them, [batch, memory tokens and tokens, dim]; not of
   * reversible trunks, which have two.
   */
  readonly streams: readonly Tensor[];
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
  /** What is known of the tokens of a pass. */
  frame(inputs: FrameInputs): TokenFrame;
  /** The state with what cross-attention keeps of a source. */
  after(weights: Weights<TrunkParams, TrunkBuffers>, source: SourceContext, state: TrunkState): TrunkState;
  /** Embeddings [batch, whole, dim] → hidden layers. */
  apply(weights: Weights<TrunkParams, TrunkBuffers>, embedded: Tensor, inputs: TrunkInputs): TrunkResult;
}

export interface TrunkOptions {
  readonly isCausal: boolean;
  /** Tokens that causal attention takes at once; changes the speed alone. */
  readonly chunk: number;
  /** Tokens that feed-forward layers take at once; all unless given. Changes memory and speed alone. */
  readonly feedForwardChunk?: number | undefined;
  /** Blocks; as many as the config says unless given. */
  readonly depth?: number | undefined;
  /** What stands before the names of its blocks, where a model has several trunks: `encoder.`. */
  readonly prefix?: string | undefined;
  /** Whether its blocks look at a source; not unless given. */
  readonly hasSource?: boolean | undefined;
}

export function buildTrunk(config: TrunkConfig, options: TrunkOptions): Trunk {
  const { isCausal, chunk, feedForwardChunk, depth = config.depth, prefix = '', hasSource = false } = options;
  const { dim, heads, headDim, qkvBias, outputBias, queryKeyNorm, norm, activation } = config;
  const outputGain = 1 / Math.sqrt(2 * depth);
  const feedForward = {
    ...{ dim, activation, outputGain, chunk: feedForwardChunk, bias: config.feedForwardBias },
    hidden: Math.round(dim * config.feedForwardMultiplier),
    width: config.feedForwardWidth,
  };
  const sizes = {
    ...{ dim, heads, keyHeads: keyHeadsOf(config), headDim, isCausal },
    ...{ outputGain, chunk, qkvBias, outputBias, queryKeyNorm },
  };
  const chosen = mixersByLayer({ ...config, depth });
  const mixers = buildMixers(chosen, sizes);
  const crossed = hasSource ? buildCrossMixers(chosen, sizes) : [];
  const blocks = mixers.map((mixer, layer) =>
    block({
      path: `${prefix}blocks.${layer}`,
      ...{ dim, norm, isParallel: config.parallelResidual },
      tokenShift: config.tokenShift,
      slots: [
        { name: 'attention', branch: mixer, rate: 'attention' },
        ...crossSlot(crossed[layer]),
        {
          name: 'feedForward',
          branch: feedForwardBranch(feedForward),
          rate: 'feedForward',
        },
      ],
    }),
  );
  const own = stack('blocks', blocks, { isReversible: config.reversible });
  return {
    mixers,
    stack: own,
    params: {
      positions: positionLayout(config.positions, dim, config.embeddingDeviation),
      memory: memoryLayout(config),
      embeddingNorm: config.embeddingNorm ? ownNormLayout(norm, dim) : undefined,
      blocks: own.params as readonly object[],
      norm: lastNormLayout(norm, dim),
    },
    buffers: { blocks: own.buffers as readonly BufferSpec[] },
    deferral: own.deferral && trunkDeferral(own.deferral as unknown as Deferral<readonly object[], readonly object[]>),
    state: (batch) => ({
      position: { dtype: 'int32', shape: [batch], initial: 0 },
      blocks: own.state(batch) as readonly object[],
    }),
    frame: (inputs) => frameOf(config, mixers, chunk, inputs),
    after: ({ params, buffers }, source, state) => ({
      ...state,
      blocks: state.blocks.map((before, layer) => {
        const own = { params: partAt(params.blocks, layer), buffers: partAt(buffers.blocks, layer) };
        const kept = crossed[layer]?.keep(own, source);
        return kept === undefined ? before : { ...before, [crossName]: kept };
      }),
    }),
    apply: (weights, embedded, inputs) => applyTrunk({ own, config, prefix, mixers, chunk }, weights, embedded, inputs),
  };
}

const crossName = 'crossAttention';

function crossSlot(branch: CrossMixer | undefined): readonly Slot[] {
  return branch === undefined ? [] : [{ name: crossName, branch, rate: 'attention' }];
}

/** What the cross-attention of a block has of a tree of weights. */
function partAt(blocks: readonly object[], layer: number): object {
  return (blocks[layer] as { readonly [crossName]?: object })[crossName] ?? {};
}

function trunkDeferral(blocks: Deferral<readonly object[], readonly object[]>): Deferral<TrunkRows, TrunkRows> {
  return {
    state: (batch) => ({ blocks: blocks.state(batch) as readonly object[] }),
    rows: (batch, window) => ({ blocks: blocks.rows(batch, window) as readonly object[] }),
    settle: (state, rows) => ({ blocks: blocks.settle(state.blocks, rows.blocks) }),
    isTaken: (row) => blocks.isTaken(row.blocks as never),
  };
}

interface BuiltTrunk {
  readonly own: Stack;
  readonly config: TrunkConfig;
  readonly prefix: string;
  readonly mixers: readonly Mixer[];
  readonly chunk: number;
}

function applyTrunk(
  { own, config, prefix, mixers, chunk }: BuiltTrunk,
  { params, buffers }: Weights<TrunkParams, TrunkBuffers>,
  embedded: Tensor,
  { frame, state, rows, source, recompute = false, streams }: TrunkInputs,
): TrunkResult {
  const { length, memory: before, start, counts } = frame;
  const context = { ...frame.context, source, streams: streams?.map((x) => frame.pad(x)) };
  const { rates, key } = context.dropout ?? {};
  const placed = scope('embedding', () =>
    withPositions(config.positions, params.positions, embedded, {
      at: frame.tokens.positions,
      mask: frame.tokens.mask,
      deviation: config.embeddingDeviation,
    }),
  );
  const normed = (own: NormParams | undefined, x: Tensor) => (own === undefined ? x : normOf(config.norm)(own, x));
  const begun = scope('embeddingNorm', () => normed(params.embeddingNorm, placed));
  const dropped = dropout(begun, rates?.embedding ?? 0, `${prefix}embedding`, key);
  const x = before === 0 ? dropped : afterMemory(params.memory!, dropped);
  const weights = { params: params.blocks, buffers: buffers.blocks };
  const withMemory = (blocks: readonly object[]) => {
    // A row of which tokens stand beside the state has begun.
    if (params.memory === undefined || rows !== undefined) return blocks;
    const [batch, count] = [start.dim(0), config.memoryTokens];
    const frameFor = (lengths?: Tensor<'int32'>) =>
      frameOf({ ...config, memoryTokens: 0 }, mixers, chunk, { batch, length: count, lengths });
    return begunState(blocks, count, {
      ...{ stack: own, weights, position: start, counts },
      rows: () => frameFor().pad(memoryRows(params.memory!, batch)),
      context: (lengths) => ({ ...frameFor(lengths).context, source }),
    });
  };
  const memory = state && { state: withMemory(state.blocks), rows: rows?.blocks };
  const kept = recompute ? 'inputs' : config.reversible ? 'last' : 'all';
  const result = own.apply(weights, x, context, memory, kept);
  const last = (x: Tensor) => scope('norm', () => normed(params.norm, x));
  return {
    hidden: last(slice(result.output, 1, before, addDims(before, length))),
    lastHidden: last(context.takeLast(result.output)),
    mask: context.mask,
    state: { position: add(start, counts), blocks: result.state },
    rows: result.row && { blocks: result.row },
    streams: [x, ...result.outputs].map((stream) => slice(stream, 1, 0, context.length)),
    attended: result.attendedByBlock,
  };
}
