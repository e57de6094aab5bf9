/** The gradient of a state that was given and of one that is given out: a text in pieces has the gradients of the whole. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  type AttentionState,
  causalAttention,
  mergeStates,
  recurrentAttention,
} from '../../src/attention/index.js';
import type { AnyHostTensor, Dtype, HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { FeatureMap } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { decayOf, drawAttention, maskOf } from '../support/attention-inputs.js';
import { cutInputs, runOnce, stream } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';
import { mapCase } from '../support/tested-maps.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, length, heads, dim, features] = [2, 14, 2, 6, 10];
const lossWeight = normal('loss', [batch, length, heads, dim]);
const maps = (['positive', 'trigonometric', 'relu', 'hedgehog'] as const).map((name) =>
  mapCase({ name } as never, dim, heads, features),
);

interface Arguments extends AttentionInputs {
  readonly parts: never;
  readonly lossWeight: g.Tensor;
}
/** The outputs of the rows that count, and the first of these. */
type Read = (inputs: AttentionInputs, map: FeatureMap) => { readonly output: g.Tensor; readonly from: number };

function cut({ query, key, value, keyMask, logDecay }: AttentionInputs, from: number, to: number): AttentionInputs {
  const part = <D extends Dtype>(x: g.Tensor<D>) => g.slice(x, 1, from, to);
  const shown = keyMask && g.less(0, part(g.cast(keyMask, 'int32')));
  return {
    ...{ query: part(query), key: part(key), value: part(value), keyMask: shown },
    logDecay: logDecay && part(logDecay),
  };
}

const whole =
  (from: number): Read =>
  (inputs, map) => ({ output: g.slice(causalAttention(inputs, map, { chunk: 4 }).output, 1, from), from });

/** Pieces that end at `ends`, each reading on from the state of the one before; one of a single token in the recurrent form. */
const inPieces =
  (ends: readonly number[], chunk: number): Read =>
  (inputs, map) => {
    let state: AttentionState | undefined;
    const outputs: g.Tensor[] = [];
    let at = 0;
    for (const end of ends) {
      const piece = cut(inputs, at, end);
      const read: { output: g.Tensor; state: AttentionState } =
        end - at === 1 && state !== undefined
          ? recurrentAttention(piece, map, state)
          : causalAttention(piece, map, { chunk, state });
      outputs.push(read.output);
      state = read.state;
      at = end;
    }
    return { output: g.concatenate(outputs, 1), from: 0 };
  };

/** Three stretches read apart, as on machines of their own; the last piece reads on from their merged states. */
const merged: Read = (inputs, map) => {
  const states = [
    [0, 4],
    [4, 9],
    [9, 11],
  ].map(([from, to]) => causalAttention(cut(inputs, from!, to!), map, { chunk: 3 }).state);
  const state = mergeStates(states[0]!, mergeStates(states[1]!, states[2]!));
  return { output: causalAttention(cut(inputs, 11, length), map, { chunk: 2, state }).output, from: 11 };
};

interface Result {
  readonly output: HostTensor;
  readonly gradients: Readonly<Record<'query' | 'key' | 'value', HostTensor>> & { readonly logDecay?: HostTensor };
  readonly learned: object;
}

async function resultOf(
  engine: typeof oracle,
  read: Read,
  map: (typeof maps)[number],
  inputs: object,
): Promise<Result> {
  const build = (given: Arguments) => {
    const { parts, lossWeight: weights, ...tokens } = given;
    const built = map.build(parts);
    const { output, from } = read(tokens, built);
    const loss = g.sum(g.multiply(output, g.slice(weights, 1, from)));
    const { query, key, value, logDecay } = tokens;
    return {
      output,
      gradients: g.gradient(loss, { query, key, value, ...(logDecay && { logDecay }) }),
      learned: g.gradient(loss, { ...built.learned }),
    };
  };
  return (await runOnce(engine, build as never, { ...inputs, parts: map.parts, lossWeight })) as never;
}

function expectSame(got: Result, expected: Result, tolerance: number) {
  expect(largestError(got.output, expected.output)).toBeLessThan(tolerance);
  for (const [name, own] of Object.entries(got.gradients)) {
    const all = expected.gradients as Record<string, HostTensor>;
    expect(largestError(own, all[name]!), name).toBeLessThan(tolerance);
  }
  for (const [name, own] of Object.entries(got.learned)) {
    const all = expected.learned as Record<string, HostTensor>;
    expect(largestError(own as HostTensor, all[name]!), `learned ${name}`).toBeLessThan(tolerance);
  }
}

