/**
 * What sentence-transformers lays beside a model: modules.json lists what makes a vector of a text, and each module may have a
 * folder with a config.json. Pooling and normalisation of it are read; another module is an error.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';

export const modulesFile = 'modules.json';
const settingsFile = 'sentence_bert_config.json';
const promptsFile = 'config_sentence_transformers.json';

const modulesSchema = z
  .array(
    z.looseObject({
      type: z.enum(['Transformer', 'Pooling', 'Normalize'].map((name) => `sentence_transformers.models.${name}`)),
      path: z.string().regex(/^(\w[\w.-]*)?$/, 'expected a folder of this one'),
    }),
  )
  .min(2);

const poolingSchema = z.looseObject({
  ...{ pooling_mode_cls_token: z.boolean().default(false), pooling_mode_mean_tokens: z.boolean().default(false) },
  pooling_mode_lasttoken: z.boolean().default(false),
});

const settingsSchema = z.looseObject({
  max_seq_length: z.int().min(1).nullish(),
  do_lower_case: z.literal(false, 'expected false: the tokenizer alone changes letters').nullish(),
});

const promptsSchema = z.looseObject({
  default_prompt_name: z.null('expected none: give texts with their prompt').optional(),
});

/** The files that are read of a folder with this modules.json, beside it. */
export function sentenceFiles(modules: unknown): readonly string[] {
  const parsed = modulesSchema.safeParse(modules);
  const own = (parsed.data ?? []).filter(({ type }) => type.endsWith('.Pooling'));
  return [settingsFile, promptsFile, ...own.map(({ path }) => `${path}/config.json`)];
}

/** How texts become vectors. */
interface SentenceVectors {
  readonly pooling: 'first' | 'mean' | 'last';
  readonly normalize: boolean;
  /** Tokens at which a text is cut; none unless given. */
  readonly window?: number | undefined;
}

/**
 * How texts become vectors, by the content of these files; undefined where there is no modules.json.
 *
 * @throws CHECKPOINT for a module or a pooling that there is not here, naming file and field.
 */
export function sentenceVectors(contentOf: (name: string) => unknown, maxLength: number | undefined) {
  const given = contentOf(modulesFile);
  if (given === undefined) return undefined;
  const modules = parsed(modulesFile, modulesSchema, given);
  const settings = parsed(settingsFile, settingsSchema, contentOf(settingsFile) ?? {});
  parsed(promptsFile, promptsSchema, contentOf(promptsFile) ?? {});
  const kinds = modules.map(({ type }) => type.slice(type.lastIndexOf('.') + 1)).join(', ');
  if (!/^Transformer, Pooling(, Normalize)?$/.test(kinds)) {
    refuse(modulesFile, 'Transformer, Pooling and perhaps Normalize, in this order', kinds);
  }
  const file = `${modules[1]!.path}/config.json`;
  const pooling = parsed(file, poolingSchema, contentOf(file) ?? {});
  const asked = Object.entries(pooling).filter(([name, value]) => name.startsWith('pooling_mode_') && value === true);
  const [[name] = []] = asked;
  const own = Object.entries(poolingNames).find(([, mode]) => name === `pooling_mode_${mode}`);
  const kind = own?.[0] as SentenceVectors['pooling'] | undefined;
  if (asked.length !== 1 || kind === undefined) {
    const got = asked.map(([each]) => each).join(', ') || 'none';
    refuse(file, 'one of pooling_mode_cls_token, pooling_mode_mean_tokens and pooling_mode_lasttoken', got);
  }
  const { max_seq_length: longest } = settings;
  const window = longest && Math.min(longest, maxLength ?? longest);
  return { pooling: kind, normalize: kinds.endsWith('Normalize'), ...(window && { window }) };
}

const poolingNames = { first: 'cls_token', mean: 'mean_tokens', last: 'lasttoken' } as const;

/** The content of the files that tell how texts become vectors, by name: `sentenceVectors` reads it back. */
export function sentenceSettings(
  { pooling, normalize, window }: SentenceVectors,
  dim: number,
): ReadonlyMap<string, unknown> {
  const kinds = ['Transformer', 'Pooling', ...(normalize ? ['Normalize'] : [])];
  const modules = kinds.map((kind, idx) => {
    const path = idx === 0 ? '' : `${idx}_${kind}`;
    return { idx, name: String(idx), path, type: `sentence_transformers.models.${kind}` };
  });
  const modes = Object.entries(poolingNames).map(([own, name]) => [`pooling_mode_${name}`, own === pooling]);
  return new Map<string, unknown>([
    [modulesFile, modules],
    [settingsFile, { ...(window !== undefined && { max_seq_length: window }), do_lower_case: false }],
    ['1_Pooling/config.json', { word_embedding_dimension: dim, ...Object.fromEntries(modes) }],
  ]);
}

function parsed<S extends z.ZodType>(file: string, schema: S, content: unknown): z.output<S> {
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  return refuse(file, 'settings that are understood', describeIssues(result.error));
}

function refuse(file: string, expected: string, got: string): never {
  const advice = 'Such models are not understood.';
  throw new PerformerError('CHECKPOINT', `${file}: expected ${expected}, got ${got}. ${advice}`);
}
