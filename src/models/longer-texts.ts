/**
 * Models for longer texts than those that they learned: a table of learned positions begins again where it ends, as that of Longformer
 * did (Beltagy et al. 2020, arXiv 2004.05150, section 5). Tokens that are near one another then have positions that they had
 * together before, and texts that the model knew are read as they were.
 */
import { type AnyHostTensor, float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import type { LoadedModel } from './folder.js';
import type { ModelConfig } from './model.js';
import { modelConfig, modelOf } from './registry.js';

/** Row p of `rows` is row p mod known of the table [known, dim]. */
export function repeatedRows({ shape, data }: HostTensor, rows: number): HostTensor {
  const [known, dim] = shape as [number, number];
  const repeated = new Float32Array(rows * dim);
  for (let row = 0; row < rows; row += known) {
    repeated.set(data.slice(0, Math.min(known, rows - row) * dim) as Float32Array, row * dim);
  }
  return float32([rows, dim], repeated);
}

/**
 * The same model for texts of up to `maxLength` tokens: a table of learned positions is repeated, and where whole texts were cut at
 * its old end, they are cut at the new one.
 *
 * @throws CONFIG for a model without learned positions, and for a length below its own.
 */
export function forLongerTexts(loaded: LoadedModel, maxLength: number): LoadedModel {
  const { config } = loaded.model;
  const { positions, vectors } = config;
  if (positions.kind !== 'learned' || maxLength < positions.maxLength) {
    const got = positions.kind === 'learned' ? `${positions.maxLength}` : `${positions.kind} ones`;
    throw new PerformerError('CONFIG', `positions: expected at most ${maxLength} learned ones to repeat, got ${got}.`);
  }
  const longer: ModelConfig = modelConfig({
    ...{ ...config, positions: { ...positions, maxLength } },
    vectors: vectors?.window === positions.maxLength ? { ...vectors, window: maxLength } : vectors,
  });
  const params = mapTree<object, AnyHostTensor, AnyHostTensor>(loaded.params, (tensor, path) =>
    path === 'positions.weight' ? repeatedRows(tensor as HostTensor, maxLength) : tensor,
  );
  return { model: modelOf(longer), params, buffers: loaded.buffers };
}
