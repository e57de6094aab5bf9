/**
 * Sampling: from a row of logits to the next token. A pure function of its arguments.
 *
 *   penalty → temperature → top-k → top-p → draw
 *
 * in the order of Hugging Face. The repetition penalty is that of CTRL (Keskar et al. 2019, section 4.1): it lowers the
 * logits of tokens that were seen, so positive ones are divided by it and negative ones multiplied. Top-p keeps the
 * smallest set of tokens whose probability reaches p (Holtzman et al. 2020, section 3.1). Ties go to the lowest token.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import { Random } from '../base/random.js';
import { nameOfValue } from './value-name.js';

/** How a token is chosen from logits. */
export interface SamplingOptions {
  /** What logits are divided by, from 0: always the likeliest token; 1: as the model says. */
  readonly temperature: number;
  /** Draw among this many of the likeliest tokens, from 1; among all unless given. */
  readonly topK?: number | undefined;
  /** Draw among the likeliest tokens that together reach this probability, in (0, 1]; among all unless given. */
  readonly topP?: number | undefined;
  /** Above 1 makes tokens that were seen less likely, below 1 (and above 0) likelier; 1 unless given. */
  readonly repetitionPenalty?: number | undefined;
}

/** The same as options, with their bounds, defaults and help. */
export const samplingSchema = z.strictObject({
  temperature: z.number().min(0),
  topK: z.int().min(1).optional(),
  topP: z.number().gt(0).max(1).optional(),
  repetitionPenalty: z.number().gt(0).optional(),
});

/** Throws CONFIG with every problem of the options, unknown ones among them. */
export function checkOptions(where: string, schema: z.ZodType, options: unknown): void {
  const { error } = schema.safeParse(options);
  if (error !== undefined) {
    throw new PerformerError('CONFIG', `${where}: expected valid options, got ${describeIssues(error)}.`);
  }
}

/**
 * The next token, from 0 to vocabulary − 1.
 *
 * @param logits one row, [vocabulary]; −∞ for a token that must not come.
 * @param recent tokens that were seen, for the repetition penalty; each counts once.
 * @param random the key of this draw: equal arguments give the same token.
 * @throws CONFIG for options out of range and arguments of another kind; DTYPE for logits that are not float32; NUMERIC for a logit that is NaN or +∞, or when all are −∞; DATA for a
 *   token of `recent` that is not in the vocabulary.
 */
export function chooseToken(
  logits: Float32Array,
  options: SamplingOptions,
  recent: Iterable<number>,
  random: Random,
): number {
  checkOptions('chooseToken', samplingSchema, options);
  if (!(logits instanceof Float32Array)) {
    throw new PerformerError('DTYPE', `chooseToken: expected logits in a Float32Array, got ${nameOfValue(logits)}.`);
  }
  if (typeof recent?.[Symbol.iterator] !== 'function') {
    throw new PerformerError('CONFIG', `chooseToken: expected a list of tokens seen, got ${nameOfValue(recent)}.`);
  }
  if (!(random instanceof Random)) {
    throw new PerformerError('CONFIG', `chooseToken: expected a Random, got ${nameOfValue(random)}.`);
  }
  const { temperature, topK, topP = 1, repetitionPenalty = 1 } = options;
  checkLogits(logits);
  const scores = Float64Array.from(logits);
  if (repetitionPenalty !== 1) penalize(scores, recent, repetitionPenalty);
  const best = likeliest(scores);
  if (temperature === 0) return best;
  const top = scores[best] as number;
  const weights = scores.map((score) => Math.exp((score - top) / temperature)); // 1 for the likeliest
  if ((topK !== undefined && topK < weights.length) || topP < 1) restrict(weights, scores, topK, topP);
  return draw(weights, random);
}

function checkLogits(logits: Float32Array): void {
  const bad = logits.findIndex((logit) => Number.isNaN(logit) || logit === Number.POSITIVE_INFINITY);
  if (bad >= 0) {
    throw new PerformerError('NUMERIC', `chooseToken: expected finite logits, got ${logits[bad]} for token ${bad}.`);
  }
  if (logits.every((logit) => logit === Number.NEGATIVE_INFINITY)) {
    throw new PerformerError('NUMERIC', 'chooseToken: expected a token that may come, got no logit above -Infinity.');
  }
}

function penalize(scores: Float64Array, recent: Iterable<number>, penalty: number): void {
  for (const token of new Set(recent)) {
    const score = scores[token];
    if (score === undefined) {
      throw new PerformerError('DATA', `chooseToken: expected tokens below ${scores.length}, got ${token}.`);
    }
    scores[token] = score > 0 ? score / penalty : score * penalty;
  }
}

/** The first of the largest. */
function likeliest(scores: Float64Array): number {
  let best = 0;
  scores.forEach((score, token) => {
    if (score > (scores[best] as number)) best = token;
  });
  return best;
}

/** Sets the weight of every token to zero but those that top-k and then top-p keep: always one at least. */
function restrict(weights: Float64Array, scores: Float64Array, topK: number | undefined, topP: number): void {
  const scoreOf = (token: number) => scores[token] as number;
  const weightOf = (token: number) => weights[token] as number;
  const order = Array.from(scores.keys()).sort((a, b) => scoreOf(b) - scoreOf(a) || a - b);
  const kept = order.slice(0, topK);
  const wanted = topP * kept.reduce((total, token) => total + weightOf(token), 0);
  let count = kept.length;
  if (topP < 1) {
    let reached = 0;
    count = 0;
    do reached += weightOf(kept[count++] as number);
    while (count < kept.length && reached < wanted);
  }
  for (const token of order.slice(count)) weights[token] = 0;
}

/** A token with probability weight/total. */
function draw(weights: Float64Array, random: Random): number {
  let rest = random.uniform() * weights.reduce((total, weight) => total + weight, 0);
  let chosen = 0;
  for (const [token, weight] of weights.entries()) {
    if (weight === 0) continue;
    chosen = token; // the last one, should rounding leave a rest
    if (rest < weight) break;
    rest -= weight;
  }
  return chosen;
}
