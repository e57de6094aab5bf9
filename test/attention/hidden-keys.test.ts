/** What a mask hides counts for nothing, whatever it holds: in outputs and in gradients, on both engines. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  attentionMap,
  bidirectionalAttention,
  causalAttention,
  type DeferredState,
  deferredAttention,
  exactAttention,
  exactAttentionMap,
  kernelAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import { type HostTensor, zeros } from '../../src/base/index.js';
import { type FeatureMap, positiveFeatures, rowMoments, trigonometricFeatures } from '../../src/features/index.js';
import { gradient, multiply, sum, type Tensor } from '../../src/graph/index.js';
import { polynomialKernel, softmaxKernel } from '../../src/kernels/index.js';
import { engines } from '../support/attention-conformance.js';
import { type DrawnAttention, drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { attentionForms, caseLength, cutInputs, runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { mapCase } from '../support/tested-maps.js';

const [batch, heads, dim] = [2, 2, 8];
/** Padding on the left, a key in the middle, padding on the right; the second item has no key at all. */
const isVisible = (item: number, position: number) =>
  item === 0 && position > 1 && position !== 9 && position < caseLength - 2;

type Fill = (at: number) => number;
const worst = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38];
const fills: Readonly<Record<string, Fill>> = {
  'NaN, infinities and the largest numbers': (at) => worst[at % worst.length]!,
  'the largest numbers': () => 3e38,
};

/** The inputs with something else in the hidden rows of some of them. */
function filled(
  inputs: DrawnAttention,
  mask: HostTensor<'bool'>,
  names: readonly string[],
  fill: Fill,
): DrawnAttention {
  const change = (tensor: HostTensor) => {
    const block = tensor.data.length / mask.data.length;
    const data = tensor.data.map((value, at) => (mask.data[Math.floor(at / block)] ? value : fill(at)));
    return { ...tensor, data };
  };
  return Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]) => [name, names.includes(name) ? change(tensor) : tensor]),
  ) as unknown as DrawnAttention;
}

function drawn(std: number, length = caseLength, queries = length): DrawnAttention {
  return {
    ...drawAttention({ batch, heads, length, queries, dim, std }),
    keyMask: maskOf(batch, length, isVisible),
  };
}

const names = ['positive', 'trigonometric', 'relu', 'hedgehog'] as const;

describe.each(attentionForms)('$name', (form) => {
  const maps = form.isExact ? names.slice(0, 1) : names;
  const cases = maps.flatMap((name) => engines.map(({ name: engineName, engine }) => ({ name, engineName, engine })));

  it.each(cases)(
    'with $name features is the same whatever hidden keys hold, on $engineName',
    async ({ name, engine }) => {
      const map = mapCase({ name }, dim, heads, 12);
      const inputs = drawn(1, caseLength, form.isCross ? 9 : caseLength);
      const plain = filled(inputs, inputs.keyMask!, ['key', 'value'], () => 0);
      const expected = await form.run(engine, plain, map);
      for (const [label, fill] of Object.entries(fills)) {
        const got = await form.run(engine, filled(inputs, inputs.keyMask!, ['key', 'value'], fill), map);
        expect(got.data, label).toEqual(expected.data);
        if (form.isCross) continue;
        const all = await form.run(engine, filled(inputs, inputs.keyMask!, ['query', 'key', 'value'], fill), map);
        const block = expected.data.length / inputs.keyMask!.data.length;
        const isSame = Array.from(all.data as Float32Array, (value, at) =>
          inputs.keyMask!.data[Math.floor(at / block)] ? value === expected.data[at] : Number.isFinite(value),
        );
        expect(isSame.indexOf(false), `queries too, ${label}`).toBe(-1);
      }
    },
  );
});

interface Arguments extends AttentionInputs {
  readonly projection: Tensor;
  readonly lossWeight: Tensor;
  readonly state: DeferredState;
}

