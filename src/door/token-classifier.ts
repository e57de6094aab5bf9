/** A token classifier with its weights, ready to be called: a label for each word of a text. */

import { PerformerError } from '../base/errors.js';
import { joinWords, wordsOf } from '../data/index.js';
import {
  createWordPredictor,
  type TextBatchOptions,
  type ToldWords,
  targetsOf,
  type WordPredictor,
} from '../models/index.js';
import { type Host, type Local, type TextModel, textModel } from './host.js';

/** What is told of a text. Words and spans are places in it; in words that were given, places in them with a space between two. */
export type { ToldWord, ToldWords } from '../models/index.js';

/** A model that tells the label of each word of a text, here or in a worker. */
export interface TokenClassifier extends TextModel {
  readonly kind: 'token-classifier';
  /** The labels that there are. */
  readonly labels: readonly string[];
  /**
   * The label of each word of each text, in their order. A text is a list of its words, or is cut into words by the rules of
   * Unicode. Texts are read in batches of about one length.
   *
   * @throws CONFIG for options out of range, and for a text longer than the learned positions; DATA for what is no text.
   */
  classify(texts: readonly (string | readonly string[])[], options?: TextBatchOptions): Promise<ToldWords[]>;
}

export function tokenClassifier(host: Host): Local<TokenClassifier> {
  const { engine, loaded } = host;
  return {
    kind: 'token-classifier',
    ...textModel(host),
    labels: targetsOf(loaded.model)?.names ?? [],
    async classify(texts, options = {}) {
      const given = texts.map((text) => {
        if (typeof text === 'string') return wordsOf(text);
        if (Array.isArray(text) && text.every((word) => typeof word === 'string')) return joinWords(text);
        throw new PerformerError('DATA', `classify: expected texts, or lists of words, got ${typeof text}.`);
      });
      const make = () => createWordPredictor(engine, loaded, options);
      return host.use(`classify ${JSON.stringify(options)}`, make, ({ predict }: WordPredictor) => predict(given));
    },
  };
}
