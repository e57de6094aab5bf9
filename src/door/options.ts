/**
 * The options of the front door as types that read well in an editor. The schemas of `models` and `training` check them and
 * hold their defaults; a test holds these types to the schemas.
 */
import { PerformerError } from '../base/errors.js';
import { optionFields } from '../base/options.js';
import type { Activation } from '../blocks/index.js';
import type { Engine } from '../engine/index.js';
import type { FeatureMapName, ProjectionKind } from '../features/index.js';
import { type PresetName, presets } from '../models/index.js';
import { trainingSchema } from '../training/index.js';

/** One of the names that are known, or one that was registered from outside. */
type Name<Known extends string> = Known | (string & Record<never, never>);

/** The feature map of FAVOR+ by its name, or with options. */
export type FeaturesOption = Name<FeatureMapName> | FeatureOptions;

/** A feature map by its name, with the options that it has; others take their defaults. */
export interface FeatureOptions {
  /** The map; positive (FAVOR+'s own) unless given. `featureMapNames()` of `performer-ts/features` lists all. */
  readonly name?: Name<FeatureMapName> | undefined;
  /** Random features; dim · ln dim, rounded up, unless given. More are closer to the kernel, and slower. */
  readonly featureCount?: number | undefined;
  /** How random rows are drawn; orthogonal unless given. */
  readonly projectionKind?: ProjectionKind | 'none' | undefined;
  /** The lengths of random rows: as Gaussian rows have them (chi, unless given), or all √dim (root). */
  readonly rowNorm?: 'chi' | 'root' | undefined;
  /** The map's own options, such as `degree` of the polynomial map; docs/features.md has them. */
  readonly [option: string]: unknown;
}

/** Attention by its kind, or with options. A kind that was registered by `registerMixer` may be named, too. */
export type AttentionOption =
  | Name<'favor+' | 'softmax' | 'none'>
  | {
      /** favor+ (linear in the length), softmax (exact), none, or a registered kind; favor+ unless given. */
      readonly kind?: Name<'favor+' | 'softmax' | 'none'> | undefined;
      /** The feature map of favor+. */
      readonly features?: FeaturesOption | undefined;
      /** Options of a registered kind. */
      readonly [option: string]: unknown;
    };

/** How tokens know where they stand. */
export type PositionsOption =
  | 'rotary'
  | 'sinusoidal'
  | 'none'
  | { readonly kind: 'sinusoidal' | 'none' }
  | {
      readonly kind: 'rotary';
      /** The base of the angles; 10,000 unless given. */
      readonly base?: number | undefined;
      /** The part of each head that turns; 1 unless given. */
      readonly fraction?: number | undefined;
      /** For texts that are `factor` times as long as those that the model learned; none unless given. */
      readonly scaling?: 'none' | { readonly kind: 'linear' | 'ntk'; readonly factor?: number | undefined } | undefined;
    }
  | {
      readonly kind: 'learned';
      /** The longest text. */
      readonly maxLength: number;
    }
  | {
      readonly kind: 'axial';
      /** The longest text. */
      readonly maxLength: number;
      /** Positions in a row, a divisor of it; 64 unless given. */
      readonly columns?: number | undefined;
    };

/** What keeps the scale of layers: a norm before or behind them, or ReZero. */
export type NormOption =
  | 'layer'
  | 'rms'
  | 'scale'
  | 'rezero'
  | { readonly kind: 'layer' | 'rms' | 'scale'; readonly placement?: 'pre' | 'post' | undefined }
  | { readonly kind: 'rezero' };

/** Whether queries and keys are normalised. */
export type QueryKeyNormOption =
  | 'none'
  | 'unit'
  | { readonly kind: 'none' }
  | {
      readonly kind: 'unit';
      /** The largest logit before training; 4 unless given. */
      readonly temperature?: number | undefined;
    };

/** The model. What is not given is the preset's. */
export interface ModelOptions {
  /** Sizes with a name: tiny (1.4 M parameters, unless given), small (19 M) or base (85 M). */
  readonly preset?: PresetName | undefined;
  /** Width of the residual stream. */
  readonly dim?: number | undefined;
  /** Blocks, each of attention and a feed-forward layer. */
  readonly depth?: number | undefined;
  readonly heads?: number | undefined;
  /** Width of a head's queries, keys and values. */
  readonly headDim?: number | undefined;
  /** Width of the feed-forward layer as a multiple of `dim`; 4 unless given. */
  readonly feedForwardMultiplier?: number | undefined;
  /** Of the feed-forward layer; gelu unless given. `glu`, `reglu`, `geglu` and `swiglu` are gated. */
  readonly activation?: Activation | undefined;
  /** LayerNorm before each layer unless given. */
  readonly norm?: NormOption | undefined;
  /** Whether queries, keys and values have biases; false unless given. */
  readonly qkvBias?: boolean | undefined;
  /** Whether the output of attention has a bias; true unless given. */
  readonly outputBias?: boolean | undefined;
  /** Whether queries and keys are normalised to a length that each head learns; none unless given. */
  readonly queryKeyNorm?: QueryKeyNormOption | undefined;
  /** FAVOR+ unless given. */
  readonly attention?: AttentionOption | undefined;
  /** Rotary unless given. */
  readonly positions?: PositionsOption | undefined;
  /** Whether half of the channels come from the token before. */
  readonly tokenShift?: boolean | undefined;
  /** Whether the logits use the embedding; false unless given. */
  readonly tiedEmbedding?: boolean | undefined;
  /** How texts become tokens: bytes, unless given, or the name of a tokenizer that `registerTokenizer` was given. */
  readonly tokenizer?: string | undefined;
  /** Tokens that there are; as many as the tokenizer needs unless given. With others, the model takes tokens and no texts. */
  readonly vocabularySize?: number | undefined;
}