type Attend = (inputs: AttentionInputs, map: FeatureMap, state: DeferredState) => Tensor;
const wholeForms: Readonly<Record<string, Attend>> = {
  'causal attention': (inputs, map) => causalAttention(inputs, map, { chunk: 4 }).output,
  'bidirectional attention': bidirectionalAttention,
  'exact causal attention': (inputs) => exactAttention(inputs, { isCausal: true }).output,
  'exact attention': (inputs) => exactAttention(inputs, { isCausal: false }).output,
  'attention by a softmax kernel': (inputs) => kernelAttention(inputs, softmaxKernel(), { isCausal: true }),
  'attention by a polynomial kernel': (inputs) =>
    kernelAttention(inputs, polynomialKernel({ degree: 2 }), { isCausal: true }),
};
const tokenForms: Readonly<Record<string, Attend>> = {
  'recurrent attention': (inputs, map, state) => recurrentAttention(inputs, map, state).output,
  'deferred attention': (inputs, map, state) => deferredAttention(inputs, map, state).output,
};
const gradientForms = [
  ...Object.entries(wholeForms).map(([name, attend]) => ({ form: name, attend, start: 0, end: caseLength })),
  // At position 2 the first item is visible and the second hidden.
  ...Object.entries(tokenForms).map(([name, attend]) => ({ form: name, attend, start: 2, end: 3 })),
];

/** A state that has read something, and a recent token that has no weight. */
function stateOf(features: number) {
  const sum = normal('state', [batch, heads, features, dim + 1]);
  return {
    sum: { ...sum, data: sum.data.map((value) => Math.abs(value) + 0.1) },
    logScale: zeros('float32', [batch, heads, features]),
    recent: {
      weight: zeros('float32', [batch, heads, 1, features]),
      value: zeros('float32', [batch, heads, 1, dim + 1]),
    },
  };
}

describe.each(gradientForms)('the gradients of $form', ({ attend, start, end }) => {
  const settings = [
    { features: 'positive', map: positiveFeatures, std: 1 },
    { features: 'positive', map: positiveFeatures, std: 8 },
    { features: 'trigonometric', map: trigonometricFeatures, std: 1 },
  ].flatMap((setting) => engines.map(({ name, engine }) => ({ ...setting, name, engine })));

  it.each(settings)(
    'with $features features at std $std are those with zeros in hidden rows, on $name',
    async ({ std, map, engine }) => {
      const inputs = cutInputs(drawn(std), start, end);
      const isShown = inputs.keyMask!.data;
      const weight = normal('loss', [batch, end - start, heads, dim]);
      const block = heads * dim;
      const lossWeight = { ...weight, data: weight.data.map((x, at) => (isShown[Math.floor(at / block)] ? x : 0)) };
      const state = stateOf(map === positiveFeatures ? 12 : 2 * 12 + 1);
      const build = ({ projection, lossWeight: factor, state: before, ...tokens }: Arguments) => {
        const { query, key, value } = tokens;
        const loss = sum(multiply(attend(tokens, map(projection), before), factor));
        return gradient(loss, { query, key, value });
      };
      const run = async (fill: Fill) => {
        const given = filled(inputs, inputs.keyMask!, ['query', 'key', 'value'], fill);
        const parts = { projection: projectionOf(12, dim), lossWeight, state };
        return (await runOnce(engine, build as never, { ...given, ...parts })) as unknown as Record<string, HostTensor>;
      };
      const expected = await run(() => 0);
      for (const [label, fill] of Object.entries(fills)) {
        const got = await run(fill);
        for (const name of ['query', 'key', 'value']) {
          expect(got[name]!.data, `${name}, ${label}`).toEqual(expected[name]!.data);
        }
      }
      const ofValues = Array.from(expected.value!.data as Float32Array);
      expect(
        ofValues.every((value, at) => Number.isFinite(value) && (value === 0 || isShown[Math.floor(at / block)] === 1)),
      ).toBe(true);
      expect(ofValues.some((value) => value !== 0)).toBe(true);
    },
  );
});

describe('beside attention', () => {
  const inputs = drawn(1);
  const { query, key, keyMask } = filled(inputs, inputs.keyMask!, ['key'], () => Number.NaN);
  const zeroed = filled(inputs, inputs.keyMask!, ['key'], () => 0);

  it.each(engines)('its map and moments of rows leave hidden keys out, on $name', async ({ engine }) => {
    const build = ({ projection, ...tokens }: Omit<Arguments, 'value' | 'state' | 'lossWeight'>) => ({
      estimated: attentionMap(tokens, positiveFeatures(projection), { isCausal: true }),
      exact: exactAttentionMap(tokens, { isCausal: false }),
      moments: rowMoments(tokens.key, tokens.keyMask),
    });
    const run = (rows: HostTensor) =>
      runOnce(engine, build as never, { query, key: rows, keyMask, projection: projectionOf(12, dim) } as object);
    expect(await run(key)).toEqual(await run(zeroed.key));
  });
});
