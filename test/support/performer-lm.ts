/**
 * The twin of performer-pytorch's PerformerLM (1.1.4) in float64: plain loops, in the order in which the original's code
 * computes, for one text without padding. Goldens of the original hold it (test/pretrained/performer-pytorch.test.ts).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AnyHostTensor } from '../../src/base/index.js';
import { decodeSafetensors } from '../../src/interop/index.js';
import { dot, gelu, layersOf, plus, type Rows, sum, type Tensors } from './twin.js';

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
  readonly no_projection?: boolean;
  readonly reversible?: boolean;
  /** Rows and columns of axial positions. */
  readonly axial_position_shape?: readonly [number, number];
  /** What is added to each sum of the features of keys in a causal order; 1e-6 in the original. */
  readonly addition?: number;
}

/** A folder's arguments and tensors. */
export function performerFolder(folder: string): { config: PerformerArguments; tensors: Map<string, AnyHostTensor> } {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as PerformerArguments;
  return {
    config,
    tensors: new Map(decodeSafetensors(folder, readFileSync(join(folder, 'model.safetensors'))).tensors),
  };
}

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
function features(rows: Rows, projection: Rows, config: PerformerArguments, isQuery: boolean): Rows {
  const { generalized_attention: isRelu = false, no_projection: isDirect = false } = config;
  const dim = rows[0]!.length;
  if (isDirect) {
    const exponentials = rows.map((row) => row.map(Math.exp));
    return isQuery ? exponentials.map((row) => row.map((value) => value / sum(row))) : exponentials;
  }
  const dash = rows.map((row) => projection.map((omega) => dim ** -0.25 * dot(row, omega)));
  if (isRelu) return dash.map((row) => row.map((value) => Math.max(value, 0) + 1e-3));
  const largest = Math.max(...dash.flat());
  return dash.map((row, at) => {
    const offset = dot(rows[at]!, rows[at]!) / (2 * Math.sqrt(dim)) + (isQuery ? Math.max(...row) : largest);
    return row.map((value) => projection.length ** -0.5 * (Math.exp(value - offset) + 1e-4));
  });
}

/** The outputs of a head. */
function attend(query: Rows, key: Rows, value: Rows, { causal = false, addition = 1e-6 }: PerformerArguments): Rows {
  return query.map((row, at) => {
    const seen = causal ? key.slice(0, at + 1) : key;
    const weights = seen.map((other) => dot(row, other));
    const total = sum(weights) + (causal ? addition * sum(row) : 0);
    return value[0]!.map((_, channel) => sum(weights.map((weight, from) => weight * value[from]![channel]!)) / total);
  });
}

/** Logits [length][vocabulary] of a text. */
export function performerLogits(config: PerformerArguments, tensors: Tensors, tokens: readonly number[]): Rows {
  const { dim, depth, heads, dim_head: headDim, rotary_position_emb: isTurning = true } = config;
  const { values, matrix, linear, normalized } = layersOf(tensors);
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
      return attend(q, k, own(value), config);
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
  const around = (name: string, rows: Rows, branch: (rows: Rows) => Rows): Rows => {
    if (!config.use_rezero) return branch(normalized(`${name}.norm`, rows, 1e-5));
    const [gain] = values(`${name}.g`) as [number];
    return branch(rows).map((row) => row.map((value) => gain * value));
  };
  const attended = (name: string, rows: Rows) => around(name, rows, (own) => attention(`${name}.fn`, own));
  const fed = (name: string, rows: Rows) => around(name, rows, (own) => feedForward(`${name}.fn.fn`, own));
  const embedding = matrix('token_emb.weight');
  const positions = tokens.map((_, at) => {
    if (isTurning) return waves(at, dim);
    if (config.axial_position_shape === undefined) return matrix('pos_emb.emb.weight')[at]!;
    const [, columns] = config.axial_position_shape;
    const [row, column] = [
      matrix('pos_emb.weights.0')[Math.floor(at / columns)]!,
      matrix('pos_emb.weights.1')[at % columns]!,
    ];
    return row.map((value, channel) => value + column[channel]!);
  });
  let x: Rows = plus(
    tokens.map((token) => embedding[token]!),
    positions,
  );
  let other = x; // the second stream of reversible layers
  for (let layer = 0; layer < depth; layer++) {
    const [name, block] = [`performer.net.layers.${layer}`, `performer.net.blocks.${layer}`];
    if (config.reversible) {
      x = plus(x, attended(`${block}.f.net`, other));
      other = plus(other, fed(`${block}.g.net`, x));
    } else {
      x = plus(x, attended(`${name}.0`, x));
      x = plus(x, fed(`${name}.1`, x));
    }
  }
  const hidden = normalized('norm', config.reversible ? plus(x, other) : x, 1e-5);
  return config.tie_embed ? hidden.map((row) => embedding.map((own) => dot(row, own))) : linear('to_out', hidden);
}
