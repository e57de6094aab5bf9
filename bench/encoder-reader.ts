/** An encoder of the sizes of all-MiniLM-L6-v2, with first weights, that makes one vector of a text. */
import { int32 } from '../src/base/index.js';
import { mean, spec, specsOf } from '../src/graph/index.js';
import { type EncoderOptions, encoderConfig, modelOf } from '../src/models/index.js';
import { withFusedAttention } from './fused-model.js';
import { engine, random, weightsOf } from './model.js';

/** Its attention: ONNX Runtime's own, or one of ours. */
export type EncoderAttention = 'fused' | Exclude<EncoderOptions['attention'], undefined>;

const sizes = {
  ...{ tokenizer: 'none', vocabularySize: 30_522 },
  ...{ dim: 384, depth: 6, heads: 12, headDim: 32, feedForwardWidth: 1536 },
  ...{ embeddingNorm: true, qkvBias: true, tokenShift: 0 },
} as const;

/** Reads a text of so many tokens, again with each call. */
export async function encoderReader(attention: EncoderAttention, length: number): Promise<() => Promise<unknown>> {
  const isFused = attention === 'fused';
  const own: Pick<EncoderOptions, 'norm' | 'positions' | 'attention'> = {
    norm: { kind: 'layer', placement: 'post' },
    positions: { kind: 'learned', maxLength: length },
    attention: isFused ? 'none' : attention,
  };
  const model = modelOf(encoderConfig({ ...sizes, ...own }));
  const { params, buffers } = weightsOf(model);
  const executable = await engine.compile(
    (learned, drawn, { tokens }) => {
      const result = model.apply({ params: learned, buffers: drawn }, { tokens });
      return { vector: mean(isFused ? withFusedAttention(result, false) : result.hidden, 1) };
    },
    [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, length]) }],
  );
  const tokens = int32(
    [1, length],
    Int32Array.from(random.split('words').bits(length), (word) => word % sizes.vocabularySize),
  );
  return () => executable.run([params, buffers, { tokens }]);
}
