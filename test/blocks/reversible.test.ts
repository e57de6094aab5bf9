/** Reversible stacks against their definition, whatever is kept for the gradient. */
import { describe, expect, it } from 'vitest';
import { drawn, type HostTensor, leavesOf } from '../../src/base/index.js';
import { type Branch, block, type Kept, stack, type TokenContext } from '../../src/blocks/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import * as g from '../../src/graph/index.js';
import { add, gradient, type Node, specsOf, sum, type Tensor, tanh } from '../../src/graph/index.js';
import { sortNodes, valueInputs } from '../../src/graph/tensor.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

const [batch, length, dim] = [1, 3, 4];

/** tanh(xW + the sum of the source), for both kinds of slots. */
const branch: Branch = {
  params: { weight: drawn([dim, dim], 1) } as never,
  buffers: {} as never,
  state: () => ({}) as never,
  apply({ params }, x, { source }) {
    const hidden = tanh(g.matmul(x, (params as { weight: Tensor }).weight));
    return { output: source === undefined ? hidden : g.multiply(hidden, sum(source.hidden)), state: {} };
  },
};

const slots = (['attention', 'feedForward', 'other'] as const).map((name) => ({
  name,
  branch,
  rate: 'attention' as const,
}));
const ofDepth = (depth: number, count = 2) =>
  stack(
    'blocks',
    Array.from({ length: depth }, (_, layer) =>
      block({
        path: `blocks.${layer}`,
        dim,
        slots: slots.slice(0, count),
        norm: { kind: 'rezero' },
        tokenShift: 0,
      }),
    ),
    { isReversible: true },
  );

interface Given<T = Tensor> {
  readonly x: T;
  readonly source: T;
  readonly params: readonly { readonly [name: string]: { readonly weight: T } }[];
}

function given(depth: number, count = 2): Given<HostTensor> {
  const params = Array.from({ length: depth }, (_, layer) =>
    Object.fromEntries(
      slots.slice(0, count).flatMap(({ name }) => [
        [name, { weight: normal(`${layer}${name}`, [dim, dim]) }],
        [`${name}Gain`, { weight: normal(`${layer}${name}gain`, [1]) }],
      ]),
    ),
  );
  return { x: normal('x', [batch, length, dim]), source: normal('source', [1, 2, dim]), params };
}

function contextOf(source: Tensor): TokenContext {
  const unused = undefined as never;
  return { length, positions: unused, source: { hidden: source, positions: unused }, takeLast: unused };
}

function run(on: Engine, build: (all: Given) => Tensor, all: Given<HostTensor>) {
  return on
    .compile(
      (own: Given) => {
        const loss = sum(g.multiply(build(own), g.cos(own.x)));
        return { loss, gradients: gradient(loss, own) };
      },
      [specsOf(all)] as never,
    )
    .then((compiled) => compiled.run([all] as never)) as Promise<{ loss: HostTensor; gradients: Given<HostTensor> }>;
}

const through =
  (depth: number, kept: Kept, count = 2) =>
  ({ x, source, params }: Given) =>
    ofDepth(depth, count).apply({ params, buffers: params.map(() => ({})) }, x, contextOf(source), undefined, kept)
      .output;

/** The definition of Reformer, for two slots: y₁ = x₁ + α·f(x₂), y₂ = x₂ + β·g(y₁), and the sum of both at the end. */
function defined({ x, source, params }: Given): Tensor {
  let [first, second] = [x, x];
  const branchOf = (own: Tensor, gain: Tensor, from: Tensor) =>
    g.multiply(g.multiply(tanh(g.matmul(from, own)), sum(source)), gain);
  for (const { attention, attentionGain, feedForward, feedForwardGain } of params as never as Record<
    string,
    { weight: Tensor }
  >[]) {
    first = add(first, branchOf(attention!.weight, attentionGain!.weight, second));
    second = add(second, branchOf(feedForward!.weight, feedForwardGain!.weight, first));
  }
  return add(first, second);
}

const kinds = ['all', 'inputs', 'last'] as const;

describe('a reversible stack', () => {
  it.each(kinds)(
    'is what Reformer defines, with the gradients of the definition in float64; kept: %s',
    async (kept) => {
      const all = given(3);
      const expected = await run(referenceEngine(), defined, all);
      const found = await run(referenceEngine(), through(3, kept), all);
      expect(values(found.loss)[0]).toBeCloseTo(values(expected.loss)[0]!, 12);
      for (const [path, leaf] of leavesOf<object, HostTensor>(expected.gradients)) {
        const own = leavesOf<object, HostTensor>(found.gradients).find(([name]) => name === path)![1];
        expect(Math.max(...values(leaf).map(Math.abs)), path).toBeGreaterThan(0);
        expect(largestError(own, leaf), path).toBeLessThan(1e-12);
      }
    },
  );

  it('has the gradients of the stored form to float32 rounding on the engine, with an odd number of slots too', async () => {
    for (const count of [2, 3]) {
      const all = given(8, count);
      const stored = await run(nodeEngine({ threads: 1 }), through(8, 'all', count), all);
      const found = await run(nodeEngine({ threads: 1 }), through(8, 'last', count), all);
      const scale = Math.max(...leavesOf<object, HostTensor>(stored.gradients).flatMap(([, leaf]) => values(leaf)));
      for (const [path, leaf] of leavesOf<object, HostTensor>(stored.gradients)) {
        const own = leavesOf<object, HostTensor>(found.gradients).find(([name]) => name === path)![1];
        expect(largestError(own, leaf) / scale, path).toBeLessThan(1e-5);
      }
    }
  });

  it.each([2, 5])('keeps for its gradient the last streams alone, at a depth of %d', (depth) => {
    const keptOf = (kept: Kept) => {
      const { graph } = g.trace((own: Given) => gradient(sum(through(depth, kept)(own)), { params: own.params }), [
        specsOf(given(depth)),
      ] as never);
      const nodes = sortNodes(
        graph.outputs.map(({ tensor }) => tensor),
        valueInputs,
      );
      const isBack = ({ path }: Node) => path.includes('gradient');
      const read = nodes.filter(isBack).flatMap(valueInputs);
      const rows = read.filter(({ node, shape }) => !isBack(node) && String(shape) === String([batch, length, dim]));
      return new Set(rows).size;
    };
    expect(keptOf('last')).toBe(2);
    expect(keptOf('inputs')).toBe(2 * depth);
    expect(keptOf('all')).toBeGreaterThan(3 * depth);
  });
});
