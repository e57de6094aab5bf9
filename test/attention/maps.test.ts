/**
 * Every feature map in every form of attention on every engine, against its definition in plain float64 loops.
 *
 * One batch holds queries and keys of standard deviation .5, 1, 4 and 8. Tolerances follow, row by row, from how far
 * float32 may carry each feature (`map-oracle.ts`).
 */
import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type DrawnAttention, drawAttention, maskOf } from '../support/attention-inputs.js';
import { type AttentionForm, attentionForms, caseLength } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { float32Precision, float64Precision, mapAttentionOracle, type Precision } from '../support/map-oracle.js';
import { some } from '../support/product.js';
import { labelOf, type MapCase, mapCase, mapChoices } from '../support/tested-maps.js';

const engines: readonly { readonly name: string; readonly engine: Engine; readonly precision: Precision }[] = [
  { name: 'the oracle', engine: referenceEngine(), precision: float64Precision },
  { name: 'ONNX Runtime', engine: nodeEngine({ threads: 1 }), precision: float32Precision },
];

const stds = [0.5, 1, 4, 8] as const;
const headsOf = (dim: number) => (dim === 256 ? 1 : 2);
const valueDim = 3;

/** The forms that a map can be run in, and the dims that each is run with. */
const formNames: Readonly<Record<string, readonly number[]>> = {
  bidirectional: [8, 64, 256],
  cross: [8],
  'causal, chunks of 7': [8, 64, 256],
  'causal with a carried state, any length, pieces ending at 3,4,13,21, chunks of 4': [8],
  'recurrent, token by token': [8],
  'deferred, token by token, the state written for every four': [8],
  'prefill in chunks, then recurrent, then chunks again': [8],
};
const forms = Object.keys(formNames).map((name) => {
  const form = attentionForms.find((each) => each.name === name);
  if (form === undefined) throw new Error(`no form is called ${name}`);
  return form;
});

/** Queries and keys whose size grows from item to item, keys hidden here and there, and positions where they are used. */
function inputsOf({ usesPosition }: MapCase, { isCross = false }: AttentionForm, dim: number): DrawnAttention {
  const batch = stds.length;
  const queries = isCross ? 9 : caseLength;
  const heads = headsOf(dim);
  const drawn = drawAttention({ batch, heads, length: caseLength, queries, dim, std: 1 });
  const grown = (x: HostTensor) => {
    const block = x.data.length / batch;
    return { ...x, data: x.data.map((value, at) => value * stds[Math.floor(at / block)]!) };
  };
  const isVisible = (item: number, position: number) => dim === 64 || (position * 5 + item) % 4 !== 0;
  const positions = (length: number): HostTensor<'int32'> => ({
    dtype: 'int32',
    shape: [batch, length],
    data: Int32Array.from({ length: batch * length }, (_, at) => (at % length) + 3 * Math.floor(at / length)),
  });
  return {
    query: grown(drawn.query),
    key: grown(drawn.key),
    value: normal('value', [batch, caseLength, heads, valueDim]),
    keyMask: maskOf(batch, caseLength, isVisible),
    ...(usesPosition ? { queryPosition: positions(queries), keyPosition: positions(caseLength) } : {}),
  };
}

/** Taylor features of dim 64 would be 2,145. */
const dimFor = (name: string, dim: number) => (name === 'taylor' ? Math.min(dim, 16) : dim);

const mapCases = mapChoices.map((choice, turn) => ({ label: labelOf(choice), choice, turn }));

describe.each(mapCases)('$label features', ({ choice, turn }) => {
  for (const form of forms) {
    const dims = some(formNames[form.name]!, turn);
    for (const dim of dims.map((wanted) => dimFor(choice.name, wanted))) {
      const map = mapCase(choice, dim, headsOf(dim), 24);
      const inputs = inputsOf(map, form, dim);
      it.each(engines)(`dim ${dim}, ${form.name}, on $name`, async ({ engine, precision }) => {
        const { output, tolerance } = mapAttentionOracle(inputs, {
          isCausal: form.isCausal,
          map: map.oracle,
          precision,
        });
        const got = await form.run(engine, inputs, map);
        expect(got.shape).toEqual(output.shape);
        const perItem = output.data.length / stds.length;
        expect(Array.from(got.data as Float32Array).every(Number.isFinite)).toBe(true);
        const worst: Record<number, number> = {};
        output.data.forEach((value, at) => {
          const std = stds[Math.floor(at / perItem)]!;
          const excess = Math.abs(Number(got.data[at]) - value) / (tolerance[at]! + 1e-300);
          worst[std] = Math.max(worst[std] ?? 0, excess);
        });
        for (const std of stds) expect(worst[std], `std ${std}`).toBeLessThan(1);
      });
    }
  }
});
