/** Shared attention against its definition, in float64. */
import { describe, expect, it, test } from 'vitest';
import { causalAttention, exactAttention } from '../../src/attention/index.js';
import { drawBuffers, type HostTensor, initialize, Random } from '../../src/base/index.js';
import { linear, type TokenContext } from '../../src/blocks/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { featureMap } from '../../src/features/index.js';
import { broadcastTo, reshape, scalar, specsOf, type Tensor } from '../../src/graph/index.js';
import { type AttentionParams, buildMixers, featureOptions, selfAttentionLayer } from '../../src/mixers/index.js';
import { languageModelConfig, modelOf } from '../../src/models/index.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const sizes = { dim: 6, heads: 2, keyHeads: 1, headDim: 4, isCausal: true, outputGain: 1, chunk: 4 };
const features = { name: 'relu', featureCount: 8 } as const;
const [batch, length] = [1, 8];

/** Source and sharing layer on different rows, and the definition: each [batch, length, dim]. */
async function both(kind: 'favor+' | 'softmax', part: 'weights' | 'output') {
  const own = kind === 'softmax' ? { kind } : { kind, features, forgetting: 'none' };
  const [source, sharing] = buildMixers([own, { kind: 'shared', part }] as never, sizes) as never as [
    ReturnType<typeof buildMixers>[0],
    ReturnType<typeof buildMixers>[0],
  ];
  const random = Random.fromSeed(1);
  const given = {
    x: normal('x', [batch, length, 6]),
    y: normal('y', [batch, length, 6]),
    params: initialize<object>([source.params, sharing.params], random),
    buffers: drawBuffers<object>(source.buffers, random),
  };
  const context: TokenContext = {
    length,
    positions: broadcastTo(scalar(0, 'uint32'), [batch, length]),
    takeLast: (rows) => rows,
  };
  const build = ({ x, y, params, buffers }: { x: Tensor; y: Tensor; params: object; buffers: object }) => {
    const [first, second] = params as [AttentionParams, AttentionParams];
    const weights = { params: first, buffers };
    const { shared } = source.apply(weights, x, context);
    const handedOn = { ...context, shared: { rows: shared!, weights } };
    const { output } = sharing.apply({ params: second, buffers: {} }, y, handedOn);
    const split = (rows: Tensor, heads: number) => reshape(rows, [batch, length, heads, 4]);
    const see = (value: Tensor) => {
      const rows = { query: split(linear(first.query, x), 2), key: split(linear(first.key, x), 1), value };
      if (kind === 'softmax') return exactAttention(rows, { isCausal: true }).output;
      return causalAttention(rows, featureMap(featureOptions(features as never, 4), buffers as never), { chunk: 4 })
        .output;
    };
    const attended =
      part === 'weights' ? see(split(linear(second.value, y), 1)) : see(split(linear(first.value, x), 1));
    return { output, expected: linear(second.output, reshape(attended, [batch, length, 8])) };
  };
  const compiled = await referenceEngine().compile(build as never, [specsOf(given)] as never);
  return (await compiled.run([given] as never)) as never as { output: HostTensor; expected: HostTensor };
}

describe('shared attention', () => {
  it.each([
    ['favor+', 'weights'],
    ['favor+', 'output'],
    ['softmax', 'weights'],
    ['softmax', 'output'],
  ] as const)('of %s sees by the %s of the earlier layer', async (kind, part) => {
    const { output, expected } = await both(kind, part);
    expect(largestError(output, expected)).toBeLessThan(1e-12);
  });

  test('has no queries, keys, features or projections of its own, and of a whole output no values and no state', () => {
    const model = modelOf(
      languageModelConfig({
        ...{ dim: 16, depth: 3, heads: 2, headDim: 8, tokenShift: 0 },
        attention: [{ features: 'hedgehog' }, 'shared', { kind: 'shared', part: 'output' }],
      }),
    );
    const namesAt = (tree: object, layer: number) =>
      Object.keys((tree as { blocks: { attention?: object }[] }).blocks[layer]!.attention ?? {});
    expect(namesAt(model.params, 0)).toContain('features');
    expect(namesAt(model.params, 1)).toEqual(['value', 'output']);
    expect(namesAt(model.params, 2)).toEqual(['output']);
    expect([1, 2].map((layer) => namesAt(model.buffers, layer))).toEqual([[], []]);
    expect([0, 1, 2].map((layer) => namesAt(model.state(1), layer).length > 0)).toEqual([true, true, false]);
  });

  test('alone is an error that says what to do', () => {
    expect(() => selfAttentionLayer({ dim: 8, heads: 2, attention: 'shared' })).toThrow(
      /attention: expected an earlier layer with attention of its own, .* Name another kind before it/,
    );
  });
});
