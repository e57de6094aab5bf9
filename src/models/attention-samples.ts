/** The queries, keys and values that a model's attention sees, layer by layer: what feature maps are chosen by. */
import { groupOf, repeatTokenHeads } from '../attention/heads.js';
import type { AttentionSamples } from '../attention/index.js';
import type { HostTensor } from '../base/array.js';
import type { Engine } from '../engine/index.js';
import { slice, specsOf, type Tensor } from '../graph/index.js';
import type { Model, ModelWeights } from './model.js';

interface Sampled<T> {
  readonly query: T;
  readonly key: T;
  readonly value: T;
}

/** Reads tokens [batch, length] int32, each row on its own, and returns what goes into the attention of each layer. */
export async function attentionSamples(
  engine: Engine,
  model: Model,
  { params, buffers }: ModelWeights,
  tokens: HostTensor<'int32'>,
): Promise<(AttentionSamples & { readonly value: HostTensor })[]> {
  const length = tokens.shape[1] as number;
  const compiled = await engine.compile(
    (learned: object, drawn: object, given: { tokens: Tensor<'int32'> }) => {
      const { attended } = model.apply({ params: learned, buffers: drawn }, given);
      const real = (x: Tensor) => slice(x, 1, 0, length + model.config.memoryTokens);
      // Samples are those of query heads: where several share a key head, each has its keys.
      const layers = attended.map((rows) => {
        if (rows === undefined) return undefined;
        const group = groupOf(rows.query, rows.key);
        const spread = (x: Tensor) => repeatTokenHeads(real(x), group);
        return { query: real(rows.query), key: spread(rows.key), value: spread(rows.value) };
      });
      return { layers };
    },
    [specsOf(params), specsOf(buffers), specsOf({ tokens })],
  );
  try {
    const { layers } = await compiled.run([params, buffers, { tokens }]);
    return (layers as readonly Sampled<HostTensor>[]).map((layer) => ({ ...layer, isCausal: model.isCausal }));
  } finally {
    await compiled.dispose();
  }
}
