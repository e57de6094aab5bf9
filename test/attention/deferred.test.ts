/** Tokens beside a state: which of them may stand there, and that the state gets them whole. */
import { describe, expect, it } from 'vitest';
import type { AnyHostTensor } from '../../src/base/index.js';
import { distance, engines } from '../support/attention-conformance.js';
import { type DrawnAttention, drawAttention, float32Tolerance, projectionOf } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { positiveMap } from '../support/attention-run.js';
import { streamDeferred } from '../support/deferred-run.js';

const [length, dim] = [24, 16];
const projection = projectionOf(32, dim);
const steady = drawAttention({ batch: 2, heads: 2, length, dim, std: 1 });

/** Inputs whose keys are six times as long up to position 13: its features lie far above all before. */
function withShorterKeys(): DrawnAttention {
  const row = 2 * dim; // heads·dim
  const data = steady.key.data.map((x, at) => (Math.floor(at / row) % length < 13 ? x * 6 : x));
  return { ...steady, key: { ...steady.key, data } };
}

describe.each(engines)('beside a state stand, on $name', ({ engine, isFloat64 }) => {
  it.each([
    ['all but the first, before which there are no scales', steady, 1, 1],
    ['none whose features lie far above all before', withShorterKeys(), 2, 13],
  ] as const)('%s', async (_, inputs, least, most) => {
    const got = await streamDeferred(engine, inputs, positiveMap(projection), 5);
    const expected = attentionOracle(inputs, { isCausal: true, projection });
    expect(distance(got.output, expected)).toBeLessThan(isFloat64 ? 1e-9 : float32Tolerance(inputs, projection));
    expect(got.refused).toBeGreaterThanOrEqual(least);
    expect(got.refused).toBeLessThanOrEqual(most);
  });

  it('one token at a time or all at once', async () => {
    const outputs: AnyHostTensor[] = [];
    for (const window of [1, length]) {
      const { output } = await streamDeferred(engine, steady, positiveMap(projection), window);
      outputs.push(output);
    }
    const tolerance = isFloat64 ? 1e-9 : 2 * float32Tolerance(steady, projection);
    expect(distance(outputs[0]!, outputs[1]!)).toBeLessThan(tolerance);
  });
});
