/** The options that every model has, around those of its family. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { activationOf } from '../blocks/index.js';
import { knownTokenizer, noTokenizer, type Tokenizer, tokenizerNamed, tokenizerProblem } from '../data/index.js';
import { completeTrunk, type TrunkConfig, trunkFields, trunkProblems } from './trunk-options.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

/** What stands in every config.json: the family, the version of the format, and the trunk. */
export function anyModelFields<const N extends string>(name: N) {
  return { model: z.literal(name).default(name as never), version: z.literal(2).default(2), ...trunkFields };
}

/** The same with the tokens, of models that read them. */
export function modelFields<const N extends string>(name: N) {
  return {
    ...anyModelFields(name),
    tokenizer: z
      .string()
      .default('bytes')
      .superRefine((given, context) => {
        const message = tokenizerProblem(given);
        if (message !== undefined) context.addIssue({ code: 'custom', message });
      }),
    vocabularySize: option(count.optional(), 'tokens that there are', { fallback: 'as many as the tokenizer needs' }),
  };
}

/** How whole texts become vectors where nothing else is asked for, of models that came with it. */
const vectorChoice = z.strictObject({
  pooling: z.enum(['mean', 'last', 'first']).default('mean'),
  normalize: z.boolean().default(false),
  /** Tokens at which a text is cut; none unless given. */
  window: count.optional(),
});

/** How texts become vectors. */
export type VectorConfig = z.output<typeof vectorChoice>;

const framed = option(
  z.boolean().default(false),
  'whole texts stand between the tokens that the tokenizer sets around them, such as [CLS] and [SEP]',
);

/** The options of models that read whole texts. */
export const wholeTextFields = { framed, vectors: vectorChoice.optional() };

/** The tokens that end a text, of models that came from elsewhere; that of the tokenizer or the family unless given. */
const endTokens = z.array(z.int().min(0)).optional();

/** The options of models that write texts and read whole ones. */
export const writtenTextFields = { ...wholeTextFields, endTokens };

/** The options of models that read a source and write a text of it. */
export const sourceTextFields = {
  framed,
  endTokens,
  /** The token before each text that is written, of models that came from elsewhere; one that the family adds unless given. */
  beginToken: z.int().min(0).optional(),
};

interface GivenTokens {
  readonly framed?: boolean | undefined;
  readonly logitsLayer?: boolean | undefined;
  readonly tokenizer: string;
  readonly vocabularySize?: number | undefined;
}

type Whole<C> = C extends GivenTokens ? Omit<C, 'vocabularySize'> & { readonly vocabularySize: number } : C;

export interface FamilyTraits<C = TrunkConfig> {
  readonly isCausal: boolean | ((config: C) => boolean);
  /** Whether it has an encoder beside what is causal; not unless given. */
  readonly hasEncoder?: boolean | undefined;
  /** How many tokens it adds to those of the tokenizer; 0 unless given. */
  readonly specialTokens?: ((tokenizer: Tokenizer, config: C) => number) | undefined;
}

/** The schema with the checks that span several options, and with what follows from them filled in. */
export function withTrunk<S extends z.ZodType<TrunkConfig>>(
  schema: S,
  { isCausal, hasEncoder, specialTokens = () => 0 }: FamilyTraits<z.output<S>>,
) {
  return schema
    .superRefine((given, context) => {
      const config = given as z.output<S>;
      const order = { isCausal: typeof isCausal === 'boolean' ? isCausal : isCausal(config), hasEncoder };
      for (const [path, message] of trunkProblems(config, order)) {
        context.addIssue({ code: 'custom', path: [...path], message });
      }
      const { framed, tokenizer, logitsLayer } = given as Partial<GivenTokens>;
      if (logitsLayer === true && activationOf(config.activation) === undefined) {
        const message = `expected an activation without gates beside it, got ${config.activation}`;
        context.addIssue({ code: 'custom', path: ['logitsLayer'], message });
      }
      // What is given as tokens has its frame.
      const isFrameless = tokenizer !== noTokenizer.name && knownTokenizer(tokenizer as string)?.frame === undefined;
      if (framed === true && isFrameless) {
        const message = `expected a tokenizer that sets tokens around texts, got ${tokenizer}`;
        context.addIssue({ code: 'custom', path: ['framed'], message });
      }
    })
    .transform((given) => {
      const config = completeTrunk(given as z.output<S>);
      return completeModel(config, (tokenizer) => specialTokens(tokenizer, config));
    });
}

function completeModel<C extends TrunkConfig>(config: C, specialTokens: (tokenizer: Tokenizer) => number): Whole<C> {
  const given = config as C & Record<'model' | 'version', unknown> & Partial<GivenTokens>;
  const { model, version, tokenizer, vocabularySize, ...rest } = given;
  if (tokenizer === undefined) return config as Whole<C>;
  const own = tokenizerNamed(tokenizer);
  const tokens = vocabularySize ?? own.vocabularySize + specialTokens(own);
  return { model, version, tokenizer, vocabularySize: tokens, ...rest } as unknown as Whole<C>; // in the order of the files
}
