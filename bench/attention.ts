/** Attention alone, forward, from what linear layers give to what they take: FAVOR+ against exact attention. */
import {
  attentionExactUpTo,
  bidirectionalAttention,
  causalAttention,
  centroidLayout,
  clusteredAttention,
  exactAttention,
  hybridAttention,
  type RoutingOptions,
  routingAttention,
  routingHybridAttention,
} from '../src/attention/index.js';
import { float32 } from '../src/base/index.js';
import type { Engine } from '../src/engine/index.js';
import { drawProjection, type FeatureMap, positiveFeatures } from '../src/features/index.js';
import { reshape, slice, spec, sum, type Tensor } from '../src/graph/index.js';
import { fusedAttention } from './fused-attention.js';
import { inTurns } from './measure.js';
import { engine as ownEngine, random, referenceProduct } from './model.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, type Row, spreadOf } from './report.js';

export const attentionSizes = { heads: 8, dim: 64, features: 256 } as const;
const { heads, dim, features } = attentionSizes;

export type AttentionForm =
  | 'favor'
  | 'fused'
  | 'exact'
  | 'hybrid'
  | 'exact up to 512'
  | 'clustered'
  | 'clustered, 32 top keys'
  | 'routing'
  | 'routing-hybrid';

/** The window of the hybrid, and of a cluster of keys. */
export const window = 128;
const keyClusters = 16;

/** The same arrays for whoever computes: queries, keys and values [1, length, heads·dim] and a projection. */
export function attentionInputs(length: number) {
  const draw = (name: string) => float32([1, length, heads * dim], random.split(name).normals(length * heads * dim));
  return {
    tokens: { query: draw('query'), key: draw('key'), value: draw('value') },
    projection: drawProjection(random.split('projection'), features, dim),
  };
}

interface PreparedOptions {
  readonly engine?: Engine;
  /** A scalar output unless given, so that no copy of an output is timed. */
  readonly returns?: 'sum' | 'output';
}

/** Compiled attention of [1, length, heads·dim]. */
export async function prepared(
  form: AttentionForm,
  length: number,
  isCausal: boolean,
  { engine = ownEngine, returns = 'sum' }: PreparedOptions = {},
) {
  const { tokens, projection } = attentionInputs(length);
  const type = spec('float32', [1, length, heads * dim]);
  const executable = await engine.compile(
    (inputs, { projection: rows }, { centroids }) => {
      const output = form.startsWith('clustered')
        ? clusteredOutput(inputs, rows, form === 'clustered' ? 0 : 32)
        : form.startsWith('routing')
          ? routingOutput(form, split(inputs), positiveFeatures(rows), { centroids, window, isCausal })
          : outputOf(form, inputs, positiveFeatures(rows), isCausal);
      return returns === 'sum' ? sum(output) : output;
    },
    [
      { query: type, key: type, value: type },
      { projection: spec('float32', [features, dim]) },
      { centroids: centroidLayout(heads, keyClusters, dim).draw(random.split('centroids')) },
    ],
  );
  return { run: () => executable.run([tokens, { projection }, {}] as never), dispose: () => executable.dispose() };
}

interface Tokens {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
}

/** Queries, keys and values by their heads. */
function split({ query, key, value }: Tokens): Tokens {
  const byHead = (x: Tensor) => reshape(x, [1, x.dim(1), heads, dim]);
  return { query: byHead(query), key: byHead(key), value: byHead(value) };
}

/** By the default options of the mixer, with the first rows of a projection for planes. */
function clusteredOutput(tokens: Tokens, rows: Tensor, topK: number): Tensor {
  return clusteredAttention(split(tokens), { clusters: 64, iterations: 5, topK, planes: slice(rows, 0, 0, 32) });
}

function routingOutput(form: AttentionForm, tokens: Tokens, map: FeatureMap, options: RoutingOptions): Tensor {
  if (form === 'routing') return routingAttention(tokens, options).output;
  return routingHybridAttention(tokens, map, { ...options, state: undefined }).output;
}

