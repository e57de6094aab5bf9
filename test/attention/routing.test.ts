/** Attention to the keys of a cluster, alone and with FAVOR+ for all others, against its definition in float64. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  addRecent,
  addToClusters,
  bidirectionalAttention,
  causalAttention,
  deferredRoutingHybrid,
  exactAttention,
  measureCentroids,
  type RecentRoutingHybrid,
  type RoutingHybridState,
  recurrentRoutingHybrid,
  routingAttention,
  routingHybridAttention,
} from '../../src/attention/index.js';
import {
  type AnyHostTensor,
  float32,
  type HostTensor,
  hostTensor,
  leavesOf,
  symbol,
  zeros,
  zipTrees,
} from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures, trigonometricFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import {
  cutLength,
  drawAttention,
  float32Tolerance,
  joinLength,
  maskOf,
  projectionOf,
} from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { cutInputs, runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';
import { routingOracle } from '../support/routing-oracle.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const engines = [
  { name: 'the oracle', engine: oracle, tolerance: 1e-9 },
  { name: 'ONNX Runtime', engine: native, tolerance: 1e-4 },
];
const [batch, length, heads, dim, features, clusters] = [2, 90, 2, 6, 10, 5];
const projection = projectionOf(features, dim);
const centroids = normal('centroids', [heads, clusters, dim]);
/** The second text has hidden keys, and padding. */
const someHidden = maskOf(batch, length, (item, position) => item === 0 || (position % 7 !== 3 && position < 70));
const unmasked = drawAttention({ batch, heads, length, dim, std: 1 });
const masked = { ...unmasked, keyMask: someHidden };
const cases = [false, true].flatMap((isCausal) =>
  [1, 5, 100].flatMap((window) =>
    [unmasked, masked].map((inputs) => ({ isCausal, window, inputs, mask: inputs === masked ? 'hidden' : 'shown' })),
  ),
);

type Tokens = AttentionInputs & { readonly projection: g.Tensor; readonly centroids: g.Tensor };

async function outputOf(engine: typeof oracle, build: (given: Tokens) => g.Tensor, inputs: object) {
  const run = (given: Tokens) => ({ output: build(given) });
  const given = { ...inputs, projection, centroids };
  return ((await runOnce(engine, run as never, given)) as unknown as { output: HostTensor }).output;
}

/** Rows [batch, heads, rows, size] and one more. */
function withRow({ shape, data }: AnyHostTensor, row: AnyHostTensor): AnyHostTensor {
  const [tables, rows, size] = [shape[0]! * shape[1]!, shape[2]!, shape[3]!];
  const all = Array.from({ length: tables }, (_, at) => [
    ...Array.from(data.subarray(at * rows * size, (at + 1) * rows * size), Number),
    ...Array.from(row.data.subarray(at * size, (at + 1) * size), Number),
  ]).flat();
  const isFloat64 = row.dtype === 'float64'; // as the oracle has it
  return hostTensor(row.dtype, shape.with(2, rows + 1), isFloat64 ? Float64Array.from(all) : Float32Array.from(all));
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
    expect(largestError(shown(await outputOf(engine, build, inputs), inputs), shown(expected, inputs))).toBeLessThan(
      tolerance,
    );
  });

  it.each(engines)('has FAVOR+ beyond its cluster under one denominator on $name', async ({ engine, tolerance }) => {
    const expected = routingOracle(inputs, { isCausal, window, centroids, projection });
    const build = ({ centroids: own, projection: rows, ...given }: Tokens) =>
      routingHybridAttention(given, positiveFeatures(rows), { centroids: own, window, isCausal, chunk: 16 }).output;
    expect(largestError(shown(await outputOf(engine, build, inputs), inputs), shown(expected, inputs))).toBeLessThan(
      tolerance,
    );
  });
});

