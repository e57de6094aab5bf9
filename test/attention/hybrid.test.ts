/** An exact window, alone and with FAVOR+ beyond it under one denominator, against their definitions in float64. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  addRecentHybrid,
  deferredHybrid,
  type HybridState,
  hybridAttention,
  type RecentHybrid,
  recurrentHybrid,
  windowAttention,
} from '../../src/attention/index.js';
import { emptyLogScale } from '../../src/attention/state.js';
import { type AnyHostTensor, type HostTensor, mapTree, zeros } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import {
  cutLength,
  type DrawnAttention,
  decayOf,
  drawAttention,
  joinLength,
  maskOf,
  projectionOf,
} from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { cutInputs, runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';
import { some } from '../support/product.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const engines = [
  { name: 'the oracle', engine: oracle, tolerance: 1e-9 },
  { name: 'ONNX Runtime', engine: native, tolerance: 1e-4 },
];
const [batch, length, heads, dim, features] = [2, 150, 2, 6, 10];
const projection = projectionOf(features, dim);
/** The second text has hidden keys, one of them with a hole behind it, and padding. */
const someHidden = maskOf(batch, length, (item, position) => item === 0 || (position % 7 !== 3 && position < 120));
const unmasked = drawAttention({ batch, heads, length, dim, std: 1 });
const masked = { ...unmasked, keyMask: someHidden };
const forgotten = {
  ...unmasked,
  logDecay: decayOf({ batch, length, heads }, (item, at, head) => 0.9 + 0.01 * ((at * 3 + head + item) % 10)),
};
const cases = [false, true].flatMap((isCausal) =>
  [1, 5, 20, 70, 400].flatMap((window, turn) =>
    some([unmasked, masked], turn + Number(isCausal)).map((inputs) => ({
      isCausal,
      window,
      inputs,
      mask: inputs === masked ? 'hidden' : 'shown',
    })),
  ),
);

/** One text of a batch, and two texts as one. */
function takeText(inputs: object, row: number): Record<string, AnyHostTensor> {
  return mapTree<object, AnyHostTensor, AnyHostTensor>(inputs, ({ shape, data, ...rest }) => {
    const size = data.length / shape[0]!;
    return { ...rest, shape: [1, ...shape.slice(1)], data: data.slice(row * size, (row + 1) * size) } as AnyHostTensor;
  }) as Record<string, AnyHostTensor>;
}
function joinTexts(first: Record<string, AnyHostTensor>, second: Record<string, AnyHostTensor>) {
  return mapTree<object, AnyHostTensor, AnyHostTensor>(first, (x, name) => {
    const data = (x.data.constructor as typeof Float32Array).from([...values(x), ...values(second[name]!)]);
    return { ...x, shape: [2, ...x.shape.slice(1)], data } as AnyHostTensor;
  }) as Record<string, AnyHostTensor>;
}
/** Writes rows [batch, heads, 1, ·] into their place of rows [batch, heads, rows, ·]. */
function put(rows: object, row: object, place: number): void {
  mapTree<object, HostTensor<'float64'>, object>(rows, ({ shape, data }, name) => {
    const [, , count, size] = shape as [number, number, number, number];
    values((row as Record<string, HostTensor>)[name]!).forEach((value, at) => {
      data[(Math.floor(at / size) * count + place) * size + (at % size)] = value;
    });
    return {};
  });
}
const distance = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((x, at) => Math.abs(x - b[at]!)));

type Tokens = AttentionInputs & { readonly projection: g.Tensor };

async function outputOf(engine: typeof oracle, build: (given: Tokens) => g.Tensor, inputs: object) {
  const run = (given: Tokens) => ({ output: build(given) });
  return ((await runOnce(engine, run as never, { ...inputs, projection })) as unknown as { output: HostTensor }).output;
}

describe.each(cases)('window $window, causal: $isCausal, keys $mask', ({ isCausal, window, inputs }) => {
  it.each(engines)('sees its window alone on $name', async ({ engine, tolerance }) => {
    const expected = attentionOracle(inputs, { isCausal, window });
    const got = await outputOf(engine, (given) => windowAttention(given, { window, isCausal }).output, inputs);
    expect(largestError(got, expected)).toBeLessThan(tolerance);
  });

  it.each(engines)('has FAVOR+ beyond its window under one denominator on $name', async ({ engine, tolerance }) => {
    const expected = attentionOracle(inputs, { isCausal, window, projection, isInBlocks: !isCausal });
    const build = ({ projection: rows, ...given }: Tokens) =>
      hybridAttention(given, positiveFeatures(rows), { window, isCausal, chunk: 16 }).output;
    const got = await outputOf(engine, build, inputs);
    // Behind its last real token a causal text is padding.
    const real = (x: AnyHostTensor) => (isCausal && inputs === masked ? cutLength(x, 0, 120) : x);
    expect(largestError(real(got), real(expected))).toBeLessThan(tolerance);
  });
});

