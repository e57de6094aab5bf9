/** Fewer key heads than query heads: what attention gives with each key head repeated for the query heads that share it. */
import { describe, expect, it } from 'vitest';
import { repeatHeads, repeatTokenHeads } from '../../src/attention/heads.js';
import {
  type AttentionInputs,
  type AttentionState,
  attentionMap,
  bidirectionalAttention,
  causalAttention,
  deferredAttention,
  exactAttention,
  kernelAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import type { Dtype, HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { FeatureMap, FeatureMapParts } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { arcCosineKernel, softmaxKernel } from '../../src/kernels/index.js';
import { decayOf, drawAttention, maskOf } from '../support/attention-inputs.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';
import { mapCase } from '../support/tested-maps.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, length, heads, keyHeads, dim, features] = [2, 9, 6, 2, 4, 8];
const lossWeight = normal('loss', [batch, length, heads, dim]);
const keyMask = maskOf(batch, length, (item, position) => (item === 0 ? position % 3 !== 1 : position > 1));

type Attend = (inputs: AttentionInputs, map: FeatureMap) => g.Tensor;

const cut = (inputs: AttentionInputs, from: number, to: number): AttentionInputs => {
  const part = <D extends Dtype>(x: g.Tensor<D>) => g.slice(x, 1, from, to);
  const mask = inputs.keyMask && g.less(0, part(g.cast(inputs.keyMask, 'int32')));
  return {
    query: part(inputs.query),
    key: part(inputs.key),
    value: part(inputs.value),
    keyMask: mask,
    ...positions(inputs, from, to),
  };
};
const positions = ({ queryPosition, keyPosition }: AttentionInputs, from: number, to: number) => ({
  queryPosition: queryPosition && g.slice(queryPosition, 1, from, to),
  keyPosition: keyPosition && g.slice(keyPosition, 1, from, to),
});
const recentOf = ({ sum, logScale }: AttentionState) => ({
  weight: g.multiply(g.reshape(logScale, [batch, logScale.dim(1), 1, logScale.dim(2)]), 0),
  value: g.multiply(g.slice(g.transpose(sum, [0, 1, 2, 3]), 2, 0, 1), 0),
});

const forms: Readonly<Record<string, Attend>> = {
  bidirectional: bidirectionalAttention,
  'cross attention': (inputs, map) => {
    const { query } = cut(inputs, 0, 5);
    const rest = { key: inputs.key, value: inputs.value, keyMask: inputs.keyMask };
    return g.pad(bidirectionalAttention({ query, ...rest }, map), 1, 0, length - 5);
  },
  'causal in chunks of 4': (inputs, map) => causalAttention(inputs, map, { chunk: 4 }).output,
  'causal after a state': (inputs, map) => {
    const before = causalAttention(cut(inputs, 0, 4), map, { chunk: 3 });
    const after = causalAttention(cut(inputs, 4, length), map, { chunk: 2, state: before.state });
    return g.concatenate([before.output, after.output], 1);
  },
  'recurrent, and beside a state': (inputs, map) => {
    const before = causalAttention(cut(inputs, 0, 7), map, { chunk: 3 });
    const next = recurrentAttention(cut(inputs, 7, 8), map, before.state);
    const recent = recentOf(next.state);
    const last = deferredAttention(cut(inputs, 8, 9), map, { ...next.state, recent });
    return g.concatenate([before.output, next.output, last.output], 1);
  },
};
const withoutMap: Readonly<Record<string, Attend>> = {
  exact: (inputs) => exactAttention(inputs, { isCausal: false }).output,
  'exact causal with carried keys': (inputs) => {
    const before = exactAttention(cut(inputs, 0, 4), { isCausal: true });
    const after = exactAttention(cut(inputs, 4, length), { isCausal: true, state: before.state });
    return g.concatenate([before.output, after.output], 1);
  },
  'by the softmax kernel': (inputs) => kernelAttention(inputs, softmaxKernel(), { isCausal: true }),
  'by an arc-cosine kernel': (inputs) => kernelAttention(inputs, arcCosineKernel({ degree: 1 }), { isCausal: true }),
};

interface Arguments extends AttentionInputs {
  readonly parts: never;
  readonly lossWeight: g.Tensor;
}
type Case = ReturnType<typeof grouped>;

/** A map for query heads and key heads, and the same with each part of a key head repeated. */
function grouped(name: string) {
  const [all, few] = [
    mapCase({ name } as never, dim, heads, features),
    mapCase({ name } as never, dim, keyHeads, features),
  ];
  const [own, ofKeys] = [all.parts as FeatureMapParts<HostTensor>, few.parts as FeatureMapParts<HostTensor>];
  const learned = own.learned && { query: own.learned.query, key: ofKeys.learned!.key };
  return {
    name,
    parts: { ...ofKeys, ...(learned === undefined ? {} : { learned }) },
    build: all.build as (parts: FeatureMapParts) => FeatureMap,
  };
}

const spread = (x: g.Tensor) =>
  g.reshape(
    repeatHeads(
      g.reshape(x, [1, keyHeads, 1, x.shape.slice(1).reduce((a: number, b) => a * Number(b), 1)]),
      heads / keyHeads,
    ),
    [heads, ...x.shape.slice(1)],
  );

function repeatedParts(parts: FeatureMapParts): FeatureMapParts {
  const { shape, learned } = parts;
  return {
    ...parts,
    ...(shape && { shape: { query: spread(shape.query), key: spread(shape.key), curvature: spread(shape.curvature) } }),
    ...(learned && { learned: { query: learned.query, key: spread(learned.key) } }),
  };
}

async function results(engine: typeof oracle, attend: Attend, map: Case, inputs: object, isRepeated: boolean) {
  const build = ({ parts, lossWeight: weights, ...tokens }: Arguments) => {
    const { query, key, value } = tokens;
    const repeated = {
      ...tokens,
      key: repeatTokenHeads(key, heads / keyHeads),
      value: repeatTokenHeads(value, heads / keyHeads),
    };
    const output = attend(isRepeated ? repeated : tokens, map.build(isRepeated ? repeatedParts(parts) : parts));
    const loss = g.sum(g.multiply(output, weights));
    const { learned } = parts as FeatureMapParts;
    return {
      output,
      ...g.gradient(loss, { query, key, value, ...(learned && { ofQuery: learned.query, ofKey: learned.key }) }),
    };
  };
  return (await runOnce(engine, build as never, { ...inputs, parts: map.parts, lossWeight })) as unknown as Record<
    string,
    HostTensor
  >;
}

async function expectGroupedIsRepeated(attend: Attend, map: Case, inputs: object, tolerance: number) {
  const expected = await results(oracle, attend, map, inputs, true);
  expect(expected.key!.shape[2]).toBe(keyHeads);
  for (const [engine, within] of [
    [oracle, 1e-9],
    [native, tolerance],
  ] as const) {
    const found = await results(engine, attend, map, inputs, false);
    for (const name of Object.keys(expected)) {
      expect(largestError(found[name]!, expected[name]!), name).toBeLessThan(within);
    }
  }
}

function drawn(std: number) {
  const all = drawAttention({ batch, heads, length, dim, std });
  const few = drawAttention({ batch, heads: keyHeads, length, dim, std });
  return { query: all.query, key: few.key, value: few.value };
}

describe.each(Object.entries(forms))('%s attention with fewer key heads', (_, attend) => {
  it.each([1, 8])('is that with the key heads repeated, with its gradients, at std %i', async (std) => {
    for (const mask of [{}, { keyMask }]) {
      await expectGroupedIsRepeated(attend, grouped('positive'), { ...drawn(std), ...mask }, std === 1 ? 5e-5 : 5e-3);
    }
  });

  it.each(['trigonometric', 'relu', 'hedgehog', 'sderf', 'aderf', 'polynomial'])(
    'so it is through %s features',
    async (name) => {
      await expectGroupedIsRepeated(attend, grouped(name), { ...drawn(1), keyMask }, 1e-3);
    },
  );
});

it.each(Object.entries(withoutMap))(
  '%s attention with fewer key heads is that with the key heads repeated',
  async (_, attend) => {
    for (const mask of [{}, { keyMask }]) {
      await expectGroupedIsRepeated(attend, grouped('positive'), { ...drawn(1), ...mask }, 5e-5);
    }
  },
);

it('one key head serves all query heads', async () => {
  const few = drawAttention({ batch, heads: 1, length, dim, std: 1 });
  const inputs = { query: drawn(1).query, key: few.key, value: few.value, parts: grouped('positive').parts };
  const build = ({ parts, query, key, value }: Arguments) => {
    const map = grouped('positive').build(parts);
    const all = { query, key: repeatTokenHeads(key, heads), value: repeatTokenHeads(value, heads) };
    return {
      own: causalAttention({ query, key, value }, map, { chunk: 4 }),
      all: causalAttention(all, map, { chunk: 4 }),
    };
  };
  const { own, all } = (await runOnce(native, build as never, inputs)) as never as Record<
    'own' | 'all',
    { output: HostTensor; state: AttentionState<HostTensor> }
  >;
  expect(largestError(own!.output, all!.output)).toBeLessThan(1e-5);
  expect(own!.state.sum.shape).toEqual([batch, 1, features, dim + 1]);
});

it('the attention matrix has a row for each query head, with the decays of its key head', async () => {
  const build = ({ parts, query, key, logDecay }: Arguments) => {
    const map = grouped('positive').build(parts);
    const group = heads / keyHeads;
    const decays = g.reshape(repeatTokenHeads(g.reshape(logDecay!, [batch, length, keyHeads, 1]), group), [
      batch,
      length,
      heads,
    ]);
    const all = { query, key: repeatTokenHeads(key, group), logDecay: decays };
    return {
      own: attentionMap({ query, key, logDecay }, map, { isCausal: true }),
      all: attentionMap(all, map, { isCausal: true }),
    };
  };
  const { query, key } = drawn(1);
  const logDecay = decayOf({ batch, length, heads: keyHeads }, (_, at, head) => 0.3 + 0.1 * ((at + head) % 7));
  const found = (await runOnce(oracle, build as never, {
    query,
    key,
    logDecay,
    parts: grouped('positive').parts,
  })) as never as Record<'own' | 'all', HostTensor>;
  expect(found.own!.shape).toEqual([batch, heads, length, length]);
  expect(largestError(found.own!, found.all!)).toBeLessThan(1e-12);
});

it('a number of key heads that does not divide the heads is refused', () => {
  const specs = { query: g.spec('float32', [1, 4, 6, dim]), key: g.spec('float32', [1, 4, 4, dim]) };
  const attend = ({ query, key }: { query: g.Tensor; key: g.Tensor }) =>
    exactAttention({ query, key, value: key }, { isCausal: true }).output;
  expect(() => g.trace(attend, [specs])).toThrow(/or a multiple/);
});
