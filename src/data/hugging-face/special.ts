/** The special tokens of a `tokenizer.json`: by `tokenizer_config.json` where it is there, and else by the names that are usual. */
import * as z from 'zod';
import { PerformerError } from '../../base/errors.js';
import { describeIssues } from '../../base/options.js';
import type { SpecialTokens } from '../tokenizer.js';
import type { TokenizerContent } from './file.js';

const named = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish();

const keys = {
  begin: 'bos_token',
  end: 'eos_token',
  padding: 'pad_token',
  mask: 'mask_token',
  unknown: 'unk_token',
  classification: 'cls_token',
  separator: 'sep_token',
} as const;

const configSchema = z.looseObject({
  ...(Object.fromEntries(Object.values(keys).map((key) => [key, named])) as Record<
    (typeof keys)[keyof typeof keys],
    typeof named
  >),
  remove_space: z.boolean().nullish(),
  do_lowercase_and_remove_accent: z.boolean().nullish(),
});

/** What is read of a `tokenizer_config.json`. */
export type SpecialConfig = z.output<typeof configSchema>;

/** Checks the content of a `tokenizer_config.json`. Throws CHECKPOINT with every field that is wrong. */
export function specialConfig(where: string, value: unknown): SpecialConfig {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const got = describeIssues(parsed.error);
  throw new PerformerError('CHECKPOINT', `${where}: expected the settings of a tokenizer, got ${got}.`);
}

/** What the tokens are called where no settings tell: the first of these that was added as a special one. */
const usual: Readonly<Record<keyof typeof keys, readonly string[]>> = {
  begin: ['<s>', '<bos>', '<|begin_of_text|>', '<|startoftext|>', '<|endoftext|>'],
  end: ['</s>', '<eos>', '<|end_of_text|>', '<|endoftext|>'],
  padding: ['[PAD]', '<pad>'],
  mask: ['[MASK]', '<mask>'],
  unknown: [],
  classification: ['[CLS]', '<cls>'],
  separator: ['[SEP]', '<sep>'],
};

/** Throws CHECKPOINT for a token of the settings that the vocabulary does not have. */
export function specialTokens(
  where: string,
  { model, added_tokens }: TokenizerContent,
  config: SpecialConfig | undefined,
  ids: ReadonlyMap<string, number>,
): SpecialTokens {
  const added = (added_tokens ?? []).filter(({ special }) => special === true);
  const ofModel = model.type === 'Unigram' ? model.unk_id : model.unk_token ? ids.get(model.unk_token) : undefined;
  const roles = Object.fromEntries(
    Object.entries(keys).map(([role, key]) => {
      const given = config?.[key];
      if (typeof given !== 'string') {
        const name =
          config === undefined
            ? usual[role as keyof typeof keys].find((each) => added.some(({ content }) => content === each))
            : undefined;
        return [role, name === undefined ? (role === 'unknown' ? ofModel : undefined) : ids.get(name)];
      }
      const id = ids.get(given);
      if (id !== undefined) return [role, id];
      const got = JSON.stringify(given);
      throw new PerformerError('CHECKPOINT', `${where}: ${key}: expected a token of the vocabulary, got ${got}.`);
    }),
  ) as Omit<SpecialTokens, 'all'>;
  const all = new Set([...added.map(({ id }) => id), ...Object.values(roles).filter((id) => id !== undefined)]);
  return { ...roles, all };
}
