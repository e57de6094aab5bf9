/** The tokenizer of a model, for all that gives it texts or takes texts from it. */
import { PerformerError } from '../base/errors.js';
import { isFromFile, noTokenizer, type TextFrame, type Tokenizer, tokenizerNamed } from '../data/index.js';
import { type ModelConfig, tokenConfig } from './model.js';
import { modelConfig } from './registry.js';

/** The tokens that a model must have: those of its tokenizer, and those that its family adds. */
export function neededTokens(config: ModelConfig): number {
  return tokenConfig(modelConfig({ ...config, vocabularySize: undefined })).vocabularySize;
}

/** What stands around whole texts of a model; nothing unless its texts are framed. */
export function textFrameOf({ framed, tokenizer }: ModelConfig): TextFrame | undefined {
  return framed === true ? tokenizerNamed(tokenizer as string).frame : undefined;
}

/**
 * The tokenizer that the config of a model names. A vocabulary may be padded beyond a tokenizer from a file.
 *
 * @throws CONFIG for a model that reads no tokens, where none of that name is registered, and for a model with more or fewer tokens than it needs, which can
 *   be given tokens alone.
 */
export function tokenizerOf(config: ModelConfig): Tokenizer {
  const { vocabularySize, ...own } = tokenConfig(config);
  const tokenizer = tokenizerNamed(own.tokenizer);
  if (tokenizer === noTokenizer) tokenizer.encode('');
  const needed = neededTokens(config);
  if (vocabularySize === needed || (isFromFile(own.tokenizer) && vocabularySize > needed)) return tokenizer;
  throw new PerformerError(
    'CONFIG',
    `${config.model}: expected a vocabularySize of ${needed} for the tokenizer ${tokenizer.name}, got ` +
      `${vocabularySize}. Leave vocabularySize out, or give tokens in the place of texts.`,
  );
}