describe('reading on', () => {
  const window = 4;
  type Given = { readonly tokens: Omit<Tokens, 'projection' | 'centroids'> } & Pick<
    Tokens,
    'projection' | 'centroids'
  > & {
      readonly state?: RoutingHybridState;
    };
  const whole = ({ tokens, projection: rows, centroids: own, state }: Given) =>
    routingHybridAttention(tokens, positiveFeatures(rows), { centroids: own, window, isCausal: true, chunk: 8, state });
  const token = ({ tokens, projection: rows, centroids: own, state }: Given) =>
    recurrentRoutingHybrid(tokens, positiveFeatures(rows), { centroids: own }, state!);
  const run = (engine: typeof oracle, build: (given: Given) => object, given: object) =>
    runOnce(engine, build as never, { ...given, projection, centroids }) as Promise<never> as Promise<{
      output: HostTensor;
      state: object;
    }>;

  it.each(engines)('in pieces and token by token gives what reading at once gives on $name', async (on) => {
    const { output } = await run(on.engine, whole, { tokens: unmasked });
    let state: object | undefined;
    const pieces: HostTensor[] = [];
    for (const [start, end] of [
      ...[
        [0, 31],
        [31, 32],
        [32, 33],
        [33, 40],
        [40, 71],
      ],
      ...Array.from({ length: 19 }, (_, at) => [71 + at, 72 + at]),
    ] as [number, number][]) {
      const build = end - start === 1 ? token : whole;
      const result = await run(on.engine, build, { tokens: cutInputs(unmasked, start, end), ...(state && { state }) });
      pieces.push(result.output);
      state = result.state;
    }
    expect(largestError(joinLength(pieces), output)).toBeLessThan(on.tolerance);
  });

  it.each(engines)('gives a row with padding the state that it has alone on $name', async (on) => {
    const keyMask = maskOf(batch, length, (item, position) => item === 0 || position < 37);
    const { state } = await run(on.engine, whole, { tokens: { ...unmasked, keyMask } });
    const next = cutInputs(unmasked, 40, 41);
    const idle = maskOf(batch, 1, (item) => item === 0);
    const waited = await run(on.engine, token, { tokens: { ...next, keyMask: idle }, state });
    const both = await run(on.engine, token, { tokens: next, state: waited.state });
    const short = await run(on.engine, whole, { tokens: cutInputs(unmasked, 0, 37) });
    const alone = await run(on.engine, token, { tokens: next, state: short.state });
    const second = (x: HostTensor) => values(x).slice(heads * dim);
    const difference = second(both.output).map((value, at) => Math.abs(value - second(alone.output)[at]!));
    expect(Math.max(...difference)).toBeLessThan(on.tolerance);
  });

  it.each(engines)(
    'beside the state gives the outputs of reading at once, and then the state, on $name',
    async (on) => {
      type Beside = Given & { readonly recent: RecentRoutingHybrid };
      const read = 40;
      const keyMask = maskOf(batch, length, (item, position) => item === 0 || position < read || position % 3 > 0);
      const tokens = { ...unmasked, keyMask };
      const beside = ({ tokens: own, projection: rows, centroids: means, state, recent }: Beside) =>
        deferredRoutingHybrid(own, positiveFeatures(rows), { centroids: means }, { state: state!, recent });
      const settle = ({ state, recent }: Beside) => ({
        state: {
          near: addToClusters(state!.near, recent.near),
          far: addRecent({ ...state!.far, recent: recent.far }),
        },
      });
      const { output } = await run(on.engine, whole, { tokens });
      let { state } = await run(on.engine, whole, { tokens: cutInputs(tokens, 0, read) });
      const part = (size: number) => zeros('float32', [batch, heads, 1, size]);
      const noToken = {
        near: { key: part(dim), value: part(dim), members: part(clusters) },
        far: { weight: part(features), value: part(dim + 1) },
      };
      for (const [from, to] of [
        [40, 58],
        [58, 90],
      ] as const) {
        let recent: typeof noToken = noToken;
        for (let at = from; at < to; at++) {
          const result = await run(on.engine, beside as never, {
            tokens: cutInputs(tokens, at, at + 1),
            state,
            recent,
          });
          const own = result.output;
          for (let item = 0; item < batch; item++) {
            if (keyMask.data[item * length + at] === 0) continue;
            const row = (x: AnyHostTensor, start: number) =>
              Array.from(x.data as Float32Array).slice(start, start + heads * dim);
            const expected = row(output, (item * length + at) * heads * dim);
            const errors = row(own, item * heads * dim).map((value, index) => Math.abs(value - expected[index]!));
            expect(Math.max(...errors), `token ${at} of row ${item}`).toBeLessThan(on.tolerance);
          }
          recent = zipTrees([recent, result.state as typeof noToken], ([rows, row]) =>
            withRow(rows as AnyHostTensor, row as AnyHostTensor),
          ) as typeof noToken;
        }
        ({ state } = await run(on.engine, settle as never, { state, recent }));
      }
      const last = (await run(on.engine, whole, { tokens })).state;
      const expected = new Map(leavesOf<object, HostTensor>(last));
      for (const [path, leaf] of leavesOf<object, HostTensor>(state)) {
        if (path.startsWith('near')) expect(largestError(leaf, expected.get(path)!), path).toBeLessThan(on.tolerance);
      }
    },
  );

  it.each(engines)('carries gradients through states on $name', async (on) => {
    const weight = normal('loss', [batch, length, heads, dim]);
    const both = { first: cutInputs(unmasked, 0, 50), second: cutInputs(unmasked, 50, length) };
    type Parts = Record<'first' | 'second', AttentionInputs>;
    type Loss = Pick<Tokens, 'projection' | 'centroids'> & { readonly weight: g.Tensor };
    const lossOf = (output: g.Tensor, { weight: loss }: Loss) => g.sum(g.multiply(output, loss));
    const atOnce = (given: Loss & { readonly tokens: AttentionInputs }) => {
      const { query, key, value } = given.tokens;
      return g.gradient(lossOf(whole(given).output, given), { query, key, value });
    };
    const cut = (given: Loss & { readonly tokens: Parts }) => {
      const { first, second } = given.tokens;
      const one = whole({ ...given, tokens: first });
      const two = whole({ ...given, tokens: second, state: one.state! });
      return g.gradient(lossOf(g.concatenate([one.output, two.output], 1), given), { first, second });
    };
    const expected = (await run(oracle, atOnce as never, { tokens: unmasked, weight })) as never as Record<
      string,
      HostTensor
    >;
    const got = (await run(on.engine, cut as never, { tokens: both, weight })) as never as Record<
      string,
      Record<string, HostTensor>
    >;
    for (const name of ['query', 'key', 'value'] as const) {
      const found = joinLength([got.first![name]!, got.second![name]!]);
      expect(largestError(found, expected[name]!), name).toBeLessThan(10 * on.tolerance);
    }
  });
});

