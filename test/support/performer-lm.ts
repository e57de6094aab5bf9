/**
 * The twin of performer-pytorch's PerformerLM (1.1.4) in float64: plain loops, in the order in which the original's code
 * computes, for one text without padding. Goldens of the original hold it (test/pretrained/performer-pytorch.test.ts).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AnyHostTensor } from '../../src/base/index.js';
import { decodeSafetensors } from '../../src/interop/index.js';

type Rows = readonly (readonly number[])[];
export type Tensors = ReadonlyMap<string, AnyHostTensor>;

/** The arguments of the constructor that the twin knows. */
export interface PerformerArguments {
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
  readonly dim_head: number;
  readonly causal?: boolean;
  readonly ff_glu?: boolean;
  readonly generalized_attention?: boolean;
  readonly use_rezero?: boolean;
  readonly tie_embed?: boolean;
  readonly rotary_position_emb?: boolean;
}

/** A folder's arguments and tensors. */
export function performerFolder(folder: string): { config: PerformerArguments; tensors: Map<string, AnyHostTensor> } {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as PerformerArguments;
  return {
    config,
    tensors: new Map(decodeSafetensors(folder, readFileSync(join(folder, 'model.safetensors'))).tensors),
  };
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const dot = (a: readonly number[], b: readonly number[]) => sum(a.map((value, at) => value * b[at]!));
const plus = (a: Rows, b: Rows): Rows => a.map((row, at) => row.map((value, index) => value + b[at]![index]!));

/** The error function by its series, which is right to 1e-12 for arguments of these tests. */
function errorFunction(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, total] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}
const gelu = (x: number) => 0.5 * x * (1 + errorFunction(x / Math.SQRT2));

/** [sin | cos] of a position, as FixedPositionalEmbedding has it. */
function waves(position: number, dim: number): number[] {
  const angles = Array.from({ length: dim / 2 }, (_, pair) => position * 10_000 ** ((-2 * pair) / dim));
  return [...angles.map(Math.sin), ...angles.map(Math.cos)];
}

/** Neighbouring channels turn. */
function turn(row: readonly number[], position: number): number[] {
  const [angles, half] = [waves(position, row.length), row.length / 2];
  return row.map((value, at) => {
    const [sine, cosine] = [angles[at >> 1]!, angles[half + (at >> 1)]!];
    return value * cosine + (at % 2 === 0 ? -row[at + 1]! : row[at - 1]!) * sine;
  });
}

/** The features of the queries or keys of a head. */
function features(rows: Rows, projection: Rows, { generalized_attention: isRelu = false }, isQuery: boolean): Rows {
  const dim = rows[0]!.length;
  const dash = rows.map((row) => projection.map((omega) => dim ** -0.25 * dot(row, omega)));
  if (isRelu) return dash.map((row) => row.map((value) => Math.max(value, 0) + 1e-3));
  const largest = Math.max(...dash.flat());
  return dash.map((row, at) => {
    const offset = dot(rows[at]!, rows[at]!) / (2 * Math.sqrt(dim)) + (isQuery ? Math.max(...row) : largest);
    return row.map((value) => projection.length ** -0.5 * (Math.exp(value - offset) + 1e-4));
  });
}

/** The outputs of a head. */
function attend(query: Rows, key: Rows, value: Rows, causal: boolean): Rows {
  return query.map((row, at) => {
    const seen = causal ? key.slice(0, at + 1) : key;
    const weights = seen.map((other) => dot(row, other));
    const total = sum(weights) + (causal ? 1e-6 * sum(row) : 0);
    return value[0]!.map((_, channel) => sum(weights.map((weight, from) => weight * value[from]![channel]!)) / total);
  });
}

/** Logits [length][vocabulary] of a text. */
export function performerLogits(config: PerformerArguments, tensors: Tensors, tokens: readonly number[]): Rows {
  const { dim, depth, heads, dim_head: headDim, causal = false, rotary_position_emb: isTurning = true } = config;
  const values = (name: string) => Array.from(tensors.get(name)!.data as Float32Array);
  const matrix = (name: string): Rows => {
    const [data, width] = [values(name), tensors.get(name)!.shape.at(-1)!];
    return Array.from({ length: data.length / width }, (_, row) => data.slice(row * width, (row + 1) * width));
  };
  const linear = (name: string, rows: Rows): Rows => {
    const weight = matrix(`${name}.weight`);
    const bias = tensors.has(`${name}.bias`) ? values(`${name}.bias`) : weight.map(() => 0);
    return rows.map((row) => weight.map((own, at) => dot(row, own) + bias[at]!));
  };
  const normalized = (name: string, rows: Rows): Rows => {
    const [weight, bias] = [values(`${name}.weight`), values(`${name}.bias`)];
    return rows.map((row) => {
      const mean = sum(row) / dim;
      const deviation = Math.sqrt(sum(row.map((value) => (value - mean) ** 2)) / dim + 1e-5);
      return row.map((value, at) => ((value - mean) / deviation) * weight[at]! + bias[at]!);
    });
  };
  const attention = (name: string, rows: Rows): Rows => {
    const [query, key, value] = ['q', 'k', 'v'].map((part) => linear(`${name}.to_${part}`, rows)) as [Rows, Rows, Rows];
    const projection = matrix(`${name}.fast_attention.projection_matrix`);
    const outputs = Array.from({ length: heads }, (_, head) => {
      const own = (all: Rows) => all.map((row) => row.slice(head * headDim, (head + 1) * headDim));
      const turned = (all: Rows) => (isTurning ? own(all).map(turn) : own(all));
      const [q, k] = [
        features(turned(query), projection, config, true),
        features(turned(key), projection, config, false),
      ];
      return attend(q, k, own(value), causal);
    });
    return linear(
      `${name}.to_out`,
      rows.map((_, at) => outputs.flatMap((head) => head[at]!)),
    );
  };
  const feedForward = (name: string, rows: Rows): Rows => {
    const wide = linear(`${name}.w1`, rows);
    const active = wide.map((row) => {
      const half = row.length / 2;
      return config.ff_glu ? row.slice(0, half).map((x, at) => gelu(x) * row[half + at]!) : row.map(gelu);
    });
    return linear(`${name}.w2`, active);
  };
  const added = (name: string, rows: Rows, branch: (rows: Rows) => Rows): Rows => {
    if (!config.use_rezero) return plus(rows, branch(normalized(`${name}.norm`, rows)));
    const [gain] = values(`${name}.g`) as [number];
    return plus(
      rows,
      branch(rows).map((row) => row.map((value) => gain * value)),
    );
  };
  const embedding = matrix('token_emb.weight');
  const positions = isTurning ? tokens.map((_, at) => waves(at, dim)) : matrix('pos_emb.emb.weight');
  let x: Rows = plus(
    tokens.map((token) => embedding[token]!),
    positions,
  );
  for (let layer = 0; layer < depth; layer++) {
    const name = `performer.net.layers.${layer}`;
    x = added(`${name}.0`, x, (rows) => attention(`${name}.0.fn`, rows));
    x = added(`${name}.1`, x, (rows) => feedForward(`${name}.1.fn.fn`, rows));
  }
  const hidden = normalized('norm', x);
  return config.tie_embed ? hidden.map((row) => embedding.map((own) => dot(row, own))) : linear('to_out', hidden);
}
