/** The queries, keys and values that a language model's attention sees, layer by layer: what feature maps are chosen by. */
import type { AttentionSamples } from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import type { Engine } from '../engine/index.js';
import { slice, specsOf, type Tensor } from '../graph/index.js';
import type { LanguageModelConfig } from './config.js';
import { type LanguageModelParams, type Projections, readTokens } from './language-model.js';

interface SampledModel {
  readonly config: LanguageModelConfig;
  readonly params: LanguageModelParams<HostTensor>;
  readonly projections: Projections<HostTensor>;
}

interface Sampled<T> {
  readonly query: T;
  readonly key: T;
  readonly value: T;
}

/** Reads tokens [batch, length] int32, each row on its own, and returns what goes into the attention of each layer. */
export async function attentionSamples(
  engine: Engine,
  { config, params, projections }: SampledModel,
  tokens: HostTensor<'int32'>,
): Promise<(AttentionSamples & { readonly value: HostTensor })[]> {
  const length = tokens.shape[1] as number;
  const compiled = await engine.compile(
    (weights: LanguageModelParams, drawn: Projections, given: { tokens: Tensor }) => {
      const { attended } = readTokens(config, weights, { tokens: given.tokens, projections: drawn });
      const real = (x: Tensor) => slice(x, 1, 0, length);
      const layers = attended.map(({ query, key, value }) => ({
        query: real(query),
        key: real(key),
        value: real(value),
      }));
      return { layers };
    },
    [specsOf(params), specsOf(projections), specsOf({ tokens })] as never,
  );
  try {
    const { layers } = (await compiled.run([params, projections, { tokens }] as never)) as never as {
      layers: Sampled<HostTensor>[];
    };
    return layers.map((layer) => ({ ...layer, isCausal: true }));
  } finally {
    await compiled.dispose();
  }
}
