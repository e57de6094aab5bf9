/**
 * The causal language model: embedding, pre-norm blocks of causal attention and feed-forward, a norm and logits.
 *
 * One definition serves training (a window of tokens), reading a prompt (a window after a state) and generating (one
 * token after a state, in constant time and memory).
 */

import { emptyLogScale, stateFeatureCount } from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import { zeros } from '../base/array.js';
import { type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { leavesOf, mapTree } from '../base/tree.js';
import {
  type AttendedRows,
  applyLayerNorm,
  type BlockParams,
  type BlockState,
  block,
  blockLayout,
  type DropoutKey,
  dropout,
  type EmbeddingParams,
  embed,
  embeddingLayout,
  initialize,
  type LayerNormParams,
  type LinearParams,
  layerNormLayout,
  linear,
  linearLayout,
  type ParameterSpec,
  positionsFrom,
  rotaryAngles,
  shiftWidth,
} from '../blocks/index.js';
import {
  drawFeatureParts,
  type FeatureMap,
  type FeatureMapParts,
  featureMap,
  featurePartsLayout,
  isSignedMap,
  projectionDigest,
} from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  equal,
  less,
  matmul,
  pad,
  type RecomputedInputs,
  range,
  recomputed,
  reshape,
  scalar,
  scope,
  size,
  slice,
  spec,
  subtract,
  sum,
  type Tensor,
  type TensorSpec,
  where,
} from '../graph/index.js';
import { featureMapOptions, type LanguageModelConfig } from './config.js';

export interface LanguageModelParams<T = Tensor> {
  readonly embedding: EmbeddingParams<T>;
  /** [maxLength, dim], for learned positions. */
  readonly positions?: EmbeddingParams<T>;
  readonly blocks: readonly BlockParams<T>[];
  readonly norm: LayerNormParams<T>;
  /** [dim, vocabulary]; absent where it is tied to the embedding. */
  readonly logits?: LinearParams<T>;
}

/**
 * What the feature maps are made of beside the parameters: random projections `blocks.0.attention.projection` and so on,
 * and the shapes of maps that are shaped by moments, `blocks.0.attention.shape.query`.
 */
export interface Projections<T = Tensor> {
  readonly blocks: readonly { readonly attention: Pick<FeatureMapParts<T>, 'projection' | 'shape'> }[];
}

/** All that a model keeps of the tokens that it has read. */
export interface LanguageModelState<T = Tensor> {
  /** Tokens read, [batch] int32. */
  readonly position: T;
  readonly blocks: readonly BlockState<T>[];
}

export interface LanguageModelInputs {
  /** [batch, length] int32 */
  readonly tokens: Tensor;
  /** Absent for exact softmax attention. */
  readonly projections?: Projections;
  readonly state?: LanguageModelState;
  /** How many tokens of each row are real, [batch] int32; all unless given. Not for exact attention. */
  readonly lengths?: Tensor;
  /** Given in training alone. */
  readonly dropout?: DropoutKey;
  /** Blocks keep nothing but their inputs for the gradient, and compute the rest again there. */
  readonly recompute?: boolean;
}

/** The parameters of a model without their values. */
export function languageModelLayout(config: LanguageModelConfig): LanguageModelParams<ParameterSpec> {
  const { dim, depth, heads, headDim, vocabularySize, maxLength } = config;
  const sizes = {
    dim,
    inner: heads * headDim,
    hidden: Math.round(dim * config.feedForwardMultiplier),
    outputGain: 1 / Math.sqrt(2 * depth),
    ...(config.attention === 'favor+' && config.featureMap === 'hedgehog'
      ? { learnedFeatures: { heads, headDim } }
      : {}),
  };
  return {
    embedding: embeddingLayout(vocabularySize, dim),
    ...(maxLength === undefined ? {} : { positions: embeddingLayout(maxLength, dim) }),
    blocks: Array.from({ length: depth }, () => blockLayout(sizes)),
    norm: layerNormLayout(dim),
    ...(config.tiedEmbedding ? {} : { logits: linearLayout(dim, vocabularySize) }),
  };
}

export function initLanguageModel(config: LanguageModelConfig, random: Random): LanguageModelParams<HostTensor> {
  return initialize(languageModelLayout(config), random);
}

