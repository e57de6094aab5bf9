/** Attention that is exact up to a length and FAVOR+ beyond it, whether the length is known before or when it runs. */
import { describe, expect, it } from 'vitest';
import { type AttentionInputs, attentionExactUpTo } from '../../src/attention/index.js';
import { type HostTensor, symbol } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { runOnce, streamSpecs } from '../support/attention-run.js';
import { largestError } from '../support/compare.js';

const engines = [
  { name: 'the oracle', engine: referenceEngine(), tolerance: 1e-9 },
  { name: 'ONNX Runtime', engine: nodeEngine({ threads: 1 }), tolerance: 1e-4 },
];
const [batch, heads, dim] = [2, 2, 6];
const projection = projectionOf(10, dim);
const longest = 20;
type Tokens = AttentionInputs;
type Fixed = { readonly projection: g.Tensor };
const build = ({ projection: rows }: Fixed, tokens: Tokens) => {
  const { query, key, value } = tokens;
  const output = attentionExactUpTo(longest, tokens, positiveFeatures(rows));
  return { output, ...g.gradient(g.sum(g.multiply(output, output)), { query, key, value }) };
};
type Result = Record<'output' | 'query' | 'key' | 'value', HostTensor>;

/** The second text ends early, or has no key at all. */
const masks = {
  none: undefined,
  padding: (item: number, position: number) => item === 0 || position < 7,
  'an empty row': (item: number) => item === 0,
};

function drawn(length: number, mask: keyof typeof masks) {
  const inputs = drawAttention({ batch, heads, length, dim, std: 1 });
  const rule = masks[mask];
  return rule === undefined ? inputs : { ...inputs, keyMask: maskOf(batch, length, rule) };
}

describe.each(Object.keys(masks) as (keyof typeof masks)[])(
  'attention that is exact up to 20 keys, padding: %s',
  (mask) => {
    it.each(engines)(
      'is exact at 20 keys and FAVOR+ at 21, with the same gradients either way, on $name',
      async (on) => {
        const free = [
          { projection: g.spec('float32', [10, dim]) },
          streamSpecs(drawn(5, mask), symbol('length')),
        ] as const;
        const whenRun = await on.engine.compile(build as never, free as never);
        for (const length of [5, 20, 21, 300]) {
          const inputs = drawn(length, mask);
          const exact = attentionOracle(inputs, { isCausal: false });
          const estimated = attentionOracle(inputs, { isCausal: false, projection });
          // Padding counts for nothing: the second text may be short where the first one is long.
          const isShort = (item: number) => length <= longest || (item === 1 && mask === 'padding');
          const size = exact.data.length / batch;
          const data = exact.data.map((x, at) => (isShort(Math.floor(at / size)) ? x : estimated.data[at]!));
          const expected = { ...exact, data };
          const late = (await whenRun.run([{ projection }, inputs] as never)) as unknown as Result;
          const whole = ({ tokens, ...fixed }: Fixed & { readonly tokens: Tokens }) => build(fixed, tokens);
          const early = (await runOnce(on.engine, whole as never, { projection, tokens: inputs })) as unknown as Result;
          expect(largestError(late.output, expected)).toBeLessThan(on.tolerance);
          for (const name of ['output', 'query', 'key', 'value'] as const) {
            expect(largestError(early[name], late[name]), name).toBeLessThan(on.tolerance);
          }
        }
        await whenRun.dispose();
      },
    );
  },
);
