/** Attention to the keys of a cluster, alone and with FAVOR+ for all others, against its definition in float64. */
import { describe, expect, it } from 'vitest';
import { type AttentionInputs, routingAttention, routingHybridAttention } from '../../src/attention/index.js';
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { routingOracle } from '../support/routing-oracle.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const engines = [
  { name: 'the oracle', engine: oracle, tolerance: 1e-9 },
  { name: 'ONNX Runtime', engine: native, tolerance: 1e-4 },
];
const [batch, length, heads, dim, features, clusters] = [2, 150, 2, 6, 10, 5];
const projection = projectionOf(features, dim);
const centroids = normal('centroids', [heads, clusters, dim]);
/** The second text has hidden keys, and padding. */
const someHidden = maskOf(batch, length, (item, position) => item === 0 || (position % 7 !== 3 && position < 120));
const unmasked = drawAttention({ batch, heads, length, dim, std: 1 });
const masked = { ...unmasked, keyMask: someHidden };
const cases = [false, true].flatMap((isCausal) =>
  [1, 5, 20, 400].flatMap((window) =>
    [unmasked, masked].map((inputs) => ({ isCausal, window, inputs, mask: inputs === masked ? 'hidden' : 'shown' })),
  ),
);

type Tokens = AttentionInputs & { readonly projection: g.Tensor; readonly centroids: g.Tensor };

async function outputOf(engine: typeof oracle, build: (given: Tokens) => g.Tensor, inputs: object) {
  const run = (given: Tokens) => ({ output: build(given) });
  const given = { ...inputs, projection, centroids };
  return ((await runOnce(engine, run as never, given)) as unknown as { output: HostTensor }).output;
}

/** Without the outputs of hidden tokens, which mean nothing. */
function shown(x: AnyHostTensor, inputs: object): AnyHostTensor {
  if (inputs !== masked) return x;
  const size = heads * dim;
  const data = Float64Array.from(x.data as Float32Array, (value, at) =>
    someHidden.data[Math.floor(at / size)] === 0 ? 0 : value,
  );
  return { dtype: 'float64', shape: x.shape, data };
}

describe.each(cases)('window $window, causal: $isCausal, keys $mask', ({ isCausal, window, inputs }) => {
  it.each(engines)('sees its cluster alone on $name', async ({ engine, tolerance }) => {
    const expected = routingOracle(inputs, { isCausal, window, centroids });
    const build = ({ centroids: own, projection: _, ...given }: Tokens) =>
      routingAttention(given, { centroids: own, window, isCausal }).output;
    expect(largestError(shown(await outputOf(engine, build, inputs), inputs), shown(expected, inputs))).toBeLessThan(tolerance);
  });

  it.each(engines)('has FAVOR+ beyond its cluster under one denominator on $name', async ({ engine, tolerance }) => {
    const expected = routingOracle(inputs, { isCausal, window, centroids, projection });
    const build = ({ centroids: own, projection: rows, ...given }: Tokens) =>
      routingHybridAttention(given, positiveFeatures(rows), { centroids: own, window, isCausal, chunk: 16 }).output;
    expect(largestError(shown(await outputOf(engine, build, inputs), inputs), shown(expected, inputs))).toBeLessThan(tolerance);
  });
});
