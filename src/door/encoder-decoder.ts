/** An encoder-decoder with its weights, ready to be called: it writes a text of another. */
import { type BasicModel, basicModel, type Host, type Local } from './host.js';
import { type GeneratedText, type GenerationOptions, generated } from './language-model.js';

/** A model that reads a source and writes a text of it, here or in a worker. */
export interface EncoderDecoder extends BasicModel {
  readonly kind: 'encoder-decoder';
  /**
   * The text of a source, which ends where the model ends it, or after `maxTokens`. `temperature: 0` takes the likeliest
   * token each time. Throws as `generate` of `performer-ts/generation`.
   */
  generate(source: string | Uint8Array, options?: Omit<GenerationOptions, 'source'>): GeneratedText;
}

export function encoderDecoder(host: Host): Local<EncoderDecoder> {
  return {
    kind: 'encoder-decoder',
    ...basicModel(host),
    generate: (source, options = {}) => generated(host, '', { ...options, source }),
  };
}
