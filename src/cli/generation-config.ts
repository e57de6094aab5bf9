/** generation_config.json in Hugging Face's words: what of it is honoured, and what is not understood. */
import { join } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import type { Tokenizer } from '../data/index.js';
import { readJson } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';

const oneOrMore = <T extends z.ZodType>(schema: T) => z.union([schema, z.array(schema)]).nullish();

/** null is Hugging Face's word for what is not set. */
const honoured = {
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
  max_new_tokens: z.int().min(1).nullish(),
  eos_token_id: oneOrMore(z.int()),
  stop_strings: oneOrMore(z.string().min(1)),
};
const schema = z.looseObject(honoured);

/** Keys that change nothing in the text of one sequence that is sampled token by token. */
const withoutEffect: ReadonlySet<string> = new Set([
  ...['transformers_version', '_from_model_config', 'pad_token_id', 'decoder_start_token_id', 'use_cache'],
  ...['cache_implementation', 'cache_config', 'return_legacy_cache', 'disable_compile', 'compile_config'],
  ...['output_attentions', 'output_hidden_states', 'output_scores', 'output_logits', 'return_dict_in_generate'],
  ...['early_stopping', 'length_penalty', 'low_memory', 'num_return_sequences'],
]);

/** The values of other keys that mean as much as leaving them out; null and false always do. */
const neutral: Readonly<Record<string, unknown>> = {
  num_beams: 1,
  num_beam_groups: 1,
  min_length: 0,
  min_new_tokens: 0,
  min_p: 0,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  diversity_penalty: 0,
  encoder_repetition_penalty: 1,
  no_repeat_ngram_size: 0,
  encoder_no_repeat_ngram_size: 0,
  guidance_scale: 1,
};

export interface GenerationConfig {
  /** 0 where `do_sample` is false. */
  readonly temperature: number | undefined;
  readonly topP: number | undefined;
  readonly topK: number | undefined;
  readonly repetitionPenalty: number | undefined;
  readonly maxTokens: number | undefined;
  readonly stop: readonly string[];
  /** Tokens that end the text; undefined where the file says nothing of them. */
  readonly endTokens: readonly number[] | undefined;
  /** Keys that would change the text and are not understood, with their values: `num_beams 4`. */
  readonly unknown: readonly string[];
}

/** Reads the settings of a model's folder; a file that is not there sets nothing. Throws CHECKPOINT for wrong values. */
export async function readGenerationConfig(
  folder: string,
  { vocabularySize, documentStart }: Pick<Tokenizer, 'vocabularySize' | 'documentStart'>,
): Promise<GenerationConfig> {
  const path = join(folder, 'generation_config.json');
  const parsed = schema.safeParse((await isThere(path)) ? await readJson(path) : {});
  if (!parsed.success) {
    const problems = describeIssues(parsed.error);
    throw new PerformerError('CHECKPOINT', `${path}: expected settings of generation, got ${problems}.`);
  }
  const { data } = parsed;
  const ids = listOf(data.eos_token_id);
  const isToken = (id: number) => id >= 0 && id < vocabularySize;
  const strange = ids.filter((id) => !isToken(id)).map((id) => ['eos_token_id', id] as const);
  const same = { ...neutral, bos_token_id: documentStart };
  const others = Object.entries(data).filter(([key, value]) => !(key in honoured) && changesText(key, value, same));
  return {
    temperature: data.do_sample === false ? 0 : (data.temperature ?? undefined),
    topP: data.top_p ?? undefined,
    topK: data.top_k || undefined, // 0 is Hugging Face's word for all
    repetitionPenalty: data.repetition_penalty ?? undefined,
    maxTokens: data.max_new_tokens ?? undefined,
    stop: listOf(data.stop_strings),
    endTokens: ids.length === 0 ? undefined : ids.filter(isToken),
    unknown: [...others, ...strange].map(([key, value]) => `${key} ${JSON.stringify(value)}`),
  };
}

function listOf<T>(value: T | readonly T[] | null | undefined): readonly T[] {
  if (value === null || value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}

function changesText(key: string, value: unknown, same: Readonly<Record<string, unknown>>): boolean {
  return !withoutEffect.has(key) && value !== null && value !== false && value !== same[key];
}