describe('far keys whose features lie far below those of another key that counts for less', () => {
  const around = (x: AnyHostTensor, place: (position: number) => readonly number[]) => {
    const data = Float32Array.from(values(x), (value, at) => {
      const position = Math.floor(at / (heads * dim)) % length;
      return 0.05 * value + dim ** 0.25 * place(position)[at % dim]!;
    });
    return { ...x, data } as HostTensor;
  };
  const [asked, low, high] = [
    [-60, 0, 0, 0, 0, 0],
    [5, 17, 0, 0, 0, 0],
    [5.4, 0, 0, 0, 0, 0],
  ];
  const inputs = {
    query: around(unmasked.query, () => asked),
    key: around(unmasked.key, (position) => (position === 75 ? high : low)),
    value: unmasked.value,
  };
  /** One row estimates e^{q·k} of these queries and keys nearly as it is: (q + k)/2. */
  const aimed = { ...projection, data: projection.data.slice() } as HostTensor;
  asked.forEach((x, at) => {
    aimed.data[at] = (x + low[at]!) / 2;
  });
  const build = ({ projection: rows, ...given }: Tokens) =>
    hybridAttention(given, positiveFeatures(rows), { window: 20, isCausal: false, chunk: 16 }).output;

  it('keep their weights', async () => {
    const expected = attentionOracle(inputs, { isCausal: false, window: 20, projection: aimed, isInBlocks: true });
    for (const { engine } of engines) {
      const run = (given: Tokens) => ({ output: build(given) });
      const { output } = (await runOnce(engine, run as never, { ...inputs, projection: aimed })) as never as {
        output: HostTensor;
      };
      expect(largestError(output, expected)).toBeLessThan(0.01);
    }
  });

  it('keep their gradients', async () => {
    const weight = normal('loss', [batch, length, heads, dim]);
    const gradients = ({ weight: loss, ...given }: Tokens & { readonly weight: g.Tensor }) => {
      const { projection: _, ...learned } = given;
      return g.gradient(g.sum(g.multiply(build(given), loss)), learned);
    };
    const given = { ...inputs, projection: aimed, weight };
    const [expected, got] = [
      (await runOnce(oracle, gradients as never, given)) as unknown as Record<string, HostTensor>,
      (await runOnce(native, gradients as never, given)) as unknown as Record<string, HostTensor>,
    ];
    for (const name of ['query', 'key', 'value']) {
      const size = Math.max(...values(expected[name]!).map(Math.abs));
      expect(largestError(got[name]!, expected[name]!) / size, name).toBeLessThan(0.02);
    }
  });
});

describe.each([1, 5, 70])('window %i, beyond which keys decay', (window) => {
  it.each(engines)('lets them decay from where they leave it on $name', async ({ engine, tolerance }) => {
    const expected = attentionOracle(forgotten, { isCausal: true, window, projection });
    const build = ({ projection: rows, ...given }: Tokens) =>
      hybridAttention(given, positiveFeatures(rows), { window, isCausal: true, chunk: 16 }).output;
    expect(largestError(await outputOf(engine, build, forgotten), expected)).toBeLessThan(tolerance);
  });
});

