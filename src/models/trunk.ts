/**
 * The trunk of every model: positions, a stack of blocks, and a last norm, from embeddings to hidden layers. This is the
 * Performer itself; a model family is an embedding before it and a head behind.
 */
import * as z from 'zod';
import { type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import { choice, option } from '../base/options.js';
import {
  type AttendedRows,
  applyLayerNorm,
  block,
  type Deferral,
  type Dropout,
  dropout,
  type EmbeddingParams,
  embed,
  embeddingLayout,
  feedForwardBranch,
  type LayerNormParams,
  layerNormLayout,
  positionsFrom,
  rotaryAngles,
  type Stack,
  stack,
  type TokenContext,
  type Weights,
} from '../blocks/index.js';
import {
  add,
  broadcastTo,
  cast,
  equal,
  less,
  pad,
  range,
  reshape,
  scalar,
  scope,
  size,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import {
  buildMixer,
  completeMixer,
  type Mixer,
  type MixerChoice,
  mixerChoice,
  mixerProblems,
} from '../mixers/index.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

const width = z
  .int()
  .min(1)
  .max(2 ** 16);

const fromPreset = { fallback: 'from the preset' };

const positionChoice = choice(
  'kind',
  [
    z.strictObject({ kind: z.literal('rotary') }),
    z.strictObject({
      kind: z.literal('learned'),
      maxLength: option(count, 'the longest text, for learned positions', { fallback: 'none' }),
    }),
    z.strictObject({ kind: z.literal('none') }),
  ],
  'rotary',
);

/** The options of the trunk, which every model has. */
export const trunkFields = {
  dim: option(width, 'width of the residual stream', fromPreset),
  depth: option(z.int().min(1).max(1024), 'blocks', fromPreset),
  heads: option(width, 'attention heads', fromPreset),
  headDim: option(width, 'width of a head; even for rotary positions', fromPreset),
  feedForwardMultiplier: option(
    z.number().positive().max(64).default(4),
    'hidden width of the feed-forward layers, in dims',
  ),
  attention: option(mixerChoice(), 'how tokens see each other'),
  positions: option(positionChoice, 'how positions enter'),
  tokenShift: option(z.boolean().default(true), 'half of the channels look at the token before'),
};

export type TrunkConfig = z.output<z.ZodObject<typeof trunkFields>>;

type Problem = readonly [path: readonly string[], message: string];

/** What is wrong with the options of a trunk, which no option of it sees alone. */
export function trunkProblems(config: TrunkConfig, isCausal: boolean): readonly Problem[] {
  const problems: Problem[] = mixerProblems(config.attention, { headDim: config.headDim, isCausal }).map(
    ([path, message]) => [['attention', ...path], message],
  );
  if (config.positions.kind === 'rotary' && config.headDim % 2 === 1) {
    problems.push([['headDim'], 'rotary positions need it even']);
  }
  if (Math.round(config.dim * config.feedForwardMultiplier) < 1) {
    problems.push([['feedForwardMultiplier'], `the hidden width, ${config.dim} times it, rounds to 0`]);
  }
  return problems;
}

/** The options with all that follows from others filled in. */
export function completeTrunk<C extends TrunkConfig>(config: C): C {
  return { ...config, attention: completeMixer(config.attention, config) };
}

/** The longest text that learned positions know; none where positions have no end. */
export function maxLengthOf({ positions }: TrunkConfig): number | undefined {
  return positions.kind === 'learned' ? positions.maxLength : undefined;
}

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
export interface TrunkState<T = Tensor> {
  /** Tokens read, [batch] int32. */
  readonly position: T;
  readonly blocks: readonly object[];
}

/** Rows beside the state, or the parts of it that they go into, by block. */
export interface TrunkRows {
  readonly blocks: readonly object[];
}

/** The tokens of a pass: how they are padded, which of them are real, and where they stand in their text. */
export interface TokenFrame {
  readonly length: Dim;
  /** A multiple of the chunk, where whole chunks are read. */
  readonly whole: Dim;
  /** Tokens read before, [batch] int32. */
  readonly start: Tensor;
  /** How many tokens of each row are real, [batch] int32. */
  readonly counts: Tensor;
  readonly context: TokenContext;
  /** x [batch, length, …] with zeros up to the whole length. */
  pad(x: Tensor): Tensor;
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
  readonly mask: Tensor | undefined;
  readonly state: TrunkState;
  readonly rows: TrunkRows | undefined;
  /** What the attention of each block compares. */
  readonly attended: readonly (AttendedRows | undefined)[];
}

export interface FrameInputs {
  readonly batch: Dim;
  readonly length: Dim;
  readonly state?: TrunkState | undefined;
  /** How many tokens of each row are real, [batch] int32; all unless given. */
  readonly lengths?: Tensor | undefined;
  readonly dropout?: Dropout | undefined;
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

function frameOf(
  where: string,
  config: TrunkConfig,
  mixers: readonly Mixer[],
  chunk: number,
  { batch, length, state, lengths, dropout: given }: FrameInputs,
): TokenFrame {
  if (lengths !== undefined && mixers.some(({ traits }) => !traits.isRagged)) {
    throw new PerformerError(
      'CONFIG',
      `${where}: expected rows of one length, as the state of attention: '${config.attention.kind}' keeps no mask, got lengths.`,
    );
  }
  // Padding to whole chunks happens once, on the tokens, and not on the activations of every layer.
  const isChunked = mixers.some(({ traits }) => traits.isChunked) && !(state !== undefined && length === 1);
  const whole = isChunked ? roundUp(length, chunk) : length;
  const padding = subtractDims(whole, length);
  const all = () => broadcastTo(size(length, 'int32'), [batch]);
  const masked = lengths ?? (padding === 0 ? undefined : all());
  const start = state?.position ?? broadcastTo(scalar(0, 'int32'), [batch]);
  const positions = positionsFrom(start, whole);
  const column = masked === undefined ? undefined : reshape(masked, [batch, 1]);
  const isRotary = config.positions.kind === 'rotary';
  return {
    length,
    whole,
    start,
    counts: masked ?? all(),
    context: {
      positions,
      mask: column === undefined ? undefined : less(range(whole), column), // [batch, whole]
      angles: isRotary ? scope('positions', () => rotaryAngles(positions, config.headDim)) : undefined,
      dropout: given,
      takeLast: lastTaker(batch, whole, column),
    },
    pad: (x) => pad(x, 1, 0, padding),
  };
}

/** Takes the last real token of each row; of a row without one, what was there `before` (or zeros). */
function lastTaker(batch: Dim, whole: Dim, counts: Tensor | undefined): (x: Tensor, before?: Tensor) => Tensor {
  if (counts === undefined) return (x) => slice(x, 1, subtractDims(whole, 1), whole);
  const isLast = reshape(equal(range(whole), subtract(counts, 1)), [batch, whole, 1]);
  return (x, before) => {
    const last = sum(where(isLast, x, scalar(0)), 1, true); // [batch, 1, ·]
    if (before === undefined) return last;
    return where(reshape(less(0, counts), [batch, 1, 1]), last, before);
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

/** The mixer of every layer, as it was asked for. */
export type { MixerChoice };