/** Where a model computes. */
export interface EngineOption {
  /** The native engine in Node and the WebAssembly one in a browser unless given. */
  readonly engine?: Engine | undefined;
}

/** The training. What is not given is the preset's, or its default. */
export interface TrainingRunOptions {
  /** Of everything random: equal seeds give equal models; 0 unless given. */
  readonly seed?: number | undefined;
  /** Optimizer steps in all. */
  readonly steps?: number | undefined;
  /** Windows side by side. */
  readonly batch?: number | undefined;
  /** Tokens of a window. */
  readonly window?: number | undefined;
  /** Batches whose gradients are averaged for one step; 1 unless given. */
  readonly accumulation?: number | undefined;
  /** The highest learning rate. */
  readonly learningRate?: number | undefined;
  /** How the learning rate falls after the warm-up; cosine unless given. */
  readonly schedule?: 'cosine' | 'linear' | 'constant' | 'inverse-square-root' | undefined;
  /** Steps over which the learning rate rises; a twentieth of all unless given. */
  readonly warmup?: number | undefined;
  /** The last learning rate as a part of the highest; 0.05 unless given. */
  readonly finalFraction?: number | undefined;
  /** AdamW: decay of the mean of the gradients; 0.9 unless given. */
  readonly beta1?: number | undefined;
  /** AdamW: decay of the mean of their squares; 0.98 unless given. */
  readonly beta2?: number | undefined;
  /** AdamW: added to the root of the latter; 10⁻⁸ unless given. */
  readonly adamEpsilon?: number | undefined;
  /** AdamW: decay of the weights, times the learning rate; 0.1 unless given. */
  readonly weightDecay?: number | undefined;
  /** The largest norm of the gradient; 1 unless given. */
  readonly clipNorm?: number | undefined;
  /** Part of the embedding that is dropped in training, from 0 to below 1; 0 unless given. */
  readonly embeddingDropout?: number | undefined;
  /** The same of the attention output. */
  readonly attentionDropout?: number | undefined;
  /** The same of the feed-forward layers. */
  readonly feedForwardDropout?: number | undefined;
  /** Read the text in order, and carry attention's state from window to window; false unless given. */
  readonly carryState?: boolean | undefined;
  /** Compute the blocks again for the gradient: less memory, a fifth more time; false unless given. */
  readonly recompute?: boolean | undefined;
  /** Tokens that causal attention takes at once, which changes the speed alone; 64 unless given. */
  readonly chunk?: number | undefined;
  /** Steps between new random projections, 0 for never; 1,000 unless given. */
  readonly redrawInterval?: number | undefined;
  /** The part at the end of the text that is held out, by whose loss the best weights are chosen; 0.05 unless given. */
  readonly heldOut?: number | undefined;
  /** Steps between evaluations on it; a tenth of all, and 200 at least, unless given. */
  readonly evaluationInterval?: number | undefined;
}

type Given = Readonly<Record<string, unknown>>;

/** The options of a model or a training, with the preset's in the place of those that are not given. */
export function withPreset(
  where: string,
  part: 'model' | 'training',
  preset: PresetName = 'tiny',
  given: Given,
): Given {
  if (!Object.hasOwn(presets, preset)) {
    const names = Object.keys(presets).join(', ');
    throw new PerformerError('CONFIG', `${where}: expected one of ${names} as preset, got ${String(preset)}.`);
  }
  return {
    ...presets[preset][part],
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

const trainingKeys = new Set(optionFields(trainingSchema).map(({ path }) => path[0]));

/** The options of the training, and all others, which are the model's. */
export function splitOptions(given: Given): { readonly training: Given; readonly model: Given } {
  const part = (isTraining: boolean) =>
    Object.fromEntries(Object.entries(given).filter(([key]) => trainingKeys.has(key) === isTraining));
  return { training: part(true), model: part(false) };
}