describe('gradients', () => {
  const weight = normal('loss', [batch, length, heads, dim]);
  const direction = {
    query: normal('dq', [batch, length, heads, dim]),
    key: normal('dk', [batch, length, heads, dim]),
  };
  const inputs = { ...unmasked, ...direction, value: unmasked.value, query: unmasked.query, key: unmasked.key };
  type Given = Tokens & { readonly weight: g.Tensor; readonly toQuery: g.Tensor; readonly toKey: g.Tensor };

  it.each([true, false])(
    'are those of finite differences, and equal on both engines (causal: %s)',
    async (isCausal) => {
      const lossOf = ({ projection: rows, centroids: own, weight: loss, toQuery: _, toKey: __, ...given }: Given) => {
        const options = { centroids: own, window: 4, isCausal, chunk: 16 };
        return g.sum(g.multiply(routingHybridAttention(given, positiveFeatures(rows), options).output, loss));
      };
      const along = (given: Given) => {
        const { query, key } = given;
        const found = g.gradient(lossOf(given), { query, key });
        const step = (by: number) =>
          lossOf({
            ...given,
            query: g.add(query, g.multiply(given.toQuery, by)),
            key: g.add(key, g.multiply(given.toKey, by)),
          });
        const slope = g.add(g.sum(g.multiply(found.query, given.toQuery)), g.sum(g.multiply(found.key, given.toKey)));
        return { ...found, slope, difference: g.divide(g.subtract(step(1e-7), step(-1e-7)), 2e-7) };
      };
      const { query, key, value } = inputs;
      const given = {
        ...{ query, key, value, keyMask: someHidden, projection, centroids, weight },
        ...{ toQuery: direction.query, toKey: direction.key },
      };
      type Result = Record<'query' | 'key' | 'slope' | 'difference', HostTensor>;
      const slow = (await runOnce(oracle, along as never, given)) as never as Result;
      const [slope, difference] = [values(slow.slope)[0]!, values(slow.difference)[0]!];
      expect(Math.abs(slope - difference)).toBeLessThan(1e-5 * Math.abs(difference));
      const fast = (await runOnce(native, along as never, given)) as never as Result;
      for (const name of ['query', 'key'] as const)
        expect(largestError(fast[name], slow[name]), name).toBeLessThan(1e-3);
    },
  );
});

