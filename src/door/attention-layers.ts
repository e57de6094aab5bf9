/** Attention layers with weights, on typed arrays: fast attention, self-attention and cross-attention for use alone. */
import { float32 } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { drawBuffers, initialize } from '../base/layout.js';
import { Random } from '../base/random.js';
import { spec, specsOf, type Tensor } from '../graph/index.js';
import {
  crossAttentionLayer,
  type FastAttentionOptions as FastOptions,
  fastAttentionLayer,
  type AttentionLayerOptions as LayerOptions,
  type SelfAttentionOptions as SelfOptions,
  selfAttentionLayer,
} from '../mixers/index.js';
import type { Numbers } from './attention.js';
import type { AttentionOption, FeaturesOption } from './layer-options.js';
import { chosenEngine } from './model.js';
import type { EngineOption } from './options.js';
import { rowLengths } from './row-lengths.js';

/** What every layer takes. */
export interface Seeded extends EngineOption {
  /** Of the weights and the random features; 0 unless given. */
  readonly seed?: number | undefined;
}

/** Rows side by side, numbers in the order of [batch, length, dim]. */
export interface Rows {
  readonly rows: Numbers;
  /** 1 unless given. */
  readonly batch?: number | undefined;
  /** How many rows of each are real, [batch]; all unless given. */
  readonly lengths?: ArrayLike<number> | undefined;
}

/** A layer whose weights are fresh, or those that were given; `weights` may be changed and saved. */
export interface AttentionLayer {
  readonly weights: { readonly params: object; readonly buffers: object };
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** FAVOR+ on queries, keys and values, without projections. */
export interface FastAttention extends AttentionLayer {
  /** [batch, queries, heads, headDim] of queries, keys and values. Throws SHAPE for numbers that are none. */
  apply(query: Numbers, key: Numbers, value: Numbers, batch?: number): Promise<Float32Array>;
}

/** Attention of rows to each other, with its weights. */
export interface SelfAttention extends AttentionLayer {
  /** [batch, length, dim] of rows. Throws SHAPE for numbers that are none. */
  apply(given: Rows): Promise<Float32Array>;
}

/** Attention of rows to those of a source, with its weights. */
export interface CrossAttention extends AttentionLayer {
  /** [batch, length, dim] of rows that look at a source; `lengths` are those of the source. Throws SHAPE for numbers that are none. */
  apply(rows: Numbers, source: Rows): Promise<Float32Array>;
}

/** The options of `fastAttention`. */
export interface FastAttentionOptions extends Omit<FastOptions, 'features'>, Seeded {
  readonly features?: FeaturesOption | undefined;
}

/** The options of `crossAttention`. */
export interface AttentionLayerOptions extends Omit<LayerOptions, 'attention'>, Seeded {
  readonly attention?: AttentionOption | undefined;
}

/** The options of `selfAttention`. */
export interface SelfAttentionOptions extends AttentionLayerOptions, Pick<SelfOptions, 'isCausal'> {}

/** FAVOR+ on queries, keys and values, compiled once for arrays of any length. Throws CONFIG for options that do not fit. */
export async function fastAttention({ engine, seed, ...options }: FastAttentionOptions): Promise<FastAttention> {
  const layer = fastAttentionLayer(options as FastOptions);
  const { heads, headDim } = options;
  const rowsOf = (length: string) => spec('float32', [symbol('batch'), symbol(length), heads, headDim]);
  const keys = options.isCausal ? 'queries' : 'keys';
  const specs = { query: rowsOf('queries'), key: rowsOf(keys), value: rowsOf(keys) };
  const hosted = await host({ engine, seed }, layer, specs, (weights, inputs) =>
    layer.apply(weights, inputs as Record<keyof typeof specs, Tensor>),
  );
  const shaped = (name: string, numbers: Numbers, batch: number) =>
    float32([batch, lengthOf(name, numbers, batch * heads * headDim), heads, headDim], numbers);
  return {
    ...hosted,
    apply: async (query, key, value, batch = 1) =>
      hosted.run({
        query: shaped('query', query, batch),
        key: shaped('key', key, batch),
        value: shaped('value', value, batch),
      }),
  };
}

/** Attention of rows to each other, with projections and heads. Throws CONFIG for options that do not fit. */
export async function selfAttention({ engine, seed, ...options }: SelfAttentionOptions): Promise<SelfAttention> {
  const layer = selfAttentionLayer(options as SelfOptions);
  const { dim } = options;
  const specs = { x: rowSpec(dim, 'length'), lengths: spec('int32', [symbol('batch')]) };
  const hosted = await host({ engine, seed }, layer, specs, (weights, inputs) => {
    const { x, lengths } = inputs as unknown as { x: Tensor; lengths: Tensor<'int32'> };
    return layer.apply(weights, x, lengths);
  });
  return { ...hosted, apply: async (given) => hosted.run(named('x', arraysOf(given, dim))) };
}

/** Attention of rows to those of a source, with projections and heads. Throws CONFIG for options that do not fit. */
export async function crossAttention({ engine, seed, ...options }: AttentionLayerOptions): Promise<CrossAttention> {
  const layer = crossAttentionLayer(options as LayerOptions);
  const { dim } = options;
  const specs = {
    x: rowSpec(dim, 'length'),
    source: rowSpec(dim, 'source'),
    lengths: spec('int32', [symbol('batch')]),
  };
  const hosted = await host({ engine, seed }, layer, specs, (weights, inputs) => {
    const { x, source, lengths } = inputs as unknown as { x: Tensor; source: Tensor; lengths: Tensor<'int32'> };
    return layer.apply(weights, x, source, lengths);
  });
  return {
    ...hosted,
    apply: async (rows, source) => {
      const { rows: x } = arraysOf({ rows, batch: source.batch }, dim);
      return hosted.run({ x, ...named('source', arraysOf(source, dim)) });
    },
  };
}

function rowSpec(dim: number, length: string) {
  return spec('float32', [symbol('batch'), symbol(length), dim]);
}

function arraysOf({ rows, batch = 1, lengths }: Rows, dim: number) {
  const length = lengthOf('rows', rows, batch * dim);
  return {
    rows: float32([batch, length, dim], rows),
    lengths: rowLengths('attention', lengths ?? new Array<number>(batch).fill(length), batch, length),
  };
}

function named(name: string, { rows, lengths }: ReturnType<typeof arraysOf>) {
  return { [name]: rows, lengths };
}

function lengthOf(name: string, { length }: Numbers, rest: number): number {
  if (length > 0 && length % rest === 0) return length / rest;
  throw new PerformerError('SHAPE', `attention: expected a multiple of ${rest} numbers as ${name}, got ${length}.`);
}

/** A layer with fresh weights on an engine. */
async function host(
  { engine: given, seed = 0 }: Seeded,
  layer: { readonly params: object; readonly buffers: object },
  specs: object,
  build: (weights: { readonly params: object; readonly buffers: object }, inputs: object) => Tensor,
) {
  const random = Random.fromSeed(seed);
  const params: object = initialize(layer.params, random.split('parameters'));
  const buffers: object = drawBuffers(layer.buffers, random.split('projections').split(0));
  const engine = await chosenEngine(given);
  const compiled = await engine.compile(
    (learned: object, drawn: object, inputs: object) => ({
      output: build({ params: learned, buffers: drawn }, inputs),
    }),
    [specsOf(params) as object, specsOf(buffers) as object, specs],
  );
  return {
    weights: { params, buffers },
    run: async (inputs: object) => Float32Array.from((await compiled.run([params, buffers, inputs])).output.data),
    dispose: () => compiled.dispose(),
  };
}
