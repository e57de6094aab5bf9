/**
 * What every model is, whatever its family: layouts of parameters, buffers and state, and one `apply`.
 *
 * Training, generation, files and the command line see this interface alone. Trees of weights and states are plain
 * objects to them, whose leaves have paths such as `blocks.0.attention.query.weight`.
 */
import type * as z from 'zod';
import type { HostTensor } from '../base/array.js';
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { emptyState, type StateSpec } from '../base/layout.js';
import { leavesOf } from '../base/tree.js';
import type { Deferral, Dropout, Weights } from '../blocks/index.js';
import type { ImageSize } from '../data/index.js';
import { projectionDigest } from '../features/index.js';
import type { Tensor } from '../graph/index.js';
import type { Mixer } from '../mixers/index.js';
import type { InputSpecs, ModelInputs } from './inputs.js';
import type { VectorConfig } from './options.js';
import type { TrunkResult, TrunkRows, TrunkState } from './trunk.js';
import type { TrunkConfig } from './trunk-options.js';

/** What config.json says of any model. */
export interface ModelConfig extends TrunkConfig {
  /** The family. */
  readonly model: string;
  readonly version: 2;
  /** The name of a tokenizer that is registered; of models that read tokens. */
  readonly tokenizer?: string | undefined;
  /** Tokens that there are: those of the tokenizer, and those that the family adds. */
  readonly vocabularySize?: number | undefined;
  /** Whether whole texts stand between the tokens that the tokenizer sets around them. */
  readonly framed?: boolean | undefined;
  /** How texts become vectors unless asked otherwise. */
  readonly vectors?: VectorConfig | undefined;
  /** Tokens that end what is written, where they are not that of the tokenizer. */
  readonly endTokens?: readonly number[] | undefined;
}

/** The config of a model that reads tokens. */
export interface TokenConfig extends ModelConfig {
  readonly tokenizer: string;
  readonly vocabularySize: number;
}

/** The config of a model that must read tokens. Throws CONFIG for others. */
export function tokenConfig(config: ModelConfig): TokenConfig {
  if (config.tokenizer !== undefined && config.vocabularySize !== undefined) return config as TokenConfig;
  throw new PerformerError('CONFIG', `${config.model}: expected a model that reads tokens, got one that reads none.`);
}

/** How a pass is made. */
export interface PassOptions {
  /** What was read before; of causal models. */
  readonly state?: TrunkState | undefined;
  /** The last tokens where they stand beside the state. */
  readonly rows?: TrunkRows | undefined;
  /** Given in training alone. */
  readonly dropout?: Dropout | undefined;
  /** Blocks keep nothing but their inputs for the gradient, and compute the rest again there. */
  readonly recompute?: boolean | undefined;
  /** What each block reads, in place of what the one before it gives: `streams` of another pass, without the last of them. */
  readonly streams?: readonly Tensor[] | undefined;
}

/** What a model gives. */
export interface ModelResult extends TrunkResult {
  /** What the family predicts: logits [batch, length, vocabulary] of a language model, one row a text of a classifier. */
  readonly output: Tensor;
}

/**
 * What a model does, whatever its family: it continues a text, tells what stands in the place of masked tokens, tells the class
 * of a text, its labels, or numbers, or the class of each word, turns embeddings into hidden layers, writes a text of a source, tells the class of an image,
 * or paints images pixel by pixel.
 */
export type ModelKind =
  | 'language-model'
  | 'encoder'
  | 'classifier'
  | 'multi-label-classifier'
  | 'regressor'
  | 'performer'
  | 'encoder-decoder'
  | 'image-classifier'
  | 'pixel-model'
  | 'token-classifier';