describe('gradients of the hybrid', () => {
  const weight = normal('loss', [batch, length, heads, dim]);
  const build =
    (isCausal: boolean, window: number) =>
    ({ projection: rows, weight: loss, ...given }: Tokens & { readonly weight: g.Tensor }) => {
      const { keyMask: _, ...learned } = given;
      const { output } = hybridAttention(given, positiveFeatures(rows), { window, isCausal, chunk: 16 });
      return g.gradient(g.sum(g.multiply(output, loss)), learned);
    };
  /** What far keys keep, [batch, heads, queries, keys]: e^{L_i − L_{j+window}} with L the decays so far. */
  function decayed(logDecay: g.Tensor | undefined, window: number): g.Tensor {
    if (logDecay === undefined) return g.scalar(1);
    const soFar = g.transpose(g.cumulativeSum(logDecay, 1), [0, 2, 1]);
    const late = g.pad(g.slice(soFar, 2, window), 2, 0, window);
    const [rows, columns] = [
      [batch, heads, length, 1],
      [batch, heads, 1, length],
    ];
    return g.exp(g.subtract(g.reshape(soFar, rows!), g.reshape(late, columns!)));
  }
  /** The same sums from scores of all pairs, whose gradient is that of plain operations. */
  const dense =
    (isCausal: boolean, window: number) =>
    ({ projection: rows, weight: loss, ...given }: Tokens & { readonly weight: g.Tensor }) => {
      const { keyMask, ...learned } = given;
      const { query, key, value, logDecay } = learned;
      const map = positiveFeatures(rows);
      const byHead = (x: g.Tensor) => g.transpose(x, [0, 2, 1, 3]);
      const places = g.cast(g.range(length), 'float32');
      const behind = g.subtract(g.reshape(places, [length, 1]), places); // [queries, keys]
      const blocks = g.floor(g.divide(places, window));
      const apart = isCausal ? behind : g.subtract(g.reshape(blocks, [length, 1]), blocks);
      const isNear = g.less(g.abs(apart), g.scalar(isCausal ? window : 2));
      const inOrder = isCausal ? g.lessOrEqual(g.scalar(0), behind) : g.less(g.scalar(-length), behind);
      const seen = keyMask === undefined ? inOrder : g.and(inOrder, g.reshape(keyMask, [batch, 1, 1, length]));
      const exact = g.exp(g.matmul(byHead(query), byHead(key), { transposeRight: true, scale: dim ** -0.5 }));
      const features = (x: g.Tensor, kind: 'query' | 'key') => {
        const { values: own, logScale } = map[kind](byHead(x));
        return g.multiply(own, g.exp(logScale!));
      };
      const estimate = g.matmul(features(query, 'query'), features(key, 'key'), { transposeRight: true });
      const weights = g.where(
        seen,
        g.where(isNear, exact, g.multiply(estimate, decayed(logDecay, window))),
        g.scalar(0),
      );
      const output = g.divide(g.matmul(weights, byHead(value)), g.sum(weights, -1, true));
      return g.gradient(g.sum(g.multiply(byHead(output), loss)), learned);
    };
  const visible = maskOf(batch, length, (item, position) => item === 0 || position % 7 !== 3);
  it.each([
    [true, 70],
    [false, 5],
    [false, 20],
    [false, 70],
  ])('are those of the sums over all pairs (causal: %s, window %i)', async (isCausal, window) => {
    for (const inputs of [unmasked, { ...unmasked, keyMask: visible }, ...(isCausal ? [forgotten] : [])]) {
      const given = { ...inputs, projection, weight };
      const expected = (await runOnce(oracle, dense(isCausal, window) as never, given)) as unknown as Record<
        string,
        HostTensor
      >;
      for (const { engine, tolerance } of engines) {
        const got = (await runOnce(engine, build(isCausal, window) as never, given)) as unknown as Record<
          string,
          HostTensor
        >;
        for (const name of Object.keys(expected)) {
          expect(largestError(got[name]!, expected[name]!), name).toBeLessThan(tolerance);
        }
      }
    }
  });
});

