/**
 * Gradients of attention through every feature map: of the graph in float64 against finite differences of the plain
 * loops, and of ONNX Runtime against the graph in float64.
 *
 * A guarded denominator is a constant to the gradient, and so is its bound Σ|φ(k)| in the finite differences.
 */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  type AttentionState,
  bidirectionalAttention,
  causalAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { FeatureMapParts } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { cutLength, type DrawnAttention, maskOf } from '../support/attention-inputs.js';
import { cutInputs, runOnce, stream } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { mapAttentionOracle } from '../support/map-oracle.js';
import { learnedRows } from '../support/map-rows.js';
import { some } from '../support/product.js';
import { labelOf, type MapCase, mapCase, mapChoices } from '../support/tested-maps.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, heads, length, dim, valueDim] = [1, 2, 5, 4, 2];
const before = 4; // what a state has read

type Parts = FeatureMapParts<HostTensor>;
interface Traced extends AttentionInputs {
  readonly parts: FeatureMapParts;
  readonly lossWeight: Tensor;
  readonly state?: AttentionState;
}

interface Form {
  readonly name: string;
  readonly isCausal: boolean;
  /** The first row whose output counts: rows before it are what a state has read. */
  readonly start: number;
  readonly end: number;
  readonly attend: (map: MapCase) => (inputs: Traced) => Tensor;
}

const features = (map: MapCase, { parts }: Traced) => map.build(parts as never);
const forms: readonly Form[] = [
  {
    name: 'bidirectional',
    isCausal: false,
    start: 0,
    end: length,
    attend: (map) => (inputs) => bidirectionalAttention(inputs, features(map, inputs)),
  },
  {
    name: 'causal in chunks of 2',
    isCausal: true,
    start: 0,
    end: length,
    attend: (map) => (inputs) => causalAttention(inputs, features(map, inputs), { chunk: 2 }).output,
  },
  {
    name: 'causal after a state',
    isCausal: true,
    start: before,
    end: before + length,
    attend: (map) => (inputs) =>
      causalAttention(inputs, features(map, inputs), { chunk: 3, state: inputs.state! }).output,
  },
  {
    name: 'recurrent after a state',
    isCausal: true,
    start: before,
    end: before + 1,
    attend: (map) => (inputs) => recurrentAttention(inputs, features(map, inputs), inputs.state!).output,
  },
];

/** All tokens, those that a state has read among them. */
function drawn({ usesPosition }: MapCase, form: Form): DrawnAttention {
  const positions: HostTensor<'int32'> = {
    dtype: 'int32',
    shape: [batch, form.end],
    data: Int32Array.from({ length: form.end }, (_, at) => 2 * at),
  };
  return {
    query: normal('query', [batch, form.end, heads, dim]),
    key: normal('key', [batch, form.end, heads, dim]),
    value: normal('value', [batch, form.end, heads, valueDim]),
    keyMask: maskOf(batch, form.end, (_, position) => position !== form.start + 1),
    ...(usesPosition ? { queryPosition: positions, keyPosition: positions } : {}),
  };
}

/** Σ weight∘output by the plain loops, over the rows that count. */
function plainLoss(map: MapCase, form: Form, inputs: DrawnAttention, weight: HostTensor, keyMass: readonly number[]) {
  const { output } = mapAttentionOracle(inputs, { isCausal: form.isCausal, map: map.oracle, keyMass });
  const rows = cutLength(output, form.start, form.end);
  return rows.data.reduce((total, value, at) => total + value * Number(weight.data[at]), 0);
}

/** `tensor` in float64 with `by` added to one element. */
function moved(tensor: HostTensor, at: number, by: number): HostTensor<'float64'> {
  const data = Float64Array.from(tensor.data as Float32Array);
  data[at]! += by;
  return { dtype: 'float64', shape: tensor.shape, data };
}

interface Gradients {
  readonly loss: HostTensor;
  readonly inputs: Readonly<Record<'query' | 'key' | 'value', HostTensor>>;
  readonly learned: Readonly<Record<'query' | 'key', HostTensor>> | undefined;
}

