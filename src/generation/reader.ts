/**
 * The compiled functions of a session: tokens after a state → logits of the last token and the next state.
 *
 * Weights are constants of the compiled session, so that the engine lays them out once; or inputs that are placed where the
 * engine computes, so that others can take their place without compiling again.
 */
import { type AnyHostTensor, type Dtype, float32, type HostTensor } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { type StateSpec, shapeAfter } from '../base/layout.js';
import { mapTree } from '../base/tree.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { reshape, spec, specsOf, type Tensor, type TensorSpec } from '../graph/index.js';
import { type LoadedModel, type TrunkRows, type TrunkState, tokenConfig } from '../models/index.js';

/** What a model says after some tokens. */
export interface Reading {
  /** Of the token that follows: [batch, vocabulary]. */
  readonly logits: HostTensor;
  readonly state: TrunkState<HostTensor<'int32'>>;
}

/** A reading whose logits and positions are on the host, and the rest where the engine computes. */
export interface HeldReading {
  readonly logits: HostTensor;
  readonly state: TrunkState<HostTensor<'int32'>>;
}

export interface ReaderInputs<T = HostTensor<'int32'>> {
  /** [batch, length] int32 */
  readonly tokens: T;
  /** How many tokens of each row are real, [batch] int32; absent where all are. */
  readonly lengths?: T | undefined;
}

/**
 * Pieces of any length, one token of every row in the recurrent form, or one token beside a state, which reads `rows` too
 * and gives back those of the token.
 */
export type ReaderForm = 'piece' | 'token' | 'beside';

/** Whether weights are constants of what is compiled, or inputs. */
export type WeightsAs = 'constants' | 'inputs';

/** How a session's readers are compiled. */
export interface ReaderOptions {
  readonly batch: number;
  readonly weightsAs: WeightsAs;
}

export interface ReadArguments {
  /** Placed weights, where they are inputs. */
  readonly weights: readonly [params: object, buffers: object];
  readonly state: TrunkState<EngineTensor>;
  readonly rows?: TrunkRows | undefined;
  readonly inputs: ReaderInputs;
  readonly outputs?: HeldReading | undefined;
}

/** What a reader gives: the parts of the state that changed, and the row where one stands beside it. */
export interface ReadResult {
  readonly logits: HostTensor;
  readonly state: TrunkState<HostTensor<'int32'>>;
  readonly row?: TrunkRows | undefined;
}

export interface Reader {
  run(given: ReadArguments): Promise<ReadResult>;
  dispose(): Promise<void>;
}

/** In the place of constants, which are not passed again. */
const constants = {};

function stateSpecs(layout: object, isFirst: boolean): TrunkState<TensorSpec<'int32'>> {
  return mapTree<object, StateSpec, TensorSpec<Dtype>>(layout, (part) =>
    spec(part.dtype, shapeAfter(part, isFirst ? 0 : symbol('past'), symbol('source'))),
  ) as TrunkState<TensorSpec<'int32'>>;
}

/** What a reader reads. */
export interface ReaderTokens {
  readonly form: ReaderForm;
  /** Whether rows have different lengths, of which some may have no token. */
  readonly hasLengths: boolean;
  /** Whether nothing was read before, of a state that grows; not unless given. */
  readonly isFirst?: boolean | undefined;
}

/** Compiles a reader. */
export async function compileReader(
  engine: Engine,
  { model, params, buffers }: LoadedModel,
  { batch, weightsAs }: ReaderOptions,
  { form, hasLengths, isFirst = false }: ReaderTokens,
): Promise<Reader> {
  const { vocabularySize } = tokenConfig(model.config);
  const rows = form === 'beside' ? model.deferral?.rows(batch, rowWindow) : undefined;
  const tokens: ReaderInputs<TensorSpec<'int32'>> = {
    tokens: spec('int32', [batch, form === 'piece' ? symbol('length') : 1]),
    lengths: hasLengths ? spec('int32', [batch]) : undefined,
  };
  const isConstant = weightsAs === 'constants';
  const weights = [params, buffers].map((tree) => (isConstant ? tree : specsOf(tree)));
  const executable = await engine.compile(
    (
      learned: object,
      drawn: object,
      { state }: { readonly state: TrunkState },
      beside: { readonly rows?: TrunkRows | undefined },
      inputs: ReaderInputs<Tensor<'int32'>>,
    ) => {
      const own = { params: learned, buffers: drawn };
      const result = model.apply(own, inputs, { state, rows: beside.rows });
      const logits = model.head(own, result.lastHidden); // [batch, 1, vocabulary]
      return { logits: reshape(logits, [batch, vocabularySize]), state: result.state, row: result.rows };
    },
    [
      weights[0] ?? {},
      weights[1] ?? {},
      { state: stateSpecs(model.state(batch), isFirst) },
      { rows: rows && specsOf(rows) },
      tokens,
    ],
  );
  return {
    async run({ weights: placed, state, rows: given, inputs, outputs }) {
      const [learned, drawn] = isConstant ? [constants, constants] : placed;
      const args = [learned, drawn, { state }, { rows: given }, inputs] as const;
      const written = await executable.run(args, { outputs });
      return outputs ?? (mapTree(written as ReadResult, inSinglePrecision) as ReadResult);
    },
    dispose: () => executable.dispose(),
  };
}

/** At this size, reading the rows costs a token about as much as its part of adding them to the state. */
export const rowWindow = 16;

/** The float32 of a result, which the oracle gives in float64. */
export function inSinglePrecision(tensor: AnyHostTensor): AnyHostTensor {
  return tensor.dtype === 'float64' ? float32(tensor.shape, tensor.data as Float64Array) : tensor;
}