/** The projections of a model without their values. */
export function projectionLayout(config: LanguageModelConfig): Projections<TensorSpec> {
  if (config.attention !== 'favor+') return { blocks: [] };
  const attention = featurePartsLayout(featureMapOptions(config), config.heads);
  return { blocks: Array.from({ length: config.depth }, () => ({ attention })) };
}

/** One projection per layer, shared by its heads; none for exact attention and for maps without one. */
export function drawProjections(config: LanguageModelConfig, random: Random): Projections<HostTensor<'float32'>> {
  if (config.attention !== 'favor+') return { blocks: [] };
  const options = featureMapOptions(config);
  return {
    blocks: Array.from({ length: config.depth }, (_, layer) => ({
      attention: drawFeatureParts(options, config.heads, random.split(layer)),
    })),
  };
}

/** Tells one set of projections from another: a state means nothing to others than those it was made with. */
export function projectionsDigest(projections: Projections<HostTensor<'float32'>>): string {
  return projectionDigest(leavesOf(projections).map(([, leaf]) => leaf as unknown as HostTensor<'float32'>));
}

/** The state of a model without its values. */
export function stateLayout(config: LanguageModelConfig, batch: number): LanguageModelState<TensorSpec> {
  const { heads, headDim, dim, depth } = config;
  const features = stateFeatureCount({
    featureCount: config.featureCount,
    isSigned: isSignedMap(featureMapOptions(config)),
  });
  const attention = () => {
    if (config.attention === 'none') return {};
    if (config.attention === 'softmax') {
      const nothing = spec('float32', [batch, heads, 0, headDim]);
      return { key: nothing, value: nothing };
    }
    const sum = spec('float32', [batch, heads, features, headDim + 1]);
    return { sum, logScale: spec('float32', [batch, heads, features]) };
  };
  const shift = spec('float32', [batch, 1, shiftWidth(dim)]);
  return {
    position: spec('int32', [batch]),
    blocks: Array.from({ length: depth }, () => ({
      attention: attention(),
      ...(config.tokenShift ? { attentionShift: shift, feedForwardShift: shift } : {}),
    })),
  };
}

/** The state before the first token. It belongs to one set of projections, which no graph can check: see `projectionsDigest`. */
export function initialState(config: LanguageModelConfig, batch: number): LanguageModelState<HostTensor> {
  return mapTree(stateLayout(config, batch), ({ dtype, shape }: TensorSpec, path) => {
    const values = zeros(dtype, shape as readonly number[]);
    if (path.endsWith('.logScale')) values.data.fill(emptyLogScale as never);
    return values;
  });
}

export interface LanguageModelResult {
  /** The last hidden layer, normalised: [batch, length, dim]. */
  readonly hidden: Tensor;
  /** The hidden layer of the last real token of each row: [batch, 1, dim]. */
  readonly lastHidden: Tensor;
  readonly state: LanguageModelState;
  /** What the attention of each block compares, for statistics. */
  readonly attended: readonly AttendedRows[];
  /** [batch, length'], true for real tokens, where the tokens were padded or lengths were given. */
  readonly mask: Tensor | undefined;
}

