/**
 * The conformance suite: every form of attention, on every engine, against the definition in float64.
 *
 * Tolerances, absolute, on values of size 1: 1e-9 on the float64 oracle; on float32 what `float32Tolerance` derives from
 * the size of the exponents, which is some 1e-5 at std ≤ 1, 1e-4 at std 4 and 4e-4 at std 8.
 */
import { describe, expect, it } from 'vitest';
import type { AnyHostTensor } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  type DrawnAttention,
  decayOf,
  drawAttention,
  float32Tolerance,
  maskOf,
  projectionOf,
} from './attention-inputs.js';
import { attentionOracle } from './attention-oracle.js';
import { type AttentionForm, attentionForms, caseLength, positiveMap } from './attention-run.js';
import { some } from './product.js';

export const engines: readonly { readonly name: string; readonly engine: Engine; readonly isFloat64: boolean }[] = [
  { name: 'the oracle', engine: referenceEngine(), isFloat64: true },
  { name: 'ONNX Runtime', engine: nodeEngine({ threads: 1 }), isFloat64: false },
];

export interface AttentionCase {
  readonly name: string;
  readonly dim: number;
  readonly features: number;
  readonly std: number;
  readonly batch: number;
  readonly heads: number;
  readonly isVisible?: (item: number, position: number) => boolean;
  /** What a token multiplies all before it by. */
  readonly factor?: (item: number, position: number, head: number) => number;
}

export const masks: Readonly<Record<string, NonNullable<AttentionCase['isVisible']>>> = {
  'ragged padding on the right': (item, position) => position < caseLength - 3 * item,
  'padding on the left': (item, position) => position >= 6 * item - 1,
  'one row without any key': (item) => item !== 1,
  'keys hidden here and there': (item, position) => (position * 7 + item) % 3 !== 0,
};

/** The largest |got − expected|, infinite for anything that is not a number. */
export function distance(got: AnyHostTensor, expected: AnyHostTensor): number {
  expect(got.shape).toEqual(expected.shape);
  return Array.from(expected.data as Float64Array).reduce((worst, value, at) => {
    const error = Math.abs(Number(got.data[at]) - value);
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
  }, 0);
}

function inputsOf(
  { name: _, isVisible, factor, features, ...sizes }: AttentionCase,
  { isCross = false }: AttentionForm,
): DrawnAttention {
  const drawn = drawAttention({ ...sizes, length: caseLength, ...(isCross ? { queries: 9 } : {}) });
  return {
    ...drawn,
    ...(isVisible && { keyMask: maskOf(sizes.batch, caseLength, isVisible) }),
    ...(factor && { logDecay: decayOf({ ...sizes, length: caseLength }, factor) }),
  };
}

/** Declares the tests of all forms, unless others are given, and engines for the cases, or for some with each form (`product.ts`). */
export function describeConformance(cases: readonly AttentionCase[], forms = attentionForms): void {
  describe.each(forms.map((form, turn) => ({ ...form, turn })))('$name', ({ turn, ...form }) => {
    for (const each of some(cases, turn)) {
      const inputs = inputsOf(each, form);
      const projection = projectionOf(each.features, each.dim);
      const used = form.isExact ? undefined : projection;
      it.each(engines)(`${each.name}: is what the definition says on $name`, async ({ engine, isFloat64 }) => {
        const expected = attentionOracle(inputs, {
          isCausal: form.isCausal,
          ...(used === undefined ? {} : { projection: used }),
        });
        const got = await form.run(engine, inputs, positiveMap(projection));
        const error = distance(got, expected);
        expect(error).toBeLessThan(isFloat64 ? 1e-9 : float32Tolerance(inputs, used));
      });
    }
  });
}