describe('a later token', () => {
  const build = ({ centroids: own, projection: rows, ...given }: Tokens) =>
    routingHybridAttention(given, positiveFeatures(rows), { centroids: own, window: 4, isCausal: true, chunk: 8 })
      .output;

  it.each(engines)('changes no earlier output on $name', async ({ engine, tolerance }) => {
    const before = await outputOf(engine, build, unmasked);
    for (const name of ['query', 'key', 'value'] as const) {
      const data = unmasked[name].data.map((x, at) => (Math.floor(at / (heads * dim)) % length >= 60 ? -9 * x : x));
      const after = await outputOf(engine, build, { ...unmasked, [name]: { ...unmasked[name], data } });
      const seen = (x: HostTensor) => cutLength(x, 0, 60);
      expect(largestError(seen(after), seen(before)), name).toBeLessThan(tolerance / 10);
      expect(largestError(after, before), name).toBeGreaterThan(0.01);
    }
  });
});

describe('with FAVOR+ for all other keys', () => {
  const sizes = { batch: 1, heads: 2, length: 200, dim: 16 };
  const drawn = projectionOf(32, 16);
  const means = normal('centroids', [2, 8, 16]);
  const attend = (isCausal: boolean) => (given: Tokens) => {
    const { centroids: own, projection: rows, ...tokens } = given;
    const map = positiveFeatures(rows);
    return {
      routed: routingHybridAttention(tokens, map, { centroids: own, window: 16, isCausal }).output,
      favor: isCausal ? causalAttention(tokens, map).output : bidirectionalAttention(tokens, map),
      exact: exactAttention(tokens, { isCausal }).output,
    };
  };

  it.each([1, 2, 4, 8])('is right for queries and keys of std %d', async (std) => {
    const inputs = drawAttention({ ...sizes, std });
    for (const isCausal of [true, false]) {
      const options = { isCausal, window: 16, centroids: means, projection: drawn };
      const given = { ...inputs, projection: drawn, centroids: means };
      const got = (await runOnce(native, attend(isCausal) as never, given)) as never as Record<string, HostTensor>;
      const expected = routingOracle(inputs, options);
      const exact = attentionOracle(inputs, { isCausal });
      // A part of 2⁻¹² of the estimate counts for nothing, and above it the rounding of exponents is that much larger.
      const tolerance = 2 ** -11 + 40 * float32Tolerance(inputs, drawn);
      expect(largestError(got.routed!, expected)).toBeLessThan(tolerance);
      const errorOf = (x: AnyHostTensor) => {
        const truth = values(exact);
        return Math.sqrt(values(x).reduce((total, value, at) => total + (value - truth[at]!) ** 2, 0));
      };
      expect(errorOf(got.routed!)).toBeLessThan(errorOf(got.favor!));
    }
  });

  it('refuses features of which no part can be taken out again', () => {
    const length16 = g.input('x', 'float32', [1, 8, 2, 16]);
    const own = g.input('centroids', 'float32', [2, 8, 16]);
    const rows = g.input('projection', 'float32', [32, 16]);
    const tokens = { query: length16, key: length16, value: length16 };
    const options = { centroids: own, window: 4, isCausal: true };
    expect(() => routingHybridAttention(tokens, trigonometricFeatures(rows), options)).toThrow(
      /expected features that are positive, got trigonometric/,
    );
    expect(() => routingHybridAttention(tokens, { ...positiveFeatures(rows), usesPosition: true }, options)).toThrow(
      /expected features without positions/,
    );
    expect(() => routingAttention(tokens, { ...options, window: 0 })).toThrow(/expected a positive integer as window/);
    expect(() => routingAttention(tokens, { ...options, centroids: rows })).toThrow(
      /expected centroids \[2, clusters, 16\]/,
    );
  });
});

