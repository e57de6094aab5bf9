/** The tokenizers by name. A model's options choose among these, and `registerTokenizer` adds others. */
import { PerformerError } from '../base/errors.js';
import { byteTokenizer } from './byte-tokenizer.js';
import { noTokenizer } from './no-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';

const tokenizers = new Map<string, Tokenizer>(
  [byteTokenizer, noTokenizer].map((tokenizer) => [tokenizer.name, tokenizer]),
);

/**
 * Adds a tokenizer, which a model can then have by its name: `tokenizer: 'words'` among its options. Whoever loads that
 * model must have registered it, too.
 *
 * @throws CONFIG for a name that is taken.
 */
export function registerTokenizer(tokenizer: Tokenizer): void {
  if (tokenizers.has(tokenizer.name)) {
    throw new PerformerError('CONFIG', `registerTokenizer: expected a name that is free, got ${tokenizer.name}.`);
  }
  tokenizers.set(tokenizer.name, tokenizer);
}

/** What is wrong with a name; undefined where there is a tokenizer of it. */
export function tokenizerProblem(name: string): string | undefined {
  if (tokenizers.has(name)) return undefined;
  const known = [...tokenizers.keys()].filter((each) => each !== noTokenizer.name).join(', ');
  return `expected one of ${known}, got ${name}. Register it by registerTokenizer, or give a tokenizer.json.`;
}

/** The tokenizer of a name; undefined where there is none. */
export function knownTokenizer(name: string): Tokenizer | undefined {
  return tokenizers.get(name);
}

/** The tokenizer of a name. Throws CONFIG for one that there is none of. */
export function tokenizerNamed(name: string): Tokenizer {
  const tokenizer = tokenizers.get(name);
  if (tokenizer !== undefined) return tokenizer;
  throw new PerformerError('CONFIG', `tokenizer: ${tokenizerProblem(name)}`);
}