/** A model as layouts and one function: what it learns, draws and keeps, and `apply` over symbolic tensors. */
export interface Model {
  readonly kind: ModelKind;
  readonly config: ModelConfig;
  readonly params: object;
  readonly buffers: object;
  /** One for each layer. */
  readonly mixers: readonly Mixer[];
  readonly isCausal: boolean;
  /** The longest text that it knows; none where positions have no end. */
  readonly maxLength: number | undefined;
  /** Tokens that are read at once: texts of a multiple of it are not padded. */
  readonly chunk: number;
  /** Parameters of which a token takes a row, and which it is not multiplied by, by their paths. */
  readonly tables: readonly string[];
  /** What it reads, as specifications of a batch; of a source and the text after it, both of this length. */
  inputs(batch: Dim, length: Dim): InputSpecs;
  readonly deferral: Deferral<TrunkRows, TrunkRows> | undefined;
  /** Layout of the state before the first token. */
  state(batch: Dim): TrunkState<StateSpec>;
  /**
   * The function itself: it writes the graph from tokens to what the family predicts. Throws SHAPE for tokens that do
   * not fit.
   */
  apply(weights: Weights, inputs: ModelInputs, options?: PassOptions): ModelResult;
  /** A state with what is kept of the source, in the place of the source itself; of models that read one. */
  readSource?(weights: Weights, inputs: ModelInputs, state: TrunkState): TrunkState;
  /** The size of every image; of models that read or paint images, of which each is `maxLength` tokens. */
  readonly image?: ImageSize | undefined;
  /** The token that begins what it writes, and ends it unless `endTokens` do; of models whose texts have a beginning and an end. */
  readonly boundary?: number | undefined;
  /** The output of a hidden layer [batch, length, dim], for those who want that of some tokens alone. */
  head(weights: Weights, hidden: Tensor): Tensor;
}

/** What changes how a model is computed, and not what. */
export interface Execution {
  /** Tokens that causal attention takes at once; 64 unless given. */
  readonly chunk?: number | undefined;
  /** Tokens of a batch that the feed-forward layers take at once, where their number is known; all unless given. */
  readonly feedForwardChunk?: number | undefined;
}

/** The options of a model that the presets of its family have beside their sizes. */
export interface FamilyPreset {
  readonly attention: object;
  readonly tokenShift?: number | undefined;
  readonly embeddingDeviation?: number | undefined;
}

/** A kind of model as one record; `registry.ts` has them all. */
export interface ModelFamily<C extends ModelConfig = ModelConfig> {
  readonly name: C['model'];
  /** What it is for, in a few words for the help. */
  readonly text: string;
  readonly schema: z.ZodType<C>;
  /** What its presets have beside their sizes: a way to attend in the place of FAVOR+ alone, and other options. */
  readonly preset?: FamilyPreset | undefined;
  /** The model of a config. */
  build(config: C, execution?: Execution): Model;
}

/** Weights as arrays, and what they belong to. */
export interface ModelWeights {
  readonly params: object;
  readonly buffers: object;
}

/** Whether a state of one size can be carried from window to window: learned positions end, and exact attention's state grows. */
export function canCarryState({ isCausal, mixers, maxLength }: Model): boolean {
  return isCausal && maxLength === undefined && mixers.every(({ traits }) => traits.state === 'fixed');
}

/** Whether the state grows with the text, or with a source. */
export function hasGrowingState(model: Model): boolean {
  return leavesOf<object, StateSpec>(model.state(1)).some(
    ([, { growing, ofSource }]) => growing !== undefined || ofSource !== undefined,
  );
}

/** Whether some layer has random projections, which can be drawn again. */
export function hasBuffers({ buffers }: Model): boolean {
  return leavesOf(buffers).length > 0;
}

/** The state before the first token. It belongs to one set of buffers, which no graph can check: see `buffersDigest`. */
export function initialState(model: Model, batch: number): TrunkState<HostTensor<'int32'>> {
  return emptyState(model.state(batch)) as TrunkState<HostTensor<'int32'>>;
}

/** Tells one set of buffers from another: a state means nothing to others than those it was made with. */
export function buffersDigest(buffers: object): string {
  return projectionDigest(leavesOf(buffers).map(([, leaf]) => leaf as HostTensor));
}

/** The buffers of a model with those of each layer's mixer changed. */
export function mapMixerBuffers(
  { mixers }: Model,
  buffers: object,
  change: (own: object, mixer: Mixer, layer: number) => object,
): object {
  const { blocks, ...rest } = buffers as { readonly blocks: readonly { readonly attention: object }[] };
  return {
    ...rest,
    blocks: blocks.map((block, layer) => ({
      ...block,
      attention: change(block.attention, mixers[layer] as Mixer, layer),
    })),
  };
}

/** Throws CONFIG for more tokens than there are learned positions. */
export function checkLength(where: string, { maxLength }: Pick<Model, 'maxLength'>, length: Dim): void {
  if (maxLength === undefined || typeof length !== 'number' || length <= maxLength) return;
  throw new PerformerError(
    'CONFIG',
    `${where}: expected at most maxLength = ${maxLength} tokens for learned positions, got ${length}. ` +
      'Use rotary positions, or a longer maxLength.',
  );
}
