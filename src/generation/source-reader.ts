/** The compiled function by which a session reads the source of what it will write: once, whatever comes after it. */
import type { HostTensor } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import { textRows } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { spec, specsOf, type TensorSpec } from '../graph/index.js';
import type { LoadedModel, ModelInputs, TrunkState } from '../models/index.js';
import { inSinglePrecision, type ReaderOptions } from './reader.js';

export interface SourceReader {
  /** The state with what is kept of the source of each row. */
  run(
    weights: readonly [params: object, buffers: object],
    state: TrunkState<HostTensor<'int32'>>,
    rows: readonly Int32Array[],
  ): Promise<TrunkState<HostTensor<'int32'>>>;
  dispose(): Promise<void>;
}

/** Compiles it. Throws CONFIG for a model that reads no source. */
export async function compileSourceReader(
  engine: Engine,
  { model, params, buffers }: LoadedModel,
  { batch, weightsAs }: ReaderOptions,
): Promise<SourceReader> {
  const { readSource } = model;
  if (readSource === undefined) {
    throw new PerformerError('CONFIG', `readSource: expected a model that reads a source, got ${model.config.model}.`);
  }
  const isConstant = weightsAs === 'constants';
  const given = isConstant ? [params, buffers] : [specsOf(params), specsOf(buffers)];
  const compiled = await engine.compile(
    (learned: object, drawn: object, { state }: { readonly state: TrunkState }, inputs: ModelInputs) => ({
      state: readSource({ params: learned, buffers: drawn }, inputs, state),
    }),
    [
      given[0] as object,
      given[1] as object,
      { state: specsOf<object>(model.state(batch)) as TrunkState<TensorSpec<'int32'>> },
      { source: spec('int32', [batch, symbol('source')]), sourceLengths: spec('int32', [batch]) },
    ],
  );
  return {
    async run(weights, state, rows) {
      const { tokens: source, lengths: sourceLengths } = textRows(rows, Number.POSITIVE_INFINITY);
      const [learned, drawn] = isConstant ? [{}, {}] : weights;
      const result = await compiled.run([learned, drawn, { state }, { source, sourceLengths }]);
      return mapTree<object, HostTensor, object>(result.state, inSinglePrecision) as typeof state;
    },
    dispose: () => compiled.dispose(),
  };
}