async function check(map: MapCase, form: Form, all: DrawnAttention): Promise<void> {
  const { learned } = map.parts as Parts;
  const state =
    form.start === 0
      ? undefined
      : (await stream(oracle, cutInputs(all, 0, form.start), map, [form.start], { chunk: 2 })).state;
  const lossWeight = normal('loss', [batch, form.end - form.start, heads, valueDim]);
  const own = cutInputs(all, form.start, form.end);
  const build = (inputs: Traced) => {
    const loss = g.sum(g.multiply(form.attend(map)(inputs), inputs.lossWeight));
    const { query, key, value, parts } = inputs;
    const of = parts.learned === undefined ? {} : { learned: g.gradient(loss, parts.learned) };
    return { loss, inputs: g.gradient(loss, { query, key, value }), ...of };
  };
  const arrays = { ...own, parts: map.parts, lossWeight, ...(state === undefined ? {} : { state }) };
  const run = async (engine: typeof oracle) => (await runOnce(engine, build as never, arrays)) as unknown as Gradients;
  const [found, onNative] = [await run(oracle), await run(native)];

  const { keyMass } = mapAttentionOracle(all, { isCausal: form.isCausal, map: map.oracle });
  const lossOf = (changed: MapCase, inputs: DrawnAttention) => plainLoss(changed, form, inputs, lossWeight, keyMass);
  expect(Math.abs(lossOf(map, all) - Number(found.loss.data[0]))).toBeLessThan(1e-9);

  const step = 1e-5;
  /** Compares all elements, those of earlier tokens left out. float32 is off by units in gradients of that size. */
  const compare = (
    name: string,
    at: number,
    got: HostTensor,
    gotNative: HostTensor,
    lossAt: (by: number) => number,
  ) => {
    const numeric = (lossAt(step) - lossAt(-step)) / (2 * step);
    const size = 1 + Math.abs(numeric);
    expect(Math.abs(Number(got.data[at]) - numeric) / size, `${name}[${at}]`).toBeLessThan(1e-6);
    expect(Math.abs(Number(gotNative.data[at]) - Number(got.data[at])) / size, `${name}[${at}]`).toBeLessThan(1e-4);
  };
  for (const name of ['query', 'key', 'value'] as const) {
    const skipped = form.start * heads * (name === 'value' ? valueDim : dim);
    found.inputs[name].data.forEach((_: unknown, at: number) => {
      const lossAt = (by: number) => lossOf(map, { ...all, [name]: moved(all[name], skipped + at, by) });
      compare(name, at, found.inputs[name], onNative.inputs[name], lossAt);
    });
  }
  if (learned === undefined) return;
  expect(form.start === 0 || state !== undefined).toBe(true);
  for (const name of ['query', 'key'] as const) {
    // A state is what other weights have read: only the rows of its own tokens depend on these.
    if (form.start > 0) continue;
    found.learned![name].data.forEach((_: unknown, at: number) => {
      const lossAt = (by: number) => {
        const changed = learnedRows({ ...learned, [name]: moved(learned[name], at, by) });
        return lossOf({ ...map, oracle: changed }, all);
      };
      compare(`weight of the ${name}`, at, found.learned![name], onNative.learned![name], lossAt);
    });
  }
}

const mapCases = mapChoices.map((choice, turn) => ({ label: labelOf(choice), choice, turn }));

describe.each(mapCases)('$label features', ({ choice, turn }) => {
  const map = mapCase(choice, dim, heads, 6);

  it.each(some(forms, turn, 2))('have the gradients of finite differences: $name', (form) =>
    check(map, form, drawn(map, form)),
  );
});

describe('guarded denominators', () => {
  /** Keys in pairs that nearly cancel under odd features; one that is left over is short. */
  function cancelling({ key, ...rest }: DrawnAttention): DrawnAttention {
    const row = heads * dim;
    const count = key.shape[1]!;
    const data = key.data.map((value, at) => {
      const position = Math.floor(at / row);
      if (position % 2 === 1) return -0.99 * key.data[at - row]!;
      return position === count - 1 ? value / 1000 : value;
    });
    const { keyMask: _, ...others } = rest;
    return { ...others, key: { ...key, data } };
  }

  const odd = (['identity', 'tanh'] as const).map((name) => mapCase({ name }, dim, heads, 6));

  for (const map of odd) {
    it.each(forms.slice(0, 3))(`are constants to the gradient: ${map.name}, $name`, async (form) => {
      const all = cancelling(drawn(map, form));
      const options = { isCausal: form.isCausal, map: map.oracle };
      const plain = mapAttentionOracle(all, { ...options, map: { ...map.oracle, isSigned: false } }).output;
      const { output } = mapAttentionOracle(all, options);
      const isGuarded = output.data.map((value, at) => Number(value !== plain.data[at]));
      expect(isGuarded.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(2 * heads * valueDim); // two rows at least
      await check(map, form, all);
    });
  }
});