/** Tokens of std 1 with a stretch of std 20, for which float32 needs log space. */
function drawn(kind: 'small' | 'large' | 'large in the middle') {
  const inputs = drawAttention({ batch, heads, length, dim, std: 1 });
  const factor = (at: number) => {
    const position = Math.floor(at / (heads * dim)) % length;
    return kind === 'large' || (kind !== 'small' && position >= 5 && position < 9) ? 20 : 1;
  };
  const grown = (x: HostTensor<'float32'>) => ({ ...x, data: x.data.map((value, at) => value * factor(at)) });
  return { ...inputs, query: grown(inputs.query), key: grown(inputs.key) };
}

const decaying = decayOf(
  { batch, length, heads },
  (item, position, head) => 0.1 + 0.1 * ((position + item + head) % 9),
);
const hidden = maskOf(batch, length, (item, position) => (item === 0 ? position > 5 : position % 3 !== 1));
const readings: readonly (readonly [string, Read, number])[] = [
  ['in pieces, each after the state of the one before', inPieces([4, 9, 11, length], 3), 0],
  ['in pieces with recurrent steps among them', inPieces([4, 5, 6, 9, 10, length], 4), 0],
  ['after the merged states of three stretches', merged, 11],
];

describe.each(readings)('a text read %s has the gradients of the whole', (_, read, from) => {
  it.each(['small', 'large', 'large in the middle'] as const)(
    'for %s queries and keys, on both engines',
    async (kind) => {
      const map = maps[0]!;
      const all = [drawn(kind), { ...drawn(kind), keyMask: hidden }];
      for (const inputs of [...all, ...all.map((each) => ({ ...each, logDecay: decaying }))]) {
        const expected = await resultOf(oracle, whole(from), map, inputs);
        expectSame(await resultOf(oracle, read, map, inputs), expected, 1e-8);
        expectSame(await resultOf(native, read, map, inputs), expected, kind === 'small' ? 5e-5 : 2e-2);
      }
    },
  );

  it.each(maps.slice(1))('through $name features', async (map) => {
    const hiding = { ...drawn('small'), keyMask: hidden };
    for (const inputs of [hiding, { ...hiding, logDecay: decaying }]) {
      const expected = await resultOf(oracle, whole(from), map, inputs);
      expectSame(await resultOf(oracle, read, map, inputs), expected, 1e-8);
      expectSame(await resultOf(native, read, map, inputs), expected, 1e-3);
    }
  });
});

interface StateArguments extends AttentionInputs {
  readonly parts: never;
  readonly state: AttentionState;
  readonly stateWeight: g.Tensor;
  readonly weights: g.Tensor;
}

describe.each([1, 8])('the gradient of a state that is an input, at std %i,', (std) => {
  it('is what finite differences of its sum show, through an output and through the next state', async () => {
    const map = maps[0]!;
    const all = drawAttention({ batch, heads, length, dim, std });
    const { state } = await stream(oracle, cutInputs(all, 0, 6), map, [6], { chunk: 4 });
    const stateWeight = normal('state', state.sum.shape);
    const given = {
      ...cutInputs(all, 6, length),
      parts: map.parts,
      stateWeight,
      weights: normal('loss', [batch, length - 6, heads, dim]),
    };
    const build = (inputs: StateArguments) => {
      const { parts, state: before, stateWeight: ofState, weights, ...tokens } = inputs;
      const { output, state: after } = causalAttention(tokens, map.build(parts), { chunk: 3, state: before });
      const total = g.multiply(after.sum, g.exp(g.reshape(g.subtract(after.logScale, 3), [batch, heads, features, 1])));
      const loss = g.add(g.sum(g.multiply(output, weights)), g.sum(g.multiply(total, ofState)));
      return { loss, sum: g.gradient(loss, { sum: before.sum }).sum };
    };
    const at = async (sum: AnyHostTensor) =>
      (await runOnce(oracle, build as never, { ...given, state: { ...state, sum } })) as never as Record<
        'loss' | 'sum',
        HostTensor
      >;
    const { sum: found } = await at(state.sum);
    for (const place of [0, 20, 131, 200]) {
      const moved = (by: number) => {
        const data = Float64Array.from(state.sum.data);
        data[place]! += by;
        return { dtype: 'float64', shape: state.sum.shape, data } as const;
      };
      const step = 1e-5;
      const numeric =
        (Number((await at(moved(step))).loss.data[0]) - Number((await at(moved(-step))).loss.data[0])) / (2 * step);
      const scale = 1 + Math.abs(numeric);
      expect(Math.abs(Number(found.data[place]) - numeric) / scale, `sum[${place}]`).toBeLessThan(1e-6);
    }
  });
});
