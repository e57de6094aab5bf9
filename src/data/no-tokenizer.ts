/** The tokenizer `none`: that of imported models whose folder keeps none. They take tokens, and a text is an error. */
import { PerformerError } from '../base/errors.js';
import type { Tokenizer } from './tokenizer.js';

function refuse(): never {
  throw new PerformerError(
    'CONFIG',
    'tokenizer: expected that of the model, got none, as its folder had no tokenizer.json. ' +
      'Put the file beside its config.json and import the model again, or give tokens in the place of texts.',
  );
}

/** Every use of it throws CONFIG with what is missing. */
export const noTokenizer: Tokenizer = {
  ...{ name: 'none', vocabularySize: 1, documentStart: 0, lookback: 1 },
  ...{ encode: refuse, decoder: refuse, json: refuse },
  files: () => new Map(),
};
