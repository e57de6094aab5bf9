/**
 * The options of the front door's models as types that read well in an editor. The schemas of `models` check them and hold
 * their defaults; a test holds these types to the schemas.
 */
import { PerformerError } from '../base/errors.js';
import type { Activation } from '../blocks/index.js';
import { huggingFaceTokenizer, type ImageSize, type TokenizerFiles } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { defaultFamily, type PresetName, presetOf, presets } from '../models/index.js';
import type {
  AttentionOption,
  ImagePositionsOption,
  NormOption,
  PositionsOption,
  QueryKeyNormOption,
} from './layer-options.js';

/** What every model has. What is not given is the preset's. */
export interface TrunkOptions {
  /** Sizes with a name: tiny (1.4 M parameters, unless given), small (19 M) or base (85 M). */
  readonly preset?: PresetName | undefined;
  /** Width of the residual stream. */
  readonly dim?: number | undefined;
  /** Blocks, each of attention and a feed-forward layer. */
  readonly depth?: number | undefined;
  readonly heads?: number | undefined;
  /** Heads of keys and values, of which `heads` is a multiple; as many as heads unless given. */
  readonly keyHeads?: number | undefined;
  /** Width of a head's queries, keys and values. */
  readonly headDim?: number | undefined;
  /** Width of the feed-forward layer as a multiple of `dim`; 4 unless given. */
  readonly feedForwardMultiplier?: number | undefined;
  /** Hidden width of the feed-forward layer as it is, gated or not; by the multiplier unless given. */
  readonly feedForwardWidth?: number | undefined;
  /** Whether the feed-forward layer has biases; true unless given. */
  readonly feedForwardBias?: boolean | undefined;
  /** Of the feed-forward layer; gelu unless given. `glu`, `reglu`, `geglu`, `geglu-tanh` and `swiglu` are gated. */
  readonly activation?: Activation | undefined;
  /** LayerNorm before each layer unless given. */
  readonly norm?: NormOption | undefined;
  /** The standard deviation of embeddings and of learned positions before training; 0.02 unless given. */
  readonly embeddingDeviation?: number | undefined;
  /** Whether a norm stands behind the embeddings and their positions; false unless given. */
  readonly embeddingNorm?: boolean | undefined;
  /** Whether queries, keys and values have biases; false unless given. */
  readonly qkvBias?: boolean | undefined;
  /** Whether the output of attention has a bias; true unless given. */
  readonly outputBias?: boolean | undefined;
  /** Whether queries and keys are normalised to a length that each head learns, or have a learned temperature alone; none unless given. */
  readonly queryKeyNorm?: QueryKeyNormOption | undefined;
  /** FAVOR+ unless given. A list is repeated over the layers: `['softmax', 'favor+']` alternates. */
  readonly attention?: AttentionOption | readonly AttentionOption[] | undefined;
  /** Rotary unless given. */
  readonly positions?: PositionsOption | undefined;
  /** Learned vectors before every text, which all its tokens may look at; 0 unless given. */
  readonly memoryTokens?: number | undefined;
  /** Whether attention and feed-forward layer of a block read the same; false unless given. */
  readonly parallelResidual?: boolean | undefined;
  /** Whether layers have two streams and are computed backwards for the gradient, whose memory then does not grow with the depth. */
  readonly reversible?: boolean | undefined;
  /** How many tokens before give half of the channels, each of them as many; 1 unless given, 0 for none. */
  readonly tokenShift?: number | undefined;
}

/** What every model that reads texts has. */
export interface ModelOptions extends TrunkOptions {
  /**
   * How texts become tokens: bytes, unless given; a `tokenizer.json`, as its bytes, its content, or a map of files by name; or the name
   * of a tokenizer that `registerTokenizer` was given.
   */
  readonly tokenizer?: string | TokenizerFiles | undefined;
  /** Tokens that there are; as many as the tokenizer and the family need unless given. With others, the model takes tokens and no texts. */
  readonly vocabularySize?: number | undefined;
}

/** Of models that have logits of each token. */
export interface TokenModelOptions {
  /** Whether the logits use the embedding; unless given not in a language model, and so in an encoder. */
  readonly tiedEmbedding?: boolean | undefined;
  /** Whether the logits have a bias; unless they use the embedding, if not given. */
  readonly logitsBias?: boolean | undefined;
  /** Whether a layer with the activation and a norm stands before the logits; false unless given. */
  readonly logitsLayer?: boolean | undefined;
  /** What the hidden layer is multiplied by before the logits; 1 unless given. */
  readonly logitsScale?: number | undefined;
}

/** Of models that tell something of a whole text. */
export interface TextModelOptions extends FramedOptions, TextEmbeddingOptions {
  /** How one vector is made of the tokens of a text; mean unless given. */
  readonly pooling?: 'mean' | 'first' | 'attention' | undefined;
  /** Whether a layer with this activation stands before the head; none unless given. */
  readonly headLayer?: 'none' | 'tanh' | 'relu' | undefined;
}

/** Of models that read whole texts. */
export interface FramedOptions {
  /** Whether whole texts stand between the tokens that the tokenizer sets around them, such as [CLS] and [SEP]; false unless given. */
  readonly framed?: boolean | undefined;
  /** How texts become vectors in `embed`, unless that is asked otherwise; the mean unless given. */
  readonly vectors?: VectorOptions | undefined;
}

/** How whole texts become vectors. */
export interface VectorOptions {
  readonly pooling?: 'mean' | 'last' | 'first' | undefined;
  readonly normalize?: boolean | undefined;
  /** Tokens at which a text is cut; none unless given. */
  readonly window?: number | undefined;
}