describe('the hybrid read on from a state', () => {
  const window = 9;
  const state: HybridState<HostTensor> = {
    near: {
      key: zeros('float32', [batch, heads, window, dim]),
      value: zeros('float32', [batch, heads, window, dim]),
      isReal: zeros('float32', [batch, 1, window, 1]),
    },
    far: {
      sum: zeros('float32', [batch, heads, features, dim + 1]),
      logScale: mapTree(zeros('float32', [batch, heads, features]), (x) => x) as HostTensor,
    },
  };
  state.far.logScale.data.fill(emptyLogScale);
  const both = engines.flatMap((on) => [
    { ...on, inputs: unmasked, keys: 'stay' },
    { ...on, inputs: forgotten, keys: 'decay' },
  ]);
  type Given = { readonly state: HybridState; readonly tokens: AttentionInputs; readonly projection: g.Tensor };
  type Read = { readonly output: HostTensor; readonly state: HybridState<HostTensor> };

  async function readOn(engine: typeof oracle, inputs: DrawnAttention, ends: readonly number[]) {
    const pieces: AnyHostTensor[] = [];
    let before = state;
    let at = 0;
    for (const end of ends) {
      const given = { state: before, tokens: cutInputs(inputs, at, end), projection };
      const build = ({ state: own, tokens, projection: rows }: Given) =>
        end - at === 1
          ? recurrentHybrid(tokens, positiveFeatures(rows), own)
          : (hybridAttention(tokens, positiveFeatures(rows), {
              window,
              isCausal: true,
              chunk: 4,
              state: own,
            }) as never);
      const read = (await runOnce(engine, build as never, given)) as unknown as Read;
      pieces.push(read.output);
      before = read.state;
      at = end;
    }
    return { output: joinLength(pieces), state: before };
  }

  it.each(both)(
    'gives what it gives at once, in pieces and in single tokens, on $name, keys that $keys',
    async (on) => {
      const expected = attentionOracle(cutInputs(on.inputs, 0, 40), { isCausal: true, window, projection });
      const got = await readOn(on.engine, on.inputs, [3, 4, 20, 21, 22, 23, 40]);
      expect(largestError(got.output, expected)).toBeLessThan(on.tolerance);
    },
  );

  it.each(both)(
    'gives the same beside a state, where a row of the batch may be idle, on $name, keys that $keys',
    async (on) => {
      const { inputs } = on;
      const { output: whole } = await readOn(oracle, inputs, [40]);
      const read = await readOn(on.engine, inputs, [20]);
      const rows = 6;
      const empty = (x: HostTensor) => zeros('float64', [x.shape[0]!, x.shape[1]!, rows, x.shape[3]!]);
      const recent = {
        near: mapTree<object, HostTensor, object>(read.state.near, empty) as RecentHybrid<
          HostTensor<'float64'>
        >['near'],
        far: {
          weight: zeros('float64', [batch, heads, rows, features]),
          value: zeros('float64', [batch, heads, rows, dim + 1]),
          ...(inputs === forgotten && { logDecay: zeros('float64', [batch, heads, rows, 1]) }),
        },
      };
      const build = ({ recent: own, ...given }: Given & { readonly recent: RecentHybrid }) =>
        deferredHybrid(given.tokens, positiveFeatures(given.projection), given.state, own);
      // The second text waits at two of the tokens.
      const places = [0, 1, 2, 3].map((at) => [20 + at, at < 1 ? 20 : 21] as const);
      const isIdle = (at: number) => at === 1 || at === 2;
      for (const [at, [first, second]] of places.entries()) {
        const own = (row: number, place: number) => takeText(cutInputs(inputs, place, place + 1), row);
        const tokens = {
          ...joinTexts(own(0, first), own(1, second)),
          keyMask: { dtype: 'bool', shape: [2, 1], data: Uint8Array.of(1, isIdle(at) ? 0 : 1) } as const,
        };
        const given = { state: read.state, tokens, projection, recent };
        const result = (await runOnce(on.engine, build as never, given)) as unknown as {
          output: HostTensor;
          state: RecentHybrid<HostTensor>;
        };
        put(recent.near, result.state.near, at);
        put(recent.far, result.state.far, at);
        const expected = (row: number, place: number) =>
          values(takeText({ x: cutLength(whole, place, place + 1) }, row).x!);
        const got = values(result.output);
        const size = heads * dim;
        expect(distance(got.slice(0, size), expected(0, first))).toBeLessThan(on.tolerance);
        if (!isIdle(at)) expect(distance(got.slice(size), expected(1, second))).toBeLessThan(on.tolerance);
      }
      // Settled, the state reads on as it would have.
      const settle = ({ state: own, recent: last }: { state: HybridState; recent: RecentHybrid }) =>
        addRecentHybrid(own, last);
      const settled = await runOnce(on.engine, settle as never, { state: read.state, recent });
      const tokens = joinTexts(takeText(cutInputs(inputs, 24, 30), 0), takeText(cutInputs(inputs, 22, 28), 1));
      const next = ({ state: own, tokens: given, projection: drawn }: Given) => ({
        output: hybridAttention(given, positiveFeatures(drawn), { window, isCausal: true, chunk: 4, state: own })
          .output,
      });
      const { output } = (await runOnce(on.engine, next as never, { state: settled, tokens, projection })) as never as {
        output: HostTensor;
      };
      const expected = joinTexts(
        takeText({ x: cutLength(whole, 24, 30) }, 0),
        takeText({ x: cutLength(whole, 22, 28) }, 1),
      );
      expect(largestError(output, expected.x!)).toBeLessThan(on.tolerance);
    },
  );
});
