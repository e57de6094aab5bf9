/** The configuration of a causal language model: what config.json holds, and the presets. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import {
  type FeatureMapOptions,
  featureCountOf,
  featureMapNames,
  featureMapProblems,
  projectionKinds,
} from '../features/index.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);
const width = z
  .int()
  .min(1)
  .max(2 ** 16);
const rate = z.number().min(0).lt(1);

export const languageModelSchema = z
  .strictObject({
    model: z.literal('causal-language-model').default('causal-language-model'),
    version: z.literal(1).default(1),
    tokenizer: z.literal('bytes').default('bytes'),
    vocabularySize: count.default(256),
    dim: width,
    depth: z.int().min(1).max(1024),
    heads: width,
    headDim: width,
    feedForwardMultiplier: z.number().positive().max(64).default(4),
    attention: z.enum(['favor+', 'softmax', 'none']).default('favor+'),
    featureMap: z.enum(featureMapNames).default('positive'),
    featureCount: width.optional(),
    projectionKind: z.enum([...projectionKinds, 'none']).default('orthogonal'),
    rowNorm: z.enum(['chi', 'root']).default('chi'),
    kernelEpsilon: z.number().min(0).max(1).optional(),
    polynomialDegree: z.int().min(1).max(8).optional(),
    polynomialOffset: z.number().min(0).max(1e6).optional(),
    positionSpan: z
      .number()
      .positive()
      .max(2 ** 31)
      .optional(),
    /** A head's scores within a chunk are chunk² numbers. */
    chunk: z.int().min(1).max(2048).default(64),
    positions: z.enum(['rotary', 'learned', 'none']).default('rotary'),
    maxLength: count.optional(),
    tokenShift: z.boolean().default(true),
    tiedEmbedding: z.boolean().default(false),
    embeddingDropout: rate.default(0),
    attentionDropout: rate.default(0),
    feedForwardDropout: rate.default(0),
  })
  .superRefine((config, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (config.positions === 'rotary' && config.headDim % 2 === 1) refuse('headDim', 'rotary positions need it even');
    if (config.dim * config.feedForwardMultiplier < 0.5)
      refuse('feedForwardMultiplier', `the hidden width, ${config.dim} times it, rounds to 0`);
    if (config.positions === 'learned' && config.maxLength === undefined)
      refuse('maxLength', 'learned positions need it');
    if (config.positions !== 'learned' && config.maxLength !== undefined)
      refuse('maxLength', 'only learned positions have it');
    const options = featureMapOptions({ ...config, featureCount: config.featureCount ?? plainCount(config) });
    for (const [key, message] of featureMapProblems(options)) refuse(optionNames[key], message);
  })
  .transform((config) => ({ ...config, featureCount: config.featureCount ?? plainCount(config) }));

interface FeatureConfig {
  readonly featureMap: FeatureMapOptions['name'];
  readonly headDim: number;
  readonly featureCount: number;
  readonly projectionKind: FeatureMapOptions['projectionKind'];
  readonly rowNorm: FeatureMapOptions['rowNorm'];
  readonly kernelEpsilon?: number | undefined;
  readonly polynomialDegree?: number | undefined;
  readonly polynomialOffset?: number | undefined;
  readonly positionSpan?: number | undefined;
}

/** What the options of a feature map are called in a model's configuration. */
const optionNames: Record<keyof FeatureMapOptions, keyof FeatureConfig> = {
  name: 'featureMap',
  headDim: 'headDim',
  featureCount: 'featureCount',
  projectionKind: 'projectionKind',
  rowNorm: 'rowNorm',
  kernelEpsilon: 'kernelEpsilon',
  degree: 'polynomialDegree',
  offset: 'polynomialOffset',
  span: 'positionSpan',
};

/** The options of the feature map of a model's attention. */
export function featureMapOptions(config: FeatureConfig): FeatureMapOptions {
  const entries = Object.entries(optionNames).map(([key, name]) => [key, config[name]]);
  return Object.fromEntries(entries) as FeatureMapOptions;
}

/** The number of features where none is asked for. */
function plainCount({ featureMap: name, headDim, projectionKind }: Omit<FeatureConfig, 'featureCount'>): number {
  return featureCountOf({ name, headDim, projectionKind });
}

/** Every option, with defaults filled in. */
export type LanguageModelConfig = z.output<typeof languageModelSchema>;
/** What may be given: sizes must be, all else has a default. */
export interface LanguageModelOptions extends z.input<typeof languageModelSchema> {}

/** Whether a state of one size can be carried from window to window: learned positions end, and exact attention's state grows. */
export function canCarryState({ attention, positions }: LanguageModelConfig): boolean {
  return attention === 'favor+' && positions !== 'learned';
}

/** Whether anything is dropped in training. */
export function usesDropout(config: LanguageModelConfig): boolean {
  return config.embeddingDropout + config.attentionDropout + config.feedForwardDropout > 0;
}

/** Names each problem by its path: `dim: expected number, received string`. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .map(({ path, message, input }) => {
      const told = typeof input === 'number' ? `${message}, got ${input}` : message; // with `reportInput` alone
      return path.length === 0 ? told : `${path.join('.')}: ${told}`;
    })
    .join('; ');
}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function languageModelConfig(options: LanguageModelOptions): LanguageModelConfig {
  return readLanguageModelConfig(options, 'languageModelConfig');
}

/** The same for a value of unknown type, as a file has it; errors begin with `where`. */
export function readLanguageModelConfig(value: unknown, where: string): LanguageModelConfig {
  const parsed = languageModelSchema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    throw new PerformerError('CONFIG', `${where}: expected valid options, got ${describeIssues(parsed.error)}.`);
  }
  return parsed.data;
}

/** Sizes with names, and the training window and batch that suit them. */
export const presets = {
  /** 1.4 M parameters: learns a book on a laptop in a minute or two. */
  tiny: {
    model: { dim: 192, depth: 3, heads: 6, headDim: 32, featureCount: 112 },
    training: { window: 256, batch: 4, learningRate: 3e-3, steps: 760, evaluationInterval: 380 },
  },
  /** 19 M parameters. */
  small: {
    model: { dim: 512, depth: 6, heads: 8, headDim: 64, featureCount: 256 },
    training: { window: 1024, batch: 4, learningRate: 1e-3, steps: 10_000 },
  },
  /** 85 M parameters. */
  base: {
    model: { dim: 768, depth: 12, heads: 12, headDim: 64, featureCount: 256 },
    training: { window: 2048, batch: 4, learningRate: 6e-4, steps: 50_000 },
  },
} as const;

export type PresetName = keyof typeof presets;
