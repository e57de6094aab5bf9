/** The options that every model has, around those of its family. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { byteVocabularySize } from '../data/index.js';
import { completeTrunk, type TrunkConfig, trunkFields, trunkProblems } from './trunk-options.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

/** What stands in every config.json: the family, the version of the format, the tokens, and the trunk. */
export function modelFields<const N extends string>(name: N, specialTokens = 0) {
  const tokens = byteVocabularySize + specialTokens;
  return {
    model: z.literal(name).default(name as never),
    version: z.literal(2).default(2),
    tokenizer: z.literal('bytes').default('bytes'),
    vocabularySize: option(count.default(tokens), `tokens that there are; bytes need ${tokens}`),
    ...trunkFields,
  };
}

/** The schema with the checks that span several options of the trunk, and with what follows from them filled in. */
export function withTrunk<S extends z.ZodType<TrunkConfig>>(schema: S, { isCausal }: { readonly isCausal: boolean }) {
  return schema
    .superRefine((config, context) => {
      for (const [path, message] of trunkProblems(config, isCausal)) {
        context.addIssue({ code: 'custom', path: [...path], message });
      }
    })
    .transform((config) => completeTrunk(config as z.output<S>));
}