function outputOf(form: AttentionForm, given: Tokens, map: FeatureMap, isCausal: boolean): Tensor {
  if (form === 'fused') return fusedAttention(given.query, given.key, given.value, { heads, isCausal });
  const tokens = split(given);
  if (form === 'exact') return exactAttention(tokens, { isCausal }).output;
  if (form === 'hybrid') return hybridAttention(tokens, map, { window, isCausal }).output;
  if (form === 'exact up to 512') return attentionExactUpTo(512, tokens, map);
  return isCausal ? causalAttention(tokens, map).output : bidirectionalAttention(tokens, map);
}

/** Floating-point operations of bidirectional attention: the features of queries and keys, and the two products. */
function operations(length: number): number {
  return heads * (2 * 2 * length * features * dim + 2 * 2 * length * features * (dim + 1));
}

const rounds = (length: number) => (length > 8192 ? { warmup: 1, rounds: 3 } : { warmup: 3, rounds: 11 });

async function againstFused(length: number, isCausal: boolean, bound?: Bound): Promise<Row> {
  const favor = await prepared('favor', length, isCausal);
  const fused = await prepared('fused', length, isCausal);
  const times = await inTurns({ favor: favor.run, fused: fused.run }, rounds(length));
  await favor.dispose();
  await fused.dispose();
  return comparison(
    {
      what: `length ${length.toLocaleString('en-US')}`,
      ours: times.favor.median,
      theirs: times.fused.median,
      spread: spreadOf(times.favor, times.fused),
      unit: 'ms',
      opponent: 'fused exact over FAVOR+',
      ratio: 'theirs/ours',
    },
    bound,
  );
}

export const bidirectional: Benchmark = {
  name: 'bidirectional',
  title: `bidirectional attention alone, ${heads} heads × ${dim}, ${features} features, forward, against ONNX Runtime's fused exact attention`,
  async run({ isQuick }: BenchmarkOptions) {
    if (isQuick) return [await againstFused(256, false)];
    const rows: Row[] = [];
    for (const [length, atLeast] of [
      [512, undefined],
      [768, 1],
      [1024, 1.4],
      [2048, 2.3],
      [4096, 4.5],
      [16384, 15],
    ] as const) {
      rows.push(await againstFused(length, false, atLeast === undefined ? undefined : { atLeast }));
    }
    const length = 4096;
    const favor = await prepared('favor', length, false);
    const product = await referenceProduct();
    const times = await inTurns({ favor: favor.run, product: product.run }, { warmup: 2, rounds: 11 });
    await favor.dispose();
    rows.push(
      comparison(
        {
          what: 'rate of arithmetic at length 4,096',
          ours: operations(length) / times.favor.median / 1e6,
          theirs: product.operations / times.product.median / 1e6,
          spread: spreadOf(times.favor, times.product),
          unit: 'GFLOP/s',
          opponent: 'chained 2048² products',
          ratio: 'ours/theirs',
        },
        { atLeast: 0.6, kind: 'stretch' },
      ),
    );
    return rows;
  },
};

export const causal: Benchmark = {
  name: 'causal',
  title: `causal attention alone, ${heads} heads × ${dim}, ${features} features, forward, against fused exact attention and our bidirectional form`,
  async run({ isQuick }: BenchmarkOptions) {
    if (isQuick) return [await againstFused(256, true)];
    const rows: Row[] = [];
    for (const [length, atLeast] of [
      [512, undefined],
      [1024, 1],
      [2048, undefined],
      [4096, undefined],
      [8192, undefined],
    ] as const) {
      rows.push(await againstFused(length, true, atLeast === undefined ? undefined : { atLeast }));
    }
    for (const length of [1024, 4096]) {
      const own = await prepared('favor', length, true);
      const other = await prepared('favor', length, false);
      const times = await inTurns({ own: own.run, other: other.run }, rounds(length));
      await own.dispose();
      await other.dispose();
      rows.push(
        comparison(
          {
            what: `causal over bidirectional, length ${length.toLocaleString('en-US')}`,
            ours: times.own.median,
            theirs: times.other.median,
            spread: spreadOf(times.own, times.other),
            unit: 'ms',
            opponent: 'our bidirectional form',
            ratio: 'ours/theirs',
          },
          { atMost: 1.8 },
        ),
      );
    }
    return rows;
  },
};
