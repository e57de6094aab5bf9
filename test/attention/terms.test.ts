/** The sums that the cores of attention give: several over disjoint sets of keys share one denominator. */
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type NodeProto } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  type AttentionTerms,
  bidirectionalAttention,
  bidirectionalTerms,
  causalAttention,
  causalTerms,
  deferredTerms,
  divideTerms,
  exactAttention,
  exactTerms,
  kernelAttention,
  kernelTerms,
  recurrentTerms,
} from '../../src/attention/index.js';
import { type HostTensor, zeros } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { expansionFeatures, positiveFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { gaussianKernel, type Kernel } from '../../src/kernels/index.js';
import { encodeModel } from '../../src/onnx/index.js';
import { drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { cutInputs, positiveMap, runOnce, stream } from '../support/attention-run.js';
import { lossCondition } from '../support/branches.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, length, heads, dim, features] = [2, 13, 2, 6, 10];
const projection = projectionOf(features, dim);
const lossWeight = normal('loss', [batch, length, heads, dim]);

interface Arguments extends AttentionInputs {
  readonly projection: g.Tensor;
  readonly lossWeight: g.Tensor;
  /** Which of the keys belong to the first of two terms. */
  readonly first: g.Tensor<'bool'>;
}
type Attend = (inputs: Arguments) => g.Tensor;
type Terms = (inputs: AttentionInputs, given: Arguments) => AttentionTerms;

const favor: Record<string, Terms> = {
  bidirectional: (inputs, given) => bidirectionalTerms(inputs, positiveFeatures(given.projection)),
  causal: (inputs, given) => causalTerms(inputs, positiveFeatures(given.projection), { chunk: 4 }).terms,
};
const whole: Record<string, Attend> = {
  bidirectional: ({ projection: rows, ...inputs }) => bidirectionalAttention(inputs, positiveFeatures(rows)),
  causal: ({ projection: rows, ...inputs }) => causalAttention(inputs, positiveFeatures(rows), { chunk: 4 }).output,
};
const exact =
  (isCausal: boolean): Terms =>
  (inputs) =>
    exactTerms(inputs, { isCausal }).terms;

/** The keys of one term: those chosen, of those that the mask shows. */
function keysOf({ query, key, value, keyMask }: Arguments, chosen: g.Tensor<'bool'>): AttentionInputs {
  return { query, key, value, keyMask: keyMask === undefined ? chosen : g.and(keyMask, chosen) };
}
/** The first keys by one form, the others by another, under one denominator. */
const shared =
  (a: Terms, b: Terms): Attend =>
  (given) =>
    divideTerms(a(keysOf(given, given.first), given), b(keysOf(given, g.not(given.first)), given));

interface Result {
  readonly output: HostTensor;
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly value: HostTensor;
}

async function resultOf(engine: typeof oracle, attend: Attend, inputs: object): Promise<Result> {
  const build = (given: Arguments) => {
    const output = attend(given);
    const { query, key, value } = given;
    return { output, ...g.gradient(g.sum(g.multiply(output, given.lossWeight)), { query, key, value }) };
  };
  return (await runOnce(engine, build as never, inputs)) as never;
}

function expectSame(got: Result, expected: Result, tolerance: number) {
  for (const name of ['output', 'query', 'key', 'value'] as const) {
    expect(largestError(got[name], expected[name]), name).toBeLessThan(tolerance);
  }
}

const first = maskOf(batch, length, (item, position) => (position * 5 + item) % 3 === 0);
const someHidden = maskOf(batch, length, (item, position) => item === 0 || position > 4);

function drawn(std: number) {
  return { ...drawAttention({ batch, heads, length, dim, std }), projection, lossWeight, first };
}

/** Queries opposite to the keys of the first term: float32 loses the weights of these, and not of the others. */
function opposite() {
  const inputs = drawn(1);
  const row = projection.data.slice(0, dim);
  const along = (at: number, factor: number) => (row[at % dim]! * factor) / Math.hypot(...row);
  const data = inputs.key.data.map((x, at) => {
    const position = Math.floor(at / (heads * dim)) % length;
    const item = Math.floor(at / (heads * dim * length));
    return first.data[item * length + position] === 1 ? x / 10 + along(at, 40) : x;
  });
  const query = inputs.query.data.map((x, at) => x + along(at, -40));
  return { ...inputs, key: { ...inputs.key, data }, query: { ...inputs.query, data: query } };
}

/** Exponents grow with the square of std, and their float32 with them. */
const tolerance = (std: number) => (std <= 1 ? 3e-5 : std <= 8 ? 2e-3 : 1e-2);

describe.each(['bidirectional', 'causal'])('%s FAVOR+', (form) => {
  it.each([1, 5, 8, 20])('over two sets of keys is FAVOR+ over all, with its gradients, at std %i', async (std) => {
    for (const inputs of [drawn(std), { ...drawn(std), keyMask: someHidden }]) {
      const expected = await resultOf(oracle, whole[form]!, inputs);
      const both = shared(favor[form]!, favor[form]!);
      expectSame(await resultOf(oracle, both, inputs), expected, 1e-8);
      expectSame(await resultOf(native, both, inputs), expected, tolerance(std));
    }
  });

  it('shares a denominator where one of the two is computed in log space', async () => {
    const inputs = opposite();
    const part = (given: Arguments, chosen: g.Tensor<'bool'>, scale: number) =>
      favor[form]!(keysOf({ ...given, query: g.multiply(given.query, scale) }, chosen), given);
    const terms = (given: Arguments) => [part(given, given.first, 1), part(given, g.not(given.first), 1 / 40)] as const;
    const lossy = (given: Arguments) => ({ conditions: terms(given).map(({ numerator }) => lossCondition(numerator)) });
    const { conditions } = (await runOnce(native, lossy as never, inputs)) as unknown as { conditions: HostTensor[] };
    expect(conditions.map(({ data }) => Number(data[0]))).toEqual([1, 0]);
    const both: Attend = (given) => divideTerms(...terms(given));
    const got = await resultOf(native, both, inputs);
    expectSame(got, await resultOf(oracle, both, inputs), 1e-2);
  });
});

describe.each([false, true])('exact attention (causal: %s)', (isCausal) => {
  it.each([1, 8, 20])(
    'over a set of keys and over the others is that over all, with its gradients, at std %i',
    async (std) => {
      for (const inputs of [drawn(std), { ...drawn(std), keyMask: someHidden }]) {
        const all: Attend = ({ query, key, value, keyMask }) =>
          exactAttention({ query, key, value, keyMask }, { isCausal }).output;
        const expected = await resultOf(oracle, all, inputs);
        const both = shared(exact(isCausal), exact(isCausal));
        expectSame(await resultOf(oracle, both, inputs), expected, 1e-8);
        expectSame(await resultOf(native, both, inputs), expected, tolerance(std));
      }
    },
  );

  it.each([0.7, 3, 8])(
    'sums with FAVOR+ over other keys as the definition says, with its gradients, at std %f',
    async (std) => {
      const inputs = drawn(std);
      const expected = await resultOf(oracle, mixture(isCausal), inputs);
      const both = shared(exact(isCausal), favor[isCausal ? 'causal' : 'bidirectional']!);
      expectSame(await resultOf(oracle, both, inputs), expected, 1e-8);
      expectSame(await resultOf(native, both, inputs), expected, tolerance(std));
    },
  );
});

/** Exact weights of the first keys beside estimated ones of the others, as one softmax of their logarithms, by ordinary ops. */
function mixture(isCausal: boolean): Attend {
  return ({ query, key, value, projection: rows, first: chosen }) => {
    const swap = (x: g.Tensor) => g.transpose(x, [0, 2, 1, 3]);
    const logs = (x: g.Tensor) => {
      const scaled = g.multiply(swap(x), dim ** -0.25);
      const u = g.matmul(scaled, rows, { transposeRight: true });
      return g.subtract(u, g.multiply(g.sum(g.square(scaled), -1, true), 0.5));
    };
    const scores = g.matmul(swap(query), swap(key), { transposeRight: true, scale: dim ** -0.5 });
    const [left, right] = [logs(query), logs(key)];
    const pairs = g.add(
      g.reshape(left, [batch, heads, length, 1, features]),
      g.reshape(right, [batch, heads, 1, length, features]),
    );
    const estimated = g.subtract(g.logSumExp(pairs, -1), Math.log(features));
    const logWeights = g.where(g.reshape(chosen, [batch, 1, 1, length]), scores, estimated);
    const lower = g.lessOrEqual(g.range(length), g.reshape(g.range(length), [length, 1]));
    const shown = isCausal ? g.where(lower, logWeights, g.scalar(Number.NEGATIVE_INFINITY)) : logWeights;
    return swap(g.matmul(g.softmax(shown), swap(value)));
  };
}

it('a signed kernel over some keys and its exact features over the others are the kernel over all', async () => {
  const expansion = gaussianKernel({ gamma: 0.2 }).taylor!(2);
  const { logMatrix: _, ...gaussian } = gaussianKernel({ gamma: 0.2 });
  const truncated: Kernel = {
    ...gaussian,
    isSigned: true,
    matrix: (x, y) => g.matmul(expansion.features(x), expansion.features(y), { transposeRight: true }),
    diagonal: (x) => g.sum(g.square(expansion.features(x)), -1, true),
  };
  const map = expansionFeatures(expansion, dim);
  const inputs = drawn(1);
  for (const isCausal of [false, true]) {
    const byKernel: Terms = (given) => kernelTerms(given, truncated, { isCausal });
    const byFeatures: Terms = (given) =>
      isCausal ? causalTerms(given, map, { chunk: 4 }).terms : bidirectionalTerms(given, map);
    const all: Attend = ({ query, key, value }) => kernelAttention({ query, key, value }, truncated, { isCausal });
    const expected = await resultOf(oracle, all, inputs);
    expectSame(await resultOf(oracle, shared(byKernel, byFeatures), inputs), expected, 1e-8);
    expectSame(await resultOf(oracle, shared(byFeatures, byFeatures), inputs), expected, 1e-8);
  }
});

it('every form gives the same sums at the last position, whatever scale each writes them at', async () => {
  const at = length - 1;
  for (const std of [1, 8]) {
    const inputs = drawAttention({ batch, heads, length, dim, std });
    const map = positiveMap(projection);
    const past = cutInputs(inputs, 0, at);
    const { state } = await stream(oracle, past, map, [at], { chunk: 4 });
    const none = (size: number) => zeros('float32', [batch, heads, 1, size]);
    const recent = { weight: none(features), value: none(dim + 1) };
    const token = cutInputs(inputs, at, length);
    const sums = ({ numerator, denominator, logScale }: AttentionTerms) => ({
      mean: g.divide(numerator, denominator!),
      total: g.add(logScale, g.log(denominator!)),
    });
    const lastOf = ({ mean, total }: ReturnType<typeof sums>) => ({
      mean: g.slice(mean, 1, mean.staticDim(1) - 1),
      total: g.slice(total, 1, total.staticDim(1) - 1),
    });
    interface Given {
      readonly inputs: AttentionInputs;
      readonly token: AttentionInputs;
      readonly projection: g.Tensor;
      readonly state: never;
      readonly recent: never;
    }
    const build = (given: Given) => {
      const own = positiveFeatures(given.projection);
      const { state: read, recent: rows } = given;
      return {
        bidirectional: lastOf(sums(bidirectionalTerms(given.inputs, own))),
        causal: lastOf(sums(causalTerms(given.inputs, own, { chunk: 4 }).terms)),
        onward: lastOf(sums(causalTerms(given.token, own, { chunk: 4, state: read }).terms)),
        recurrent: lastOf(sums(recurrentTerms(given.token, own, read).terms)),
        deferred: lastOf(sums(deferredTerms(given.token, own, { ...(read as object), recent: rows } as never).terms)),
      };
    };
    for (const [engine, within] of [
      [oracle, 1e-8],
      [native, tolerance(std)],
    ] as const) {
      const found = (await runOnce(engine, build as never, {
        inputs,
        token,
        projection,
        state,
        recent,
      })) as never as Record<string, Record<'mean' | 'total', HostTensor>>;
      // float32 may not hold the weight of a token beside a state at std 8: it is read by the recurrent form there.
      const others = ['causal', 'onward', 'recurrent', ...(std === 1 ? ['deferred'] : [])];
      for (const name of others) {
        expect(largestError(found[name]!.mean, found.bidirectional!.mean), name).toBeLessThan(within);
        expect(largestError(found[name]!.total, found.bidirectional!.total), name).toBeLessThan(within);
      }
    }
  }
});

/** The nodes of a graph, those of loops and branches among them. */
function nodesOf(build: (given: never) => object, inputs: object): number {
  const { graph } = g.trace(build as never, [g.specsOf(inputs)] as never);
  const count = (nodes: readonly NodeProto[]): number =>
    nodes.reduce(
      (total, { attribute }) => total + attribute.reduce((own, { g: body }) => own + count(body?.node ?? []), 1),
      0,
    );
  return count(fromBinary(ModelProtoSchema, encodeModel(graph, 'standard').bytes).graph!.node);
}

describe('what nobody asks for is not in the graph:', () => {
  const inputs = { ...drawAttention({ batch, heads, length, dim, std: 1 }), projection };

  it.each(['bidirectional', 'causal'])('the scales of a single term of %s attention', (form) => {
    const one = (given: Arguments) => ({ output: divideTerms(favor[form]!(given, given)) });
    const scaled = (given: Arguments) => {
      const terms = favor[form]!(given, given);
      return { output: divideTerms(terms), logScale: terms.logScale };
    };
    const plain = (given: Arguments) => ({ output: whole[form]!(given) });
    expect(nodesOf(one as never, inputs)).toBe(nodesOf(plain as never, inputs));
    expect(nodesOf(scaled as never, inputs)).toBeGreaterThan(nodesOf(one as never, inputs) + 3);
  });

  it('the gradient of a state that is an input, and of one that nobody reads', async () => {
    const { state } = await stream(oracle, cutInputs(inputs, 0, 4), positiveMap(projection), [4], { chunk: 4 });
    const step = (follows: boolean) => (given: Arguments & { state: { sum: g.Tensor; logScale: g.Tensor } }) => {
      const { projection: rows, state: before, ...tokens } = given;
      const { output, state: after } = causalAttention(tokens, positiveFeatures(rows), { chunk: 4, state: before });
      const { query, key, value } = given;
      const leaves = { query, key, value, ...(follows ? { sum: before.sum } : {}) };
      return { after, ...g.gradient(g.sum(output), leaves) };
    };
    const { projection: rows, ...tokens } = inputs;
    const given = { ...tokens, projection: rows, state };
    expect(nodesOf(step(false) as never, given)).toBeLessThan(nodesOf(step(true) as never, given) - 1);
  });
});
