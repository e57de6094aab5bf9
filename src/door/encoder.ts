/** An encoder with its weights, ready to be called: logits of masked tokens, and embeddings. */
import type { HostTensor } from '../base/array.js';
import { maskTokenOf } from '../models/index.js';
import { type Host, type Local, type TextModel, textModel } from './host.js';
import { type Tokens, tokenLogits } from './token-logits.js';

/** A model that reads in both directions, and has learned to guess masked tokens; here or in a worker. */
export interface Encoder extends TextModel {
  readonly kind: 'encoder';
  /** The token that stands in the place of one that is to be guessed. */
  readonly maskToken: number;
  /**
   * What the model expects in the place of each token, from all the others: logits [length, vocabularySize]. It has learned
   * to tell that of masked tokens.
   *
   * @throws DATA for no tokens, too many, or tokens that there are not.
   */
  logits(tokens: Tokens): Promise<HostTensor>;
}

export function encoder(host: Host): Local<Encoder> {
  return {
    kind: 'encoder',
    ...textModel(host),
    maskToken: maskTokenOf(host.loaded.model),
    logits: (tokens) => tokenLogits(host, tokens),
  };
}