/** Reads tokens and returns hidden layers and the next state; `logitsOf` turns the former into logits. */
export function readTokens(
  config: LanguageModelConfig,
  params: LanguageModelParams,
  { tokens, projections, state, lengths, dropout: dropoutKey, recompute = false }: LanguageModelInputs,
): LanguageModelResult {
  const [batch, length] = tokens.shape as [Dim, Dim];
  checkLength('readTokens', config, length);
  if (lengths !== undefined && config.attention === 'softmax') {
    throw new PerformerError(
      'CONFIG',
      "readTokens: expected rows of one length, as the state of attention: 'softmax' keeps no mask, got lengths.",
    );
  }
  // Padding to whole chunks happens once, on the tokens, and not on the activations of every layer.
  const isChunked = config.attention === 'favor+' && !(state !== undefined && length === 1);
  const whole = isChunked ? roundUp(length, config.chunk) : length;
  const padding = subtractDims(whole, length);
  const padded = pad(tokens, 1, 0, padding);
  const counts = lengths ?? (padding === 0 ? undefined : lengthOfRows(tokens));
  const start = state?.position ?? broadcastTo(scalar(0, 'int32'), [batch]);
  const positions = positionsFrom(start, whole);
  const column = counts === undefined ? undefined : reshape(counts, [batch, 1]);
  const keyMask = column === undefined ? undefined : less(range(whole), column); // [batch, whole]
  const takeLast = lastTaker(batch, whole, column);

  let x = scope('embedding', () => {
    const embedded = embed(params.embedding, padded);
    if (params.positions === undefined) return embedded;
    // Padding may reach beyond the table, and nobody sees what it reads; a real token there is an error of the engine.
    const known = cast(positions, 'int32');
    const read = keyMask === undefined ? known : where(keyMask, known, scalar(0, 'int32'));
    return add(embedded, embed(params.positions, read));
  });
  x = dropout(x, config.embeddingDropout, 'embedding', dropoutKey);
  const angles =
    config.positions === 'rotary' ? scope('positions', () => rotaryAngles(positions, config.headDim)) : undefined;
  const states: BlockState[] = [];
  const attended: AttendedRows[] = [];
  params.blocks.forEach((blockParams, layer) => {
    const path = `blocks.${layer}`;
    const blockState = state?.blocks[layer];
    const run = ({ activations, params: own }: BlockInputs) => {
      const features = featuresOf(config, own, projections?.blocks[layer]?.attention);
      return block(own, activations.x, {
        ...config,
        path,
        takeLast,
        ...(features === undefined ? {} : { features }),
        ...(features?.usesPosition ? { tokenPositions: positions } : {}),
        ...(angles === undefined ? {} : { angles }),
        ...(keyMask === undefined ? {} : { keyMask }),
        ...(blockState === undefined ? {} : { state: blockState }),
        ...(activations.dropoutKey === undefined ? {} : { dropoutKey: activations.dropoutKey }),
      });
    };
    const inputs = { activations: { x, ...(dropoutKey === undefined ? {} : { dropoutKey }) }, params: blockParams };
    const result = scope(path, () => (recompute ? recomputed(inputs, run) : run(inputs)));
    x = result.output;
    states.push(result.state);
    attended.push(result.attended);
  });
  const added = counts ?? lengthOfRows(tokens);
  return {
    hidden: scope('norm', () => applyLayerNorm(params.norm, slice(x, 1, 0, length))),
    lastHidden: scope('norm', () => applyLayerNorm(params.norm, takeLast(x))),
    state: { position: add(start, added), blocks: states },
    attended,
    mask: keyMask,
  };
}

/** How many tokens the rows [batch, length] have: [batch] int32. */
export function lengthOfRows(tokens: Tensor): Tensor {
  return broadcastTo(size(tokens.dim(1), 'int32'), [tokens.dim(0)]);
}

/** Throws CONFIG for more tokens than there are learned positions. */
export function checkLength(where: string, { maxLength }: LanguageModelConfig, length: Dim): void {
  if (maxLength === undefined || typeof length !== 'number' || length <= maxLength) return;
  throw new PerformerError(
    'CONFIG',
    `${where}: expected at most maxLength = ${maxLength} tokens for learned positions, got ${length}. ` +
      'Use rotary positions, or a longer maxLength.',
  );
}

type BlockInputs = RecomputedInputs<{ readonly x: Tensor; readonly dropoutKey?: DropoutKey }, BlockParams>;

/** The feature map of a block; none for attention without one. */
function featuresOf(
  config: LanguageModelConfig,
  { attention }: BlockParams,
  parts: Projections['blocks'][number]['attention'] | undefined,
): FeatureMap | undefined {
  if (config.attention !== 'favor+') return undefined;
  return featureMap(featureMapOptions(config), {
    ...parts,
    ...(attention.features === undefined ? {} : { learned: attention.features }),
  });
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

/** hidden [batch, length, dim] → logits [batch, length, vocabulary]. */
export function logitsOf({ embedding, logits }: LanguageModelParams, hidden: Tensor): Tensor {
  return scope('logits', () => {
    if (logits !== undefined) return linear(logits, hidden);
    return matmul(hidden, embedding.weight, { transposeRight: true });
  });
}
