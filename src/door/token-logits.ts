/** Logits of each token of a text, for the models that have them. */
import { float32, type HostTensor, int32 } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { framedTokens } from '../data/index.js';
import { spec, type Tensor } from '../graph/index.js';
import { textFrameOf, tokenizerOf } from '../models/index.js';
import { checkTokens, type Host } from './host.js';

/** A text, its bytes as a Uint8Array, or its tokens in any other array: whole numbers from 0 to below the model's `vocabularySize`. */
export type Tokens = string | ArrayLike<number>;

/** Logits [length, vocabularySize] of a text. Throws DATA for no tokens, too many, or tokens that there are not. */
export async function tokenLogits(host: Host, given: Tokens): Promise<HostTensor> {
  const { config, maxLength = Number.POSITIVE_INFINITY } = host.loaded.model;
  const isText = typeof given === 'string' || given instanceof Uint8Array;
  const tokens: ArrayLike<number> = isText
    ? framedTokens(tokenizerOf(config).encode(given), textFrameOf(config))
    : given;
  if (!(tokens?.length >= 1 && tokens.length <= maxLength)) {
    throw new PerformerError('DATA', `logits: expected from 1 to ${maxLength} tokens, got ${tokens?.length}.`);
  }
  checkTokens('logits', tokens, config);
  return host.use(
    'logits',
    () => compilePass(host),
    async (pass) => {
      const { logits } = await pass.run([{}, {}, { tokens: int32([1, tokens.length], Int32Array.from(tokens)) }]);
      return float32(logits.shape.slice(1), Float32Array.from(logits.data));
    },
  );
}

function compilePass({ engine, loaded: { model, params, buffers } }: Host) {
  return engine.compile(
    (learned: object, drawn: object, { tokens }: { readonly tokens: Tensor<'int32'> }) => ({
      logits: model.apply({ params: learned, buffers: drawn }, { tokens }).output,
    }),
    [params, buffers, { tokens: spec('int32', [1, symbol('length')]) }],
  );
}
