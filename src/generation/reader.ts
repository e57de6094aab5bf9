/**
 * The compiled functions of a session: tokens after a state → logits of the last token and the next state.
 *
 * Weights and projections are constants of the compiled session, so that the engine lays them out once.
 */
import { addRecent, type DeferredState } from '../attention/index.js';
import { float32, type HostTensor } from '../base/array.js';
import { type Dim, symbol } from '../base/dimension.js';
import type { Shape } from '../base/shape.js';
import { mapTree } from '../base/tree.js';
import type { BlockState } from '../blocks/index.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { reshape, spec, specsOf, type Tensor, type TensorSpec } from '../graph/index.js';
import {
  initialState,
  type LanguageModelConfig,
  type LanguageModelParams,
  type LanguageModelState,
  logitsOf,
  type Projections,
  readTokens,
} from '../models/index.js';
import { RecentRows } from './recent-rows.js';

/** What a model says after some tokens. */
export interface Reading<T = HostTensor> {
  /** Of the token that follows: [batch, vocabulary]. */
  readonly logits: T;
  readonly state: LanguageModelState<T>;
}

/** A reading whose logits and positions are on the host, and the rest where the engine computes. */
export interface HeldReading {
  readonly logits: HostTensor;
  readonly state: { readonly position: HostTensor; readonly blocks: readonly BlockState<EngineTensor>[] };
}

export interface ReaderInputs<T = HostTensor> {
  /** [batch, length] int32 */
  readonly tokens: T;
  /** How many tokens of each row are real, [batch] int32; not read with exact attention. */
  readonly lengths?: T;
}

export interface Model {
  readonly config: LanguageModelConfig;
  readonly params: LanguageModelParams<HostTensor>;
  readonly projections: Projections<HostTensor<'float32'>>;
}

/**
 * Pieces of any length (whose rows may be ragged but with exact attention), one token in the recurrent form, or one
 * token beside a state of linear attention, which reads `recent` rows too and gives back those of the token.
 */
export type ReaderForm = 'piece' | 'token' | 'beside';

export type Reader = Awaited<ReturnType<typeof compileReader>>;

/** The shape of a part of the state after `past` tokens: keys and values of exact attention grow along their axis 2. */
export function shapeAfter(path: string, shape: readonly number[], past: number): readonly number[];
export function shapeAfter(path: string, shape: readonly number[], past: Dim): Shape;
export function shapeAfter(path: string, shape: readonly number[], past: Dim): Shape {
  return /\.attention\.(key|value)$/.test(path) ? shape.map((size, axis) => (axis === 2 ? past : size)) : shape;
}

function stateSpecs(config: LanguageModelConfig, batch: number, form: ReaderForm) {
  const empty = initialState(config, batch);
  const state = form === 'beside' ? { ...empty, blocks: new RecentRows(empty.blocks).after(empty.blocks) } : empty;
  return mapTree(state, ({ dtype, shape }: HostTensor, path) => spec(dtype, shapeAfter(path, shape, symbol('past'))));
}

/** Compiles a reader for `batch` rows; one of pieces has the input `lengths` but with exact attention. */
export function compileReader(engine: Engine, { config, params, projections }: Model, batch: number, form: ReaderForm) {
  const length: Dim = form === 'piece' ? symbol('length') : 1;
  const hasLengths = form === 'piece' && config.attention !== 'softmax';
  const inputs: ReaderInputs<TensorSpec> = {
    tokens: spec('int32', [batch, length]),
    ...(hasLengths ? { lengths: spec('int32', [batch]) } : {}),
  };
  return engine.compile(
    (weights, frequencies, state, { tokens, lengths }): Reading<Tensor> => {
      const given = { tokens, projections: frequencies, state, ...(lengths === undefined ? {} : { lengths }) };
      const result = readTokens(config, weights, given);
      const logits = logitsOf(weights, result.lastHidden); // [batch, 1, vocabulary]
      return { logits: reshape(logits, [batch, config.vocabularySize]), state: result.state };
    },
    [params, projections, stateSpecs(config, batch, form), inputs],
  );
}

export type RowAdder = Awaited<ReturnType<typeof compileRowAdder>>;

/** Compiles what adds recent rows to the states of linear attention. */
export function compileRowAdder(engine: Engine, { config }: Model, batch: number) {
  const { blocks } = initialState(config, batch);
  const states = new RecentRows(blocks).after(blocks).map(({ attention }) => attention as DeferredState<HostTensor>);
  return engine.compile((given) => given.map(addRecent), [specsOf(states)]);
}

/** The float32 of a result, which the oracle gives in float64. */
export function inSinglePrecision(tensor: HostTensor): HostTensor {
  return tensor.dtype === 'float64' ? float32(tensor.shape, tensor.data as Float64Array) : tensor;
}