/** Of models that read texts in both directions. */
export interface TextEmbeddingOptions {
  /** Kinds of tokens with a learned vector each; 0 unless given. A text alone is of the first. */
  readonly tokenTypes?: number | undefined;
  /** Whether the embeddings of a text are scaled by how many of its tokens are masked; false unless given. */
  readonly maskScaling?: boolean | undefined;
}

/** A model that continues texts. */
export interface LanguageModelOptions extends ModelOptions, TokenModelOptions, FramedOptions {
  /** Tokens that end a text; that of the tokenizer unless given. */
  readonly endTokens?: readonly number[] | undefined;
  readonly model?: 'causal-language-model' | undefined;
}

/** A model that reads in both directions, and guesses masked tokens. */
export interface EncoderOptions extends ModelOptions, TokenModelOptions, FramedOptions, TextEmbeddingOptions {
  readonly model: 'encoder';
}

/** A model that reads a source and writes a text of it. */
export interface EncoderDecoderOptions extends ModelOptions, TokenModelOptions {
  readonly model: 'encoder-decoder';
  /** Blocks of the encoder; as many as `depth` unless given. */
  readonly encoderDepth?: number | undefined;
  /** Whether sources stand between the tokens that the tokenizer sets around them; false unless given. */
  readonly framed?: boolean | undefined;
  /** The token before each text that is written, and those that end one; for both, one that is added unless given. */
  readonly beginToken?: number | undefined;
  readonly endTokens?: readonly number[] | undefined;
}

/** The Performer alone, from embeddings to hidden layers. */
export interface PerformerOptions extends TrunkOptions {
  readonly model: 'performer';
  /** Whether a row sees those before it and itself alone; false unless given. */
  readonly isCausal?: boolean | undefined;
}

/** A model that tells the class of a text. */
export interface ClassifierOptions extends ModelOptions, TextModelOptions {
  readonly model: 'classifier';
  readonly targets: {
    readonly kind?: 'classes' | undefined;
    /** Of the classes: two at least. */
    readonly names: readonly string[];
    /** How much a text of each class counts in the loss of a training; 1 each unless given. */
    readonly weights?: readonly number[] | undefined;
  };
}

/** A model that tells which of some labels a text has. */
export interface MultiLabelClassifierOptions extends ModelOptions, TextModelOptions {
  readonly model: 'classifier';
  readonly targets: {
    readonly kind: 'labels';
    /** Of the labels. */
    readonly names: readonly string[];
  };
}

/** A model that tells the class of each word of a text. */
export interface TokenClassifierOptions extends ModelOptions, FramedOptions, TextEmbeddingOptions {
  readonly model: 'token-classifier';
  readonly targets: ClassifierOptions['targets'];
}

/** Of models that read images by their patches. */
export interface PatchOptions {
  /** Axial unless given: rows and columns of the patches. */
  readonly positions?: ImagePositionsOption | undefined;
  /** Width of the square patches, a divisor of the images' height and width; 4 unless given. */
  readonly patch?: number | undefined;
  /** How one vector is made of the patches; mean unless given. */
  readonly pooling?: 'mean' | 'class-token' | 'attention' | undefined;
  /** What is taken from the pixels of each channel, from 0 to 1, and what that is divided by; 0.5 and 0.5 unless given. */
  readonly pixels?: { readonly means: readonly number[]; readonly deviations: readonly number[] } | undefined;
}

/** A model that tells the class of an image. */
export interface ImageClassifierOptions extends Omit<TrunkOptions, 'positions'>, PatchOptions {
  readonly model: 'image-classifier';
  /** The size of every image. */
  readonly image: ImageSize;
  readonly targets: ClassifierOptions['targets'];
}

/** A model that paints images pixel by pixel. */
export interface PixelModelOptions extends Omit<TrunkOptions, 'positions'>, TokenModelOptions {
  readonly model: 'pixel-model';
  /** The size of every image. */
  readonly image: ImageSize;
  /** Axial unless given: rows, columns and channels of the images. */
  readonly positions?: ImagePositionsOption | undefined;
}

/** A model that tells numbers of a text. */
export interface RegressorOptions extends ModelOptions, TextModelOptions {
  readonly model: 'classifier';
  readonly targets: {
    readonly kind: 'values';
    /** Of the numbers. */
    readonly names: readonly string[];
    /** What stands for 0 in each number as it is learned; 0 unless given. */
    readonly means?: readonly number[] | undefined;
    /** What stands for 1 beside it; 1 unless given. */
    readonly deviations?: readonly number[] | undefined;
  };
}

/** Where a model computes. */
export interface EngineOption {
  /** The native engine in Node and the WebAssembly one in a browser unless given. */
  readonly engine?: Engine | undefined;
}

export type Given = Readonly<Record<string, unknown>>;

/** The options of a model or a training, with the preset's in the place of those that are not given. */
export function withPreset(
  where: string,
  part: 'model' | 'training',
  preset: PresetName = 'tiny',
  given: Given,
  family = defaultFamily,
): Given {
  if (!Object.hasOwn(presets, preset)) {
    const names = Object.keys(presets).join(', ');
    throw new PerformerError('CONFIG', `${where}: expected one of ${names} as preset, got ${String(preset)}.`);
  }
  return { ...presetOf(preset, family)[part], ...givenOf(given) };
}

/** The options that are given a value. */
export function givenOf(given: Given): Given {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** The options with the name of a tokenizer in the place of its files, which it is made known by. */
export async function withTokenizer<G extends Given>(options: G): Promise<G> {
  const { tokenizer } = options as { readonly tokenizer?: string | TokenizerFiles | undefined };
  if (tokenizer === undefined || typeof tokenizer === 'string') return options;
  return { ...options, tokenizer: (await huggingFaceTokenizer(tokenizer)).name };
}
