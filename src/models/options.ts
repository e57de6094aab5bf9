/** The options that every model has, around those of its family. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { tokenizerNamed, tokenizerProblem } from '../data/index.js';
import { completeTrunk, type TrunkConfig, trunkFields, trunkProblems } from './trunk-options.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

/** What stands in every config.json: the family, the version of the format, the tokens, and the trunk. */
export function modelFields<const N extends string>(name: N) {
  return {
    model: z.literal(name).default(name as never),
    version: z.literal(2).default(2),
    tokenizer: z
      .string()
      .default('bytes')
      .superRefine((given, context) => {
        const message = tokenizerProblem(given);
        if (message !== undefined) context.addIssue({ code: 'custom', message });
      }),
    vocabularySize: option(count.optional(), 'tokens that there are', { fallback: 'as many as the tokenizer needs' }),
    ...trunkFields,
  };
}

interface GivenModel extends TrunkConfig {
  readonly tokenizer: string;
  readonly vocabularySize?: number | undefined;
}

type Whole<C extends GivenModel> = Omit<C, 'vocabularySize'> & { readonly vocabularySize: number };

export interface FamilyTraits {
  readonly isCausal: boolean;
  /** How many tokens it adds to those of the tokenizer, such as one that masks. */
  readonly specialTokens: number;
}

/** The schema with the checks that span several options, and with what follows from them filled in. */
export function withTrunk<S extends z.ZodType<GivenModel>>(schema: S, { isCausal, specialTokens }: FamilyTraits) {
  return schema
    .superRefine((config, context) => {
      for (const [path, message] of trunkProblems(config, isCausal)) {
        context.addIssue({ code: 'custom', path: [...path], message });
      }
    })
    .transform((config) => completeModel(completeTrunk(config as z.output<S>), specialTokens));
}

function completeModel<C extends GivenModel>(config: C, specialTokens: number): Whole<C> {
  const { model, version, tokenizer, vocabularySize, ...rest } = config as C & Record<'model' | 'version', unknown>;
  const tokens = vocabularySize ?? tokenizerNamed(tokenizer).vocabularySize + specialTokens;
  return { model, version, tokenizer, vocabularySize: tokens, ...rest } as unknown as Whole<C>; // in the order of the files
}
