/**
 * A token through the recurrent form of FAVOR+, with and without ONNX Runtime's own op LinearAttention in the place of what updates
 * the sums and reads them.
 */
import {
  type AttentionInputs,
  type AttentionState,
  emptyLogScale,
  recurrentAttention,
} from '../src/attention/index.js';
import { float32, type HostTensor, Random, zeros } from '../src/base/index.js';
import { drawProjection, positiveFeatures } from '../src/features/index.js';
import {
  add,
  applyMany,
  broadcastTo,
  concatenate,
  divide,
  exp,
  maximum,
  type Op,
  reshape,
  scalar,
  slice,
  softmax,
  spec,
  specsOf,
  subtract,
  type Tensor,
  transpose,
} from '../src/graph/index.js';
import { presets } from '../src/models/index.js';
import { inTurns } from './measure.js';
import { engine } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, spreadOf } from './report.js';

const { depth, heads, headDim: dim, attention } = presets.small.model;
const { featureCount } = attention.features;
const rows = heads * featureCount;

/**
 * S ← e^decay S + kᵀ[v, 1]; qᵀS, for each head: query and key [batch, length, heads·features], value [batch, length,
 * heads·(dim + 1)], the state [batch, heads, features, dim + 1], and the decay of each feature [batch, length, heads·features].
 */
const linearAttentionOp: Op = {
  name: 'linearAttention',
  infer: ([, , value, state]) => [
    { dtype: 'float32', shape: value!.shape },
    { dtype: 'float32', shape: state!.shape },
  ],
  evaluate: () => {
    throw new Error('linearAttention runs in ONNX Runtime alone.');
  },
  differentiate: () => [],
  lower: (emitter, inputs) => {
    const attributes = { q_num_heads: heads, kv_num_heads: heads, scale: { float: 1 }, update_rule: 'gated' };
    return emitter.emitMany('LinearAttention', inputs, attributes, { domain: 'com.microsoft', outputCount: 2 });
  },
};

type Attend = typeof recurrentAttention;

/** In log space as `recurrentAttention` has it: where the scale of a feature grows, all that was read before decays. */
const withOwnOp: Attend = ({ query, key, value }, map, state) => {
  const toHeads = (x: Tensor) => transpose(x, [0, 2, 1, 3]);
  const flat = (x: Tensor) => reshape(x, [1, 1, rows]);
  const before = flat(state.logScale);
  const fresh = flat(map.key(toHeads(key)).logFeatures!);
  const top = maximum(before, fresh);
  const asked = add(map.query(toHeads(query)).logValues!, reshape(top, [1, heads, 1, featureCount]));
  const ones = broadcastTo(scalar(1), [1, 1, heads, 1]);
  const values = reshape(concatenate([value, ones], -1), [1, 1, heads * (dim + 1)]);
  const decay = subtract(before, top);
  const inputs = [flat(softmax(asked)), exp(subtract(fresh, top)), values, state.sum, decay];
  const [sums, sum] = applyMany(linearAttentionOp, inputs, {}) as readonly [Tensor, Tensor];
  const terms = reshape(sums, [1, 1, heads, dim + 1]);
  const output = divide(slice(terms, -1, 0, dim), slice(terms, -1, dim));
  return { output, state: { sum, logScale: reshape(top, state.logScale.shape) } };
};

/** As many layers as the preset has, one after another: a token, and the states before and after it. */
async function stepWith(attend: Attend) {
  const state = {
    sum: zeros('float32', [1, heads, featureCount, dim + 1]),
    logScale: float32([1, heads, featureCount], new Float32Array(rows).fill(emptyLogScale)),
  };
  const states = Array.from({ length: depth }, () => state);
  const projection = drawProjection(Random.fromSeed(1), featureCount, dim);
  const build = (given: { projection: Tensor; states: readonly AttentionState[] }, token: AttentionInputs) => {
    const map = positiveFeatures(given.projection);
    let { query } = token;
    const next = given.states.map((each) => {
      const { output, state: after } = attend({ ...token, query }, map, each);
      query = output;
      return after;
    });
    return { output: query, states: next };
  };
  const type = spec('float32', [1, 1, heads, dim]);
  const fixed = specsOf({ projection, states });
  const executable = await engine.compile(build as never, [fixed, { query: type, key: type, value: type }] as never);
  const random = Random.fromSeed(2);
  const drawn = () => float32([1, 1, heads, dim], random.normals(heads * dim));
  const token = { query: drawn(), key: drawn(), value: drawn() };
  let known: object = states;
  return async () => {
    const result = (await executable.run([{ projection, states: known }, token] as never)) as never as {
      readonly output: HostTensor;
      readonly states: object;
    };
    known = result.states;
    return result.output;
  };
}

export const linearAttention: Benchmark = {
  name: 'linear-attention',
  title: "a token through the recurrent form, sizes of the preset small, against ONNX Runtime's own op LinearAttention",
  async run({ isQuick }: BenchmarkOptions) {
    const [ours, theirs] = [await stepWith(recurrentAttention), await stepWith(withOwnOp)];
    const [expected, got] = [await ours(), await theirs()];
    const error = expected.data.reduce((worst, x, at) => Math.max(worst, Math.abs(x - got.data[at]!)), 0);
    if (!(error < 1e-4)) throw new Error(`LinearAttention: outputs differ by ${error}.`);
    const tokens = isQuick ? 1 : 50;
    const many = (step: () => Promise<unknown>) => async () => {
      for (let at = 0; at < tokens; at++) await step();
    };
    const times = await inTurns({ ours: many(ours), theirs: many(theirs) }, { warmup: 2, rounds: isQuick ? 1 : 15 });
    return [
      comparison({
        what: `a token, ${depth} layers of ${heads} heads, ${featureCount} features`,
        ...{ ours: times.ours.median / tokens, theirs: times.theirs.median / tokens, unit: 'ms' },
        ...{ spread: spreadOf(times.ours, times.theirs), opponent: 'LinearAttention', ratio: 'theirs/ours' },
      }),
    ];
  },
};