describe('centroids', () => {
  it('are the means of the directions of keys, one for each heap of them, and see no hidden ones', async () => {
    const heaps = 4;
    const [rows, size] = [60, 5];
    // Keys around the axes of their head, of different lengths; every third is hidden, and points elsewhere.
    const noise = normal('noise', [1, rows, 2, size], 0.05);
    const isHidden = (position: number) => position % 3 === 2;
    const data = noise.data.map((value, at) => {
      const [position, axis] = [Math.floor(at / (2 * size)), at % size];
      if (isHidden(position)) return axis === 4 ? 5 : value;
      return (1 + (position % 5)) * (value + Number(axis === position % heaps));
    });
    const keyMask = maskOf(1, rows, (_, position) => !isHidden(position));
    const given = { key: float32([1, rows, 2, size], data), keyMask };
    const build = (own: { key: g.Tensor; keyMask: g.Tensor<'bool'> }) => ({
      found: measureCentroids(own.key, own.keyMask, heaps),
    });
    for (const { engine } of engines) {
      const { found } = (await runOnce(engine, build as never, given)) as never as { found: HostTensor };
      for (const head of [0, 1]) {
        const own = Array.from({ length: heaps }, (_, at) =>
          values(found).slice((head * heaps + at) * size, (head * heaps + at + 1) * size),
        );
        const axes = own.map((centroid) => centroid.findIndex((value) => value > 0.98));
        expect([...axes].sort()).toEqual([0, 1, 2, 3]);
        for (const centroid of own) expect(Math.hypot(...centroid)).toBeCloseTo(1, 5);
      }
    }
  });
});

describe('a length that is known when the graph runs', () => {
  it.each(engines)('needs one compilation for many lengths on $name', async ({ engine, tolerance }) => {
    const type = g.spec('float32', [batch, symbol('length'), heads, dim]);
    const fixed = { projection: g.spec('float32', projection.shape), centroids: g.spec('float32', centroids.shape) };
    const build = (parts: Pick<Tokens, 'projection' | 'centroids'>, tokens: AttentionInputs) => {
      const map = positiveFeatures(parts.projection);
      const own = { centroids: parts.centroids, window: 4, chunk: 8 };
      return {
        causal: routingHybridAttention(tokens, map, { ...own, isCausal: true }).output,
        both: routingAttention(tokens, { ...own, isCausal: false }).output,
      };
    };
    const executable = await engine.compile(build as never, [fixed, { query: type, key: type, value: type }] as never);
    for (const size of [1, 7, 40]) {
      const inputs = drawAttention({ batch, heads, length: size, dim, std: 1 });
      const found = (await executable.run([{ projection, centroids }, inputs] as never)) as never as Record<
        'causal' | 'both',
        HostTensor
      >;
      const causal = routingOracle(inputs, { isCausal: true, window: 4, centroids, projection });
      expect(largestError(found.causal, causal)).toBeLessThan(tolerance);
      expect(largestError(found.both, routingOracle(inputs, { isCausal: false, window: 4, centroids }))).toBeLessThan(
        tolerance,
      );
    }
    await executable.dispose();
  });
});
