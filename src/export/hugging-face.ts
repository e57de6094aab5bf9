/** Models as folders of Hugging Face: what `pretrained` reads, by its tables of names read backwards. */
import type { AnyHostTensor, HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { leavesOf } from '../base/tree.js';
import { tokenizerNamed } from '../data/index.js';
import { asKept, type WeightDtype } from '../interop/index.js';
import { keyHeadsOf, type LoadedModel, type ModelConfig, modelConfig, tensorsOf } from '../models/index.js';
import {
  pretrainedConfigs,
  pretrainedModel,
  pretrainedTensors,
  replacedTensors,
  writtenNames,
} from '../pretrained/index.js';
import { keptTensor } from './kept.js';

/** What a folder of Hugging Face has of a model. */
export interface HuggingFaceModel {
  /** The content of config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of model.safetensors, by the names of the architecture. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** How they are kept there. */
  readonly dtype: WeightDtype;
}

/** The folder of Hugging Face that a model was read from. */
export interface HuggingFaceSource {
  /** The content of its config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Its tensors. */
  readonly tensors: ReadonlyMap<string, AnyHostTensor>;
}

/** How a model becomes one of Hugging Face. */
export interface HuggingFaceOptions {
  /**
   * What the model was read from. Its config is kept, and so are tensors of parts that the model does not have, such as poolers. Unless
   * given, a config is made of the model's.
   */
  readonly from?: HuggingFaceSource | undefined;
  /** How weights are kept; that which `from` names where it changes no weight, else float32, unless given. */
  readonly dtype?: WeightDtype | undefined;
}

/**
 * A model as Hugging Face has it. Weights that nothing has changed since they were read are what they were, bit for bit.
 *
 * @throws CONFIG for a model that no architecture is that can be written, with the options that the nearest one cannot say, and for
 *   weights beyond the range of `dtype`; CHECKPOINT for tensors of another model.
 */
export function toHuggingFace(
  { model, params, buffers }: LoadedModel,
  { from, dtype: given }: HuggingFaceOptions = {},
): HuggingFaceModel {
  const content = from?.config ?? contentFor(model.config, params);
  const read = pretrainedModel('config.json', content);
  const own = { params: new Map([...tensorsOf(params), ...tensorsOf(buffers)]), depth: model.config.depth };
  const tensors =
    from === undefined
      ? pretrainedTensors(read, own.params, own.depth)
      : replacedTensors('export', read, from.tensors, own);
  const dtype = given ?? keptDtype(content, tensors);
  const name = 'torch_dtype' in content || !('dtype' in content) ? 'torch_dtype' : 'dtype';
  const config = from === undefined || given !== undefined ? { ...content, [name]: dtype } : content;
  return {
    config,
    tensors: new Map([...tensors].map(([name, tensor]) => [name, keptTensor(tensor, name, dtype)])),
    dtype,
  };
}

/** What a config says that it is kept as, if that changes nothing. */
function keptDtype(content: Readonly<Record<string, unknown>>, tensors: ReadonlyMap<string, HostTensor>): WeightDtype {
  const said = content.torch_dtype ?? content.dtype;
  if (said !== 'float16' && said !== 'bfloat16') return 'float32';
  const isExact = [...tensors.values()].every(({ data }) => {
    const own = asKept(data, said);
    return data.every((value, at) => Object.is(value, own[at]));
  });
  return isExact ? said : 'float32';
}

/** The config.json of the first architecture that is the model. */
function contentFor(config: ModelConfig, params: object): Readonly<Record<string, unknown>> {
  const own = told(config, params);
  const candidates = pretrainedConfigs({ ...config, ...own }).map((content) => ({
    content,
    unsaid: unsaidBy(content, own, config),
  }));
  const [nearest] = candidates.toSorted((a, b) => a.unsaid.length - b.unsaid.length);
  if (nearest === undefined || nearest.unsaid.length > 0) {
    const expected = `a model that is one of ${writtenNames().join(', ')}`;
    const got = `one with ${nearest?.unsaid.join(', ')}, which ${nearest?.content.model_type} cannot say`;
    throw new PerformerError(
      'CONFIG',
      `export: expected ${expected}, got ${got}. Export it as ONNX, or as a folder of ours.`,
    );
  }
  const { endTokens: ends, tokenizer } = config as {
    readonly endTokens?: readonly number[];
    readonly tokenizer?: string;
  };
  const padding = tokenizer === undefined ? undefined : tokenizerNamed(tokenizer).special?.padding;
  return {
    ...nearest.content,
    ...(ends !== undefined && { eos_token_id: ends.length === 1 ? ends[0] : ends }),
    ...(padding !== undefined && { pad_token_id: padding }),
  };
}

type Options = Readonly<Record<string, unknown>>;

/** Options of how texts become tokens and vectors, which stand in other files of a folder, and of weights before training. */
const elsewhere = ['tokenizer', 'framed', 'endTokens', 'vectors', 'embeddingDeviation'];

/** The options of a config with what follows from others in their place, so that equal models have equal ones. */
function told(config: ModelConfig, params?: object): Options {
  const { tiedEmbedding, logitsBias = tiedEmbedding === false } = config as ModelConfig & Options;
  const width =
    params && leavesOf<object, HostTensor>(params).find(([path]) => path.endsWith('feedForward.expand.weight'));
  return {
    ...config,
    ...{ keyHeads: keyHeadsOf(config), logitsBias, feedForwardMultiplier: undefined },
    feedForwardWidth: width?.[1].shape[1] ?? config.feedForwardWidth,
  };
}

/** Our options that a config.json does not say, with their values: all of them where it says no model. */
function unsaidBy(content: Options, own: Options, config: ModelConfig): readonly string[] {
  const { said, other } = optionsOf(content, config);
  return Object.keys({ ...own, ...other })
    .filter((name) => !elsewhere.includes(name) || name in said)
    .filter((name) => JSON.stringify(own[name]) !== JSON.stringify(other[name]))
    .map((name) => `${name} ${JSON.stringify(own[name])}`);
}

/** What a config.json says in our options, and all that follow from these for a model whose texts are as those of another. */
function optionsOf(content: Options, { tokenizer, framed }: ModelConfig): Record<'said' | 'other', Options> {
  try {
    const said: Options = { ...pretrainedModel('config.json', content).options };
    const texts = Object.entries({ tokenizer, framed }).filter(([, value]) => value !== undefined);
    return {
      said,
      other: {
        ...told(modelConfig({ ...said, ...Object.fromEntries(texts) })),
        ...('framed' in said && { framed: said.framed }),
      },
    };
  } catch (cause) {
    if (cause instanceof PerformerError && cause.code === 'CONFIG') return { said: {}, other: {} };
    throw cause;
  }
}
