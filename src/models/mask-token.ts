/**
 * The token that stands for a masked one: the tokenizer's own where it has one, and else one that the family adds behind the
 * tokenizer's. Models of texts have it all, so that one can begin with the weights of another.
 */
import { type Tokenizer, tokenizerNamed } from '../data/index.js';
import { type Model, type ModelConfig, tokenConfig } from './model.js';

/** How many tokens are added for it. */
export function addedMasks({ special }: Tokenizer): number {
  return special?.mask === undefined ? 1 : 0;
}

/** The token that stands for a masked one. */
export function maskTokenOf({ config }: Pick<Model, 'config'>): number {
  return specialOr(config, ['mask']);
}

/** The token that is set before a text to stand for all of it. */
export function classTokenOf(config: ModelConfig): number {
  return specialOr(config, ['classification', 'mask']);
}

/** The first of these that the tokenizer has, and the model too; else the last of the model, which no tokenizer gives. */
function specialOr(config: ModelConfig, names: readonly ('classification' | 'mask')[]): number {
  const { tokenizer, vocabularySize } = tokenConfig(config);
  const { special } = tokenizerNamed(tokenizer);
  const own = names.map((name) => special?.[name]).find((token) => token !== undefined && token < vocabularySize);
  return own ?? vocabularySize - 1;
}
