/**
 * Models for longer texts than those that they learned: a table of learned positions gets more rows, between which its own
 * are stretched (Chen et al. 2023, arXiv 2306.15595, do so with rotary positions, which have an option for it).
 */
import { type AnyHostTensor, float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import type { LoadedModel } from './folder.js';
import type { ModelConfig } from './model.js';
import { modelConfig, modelOf } from './registry.js';

/** Row p of `rows` is what the table [known, dim] has at the place p·(known − 1)/(rows − 1), between two of its rows in part. */
export function stretchedRows({ shape, data }: HostTensor, rows: number): HostTensor {
  const [known, dim] = shape as [number, number];
  const step = rows === 1 ? 0 : (known - 1) / (rows - 1);
  const stretched = new Float32Array(rows * dim);
  for (let row = 0; row < rows; row++) {
    const first = Math.min(Math.floor(row * step), known - 1);
    const second = Math.min(first + 1, known - 1);
    const part = row * step - first;
    for (let at = 0; at < dim; at++) {
      const [a, b] = [data[first * dim + at]!, data[second * dim + at]!];
      stretched[row * dim + at] = a + part * (b - a);
    }
  }
  return float32([rows, dim], stretched);
}

/**
 * The same model for texts of up to `maxLength` tokens: a table of learned positions is stretched, and where whole texts were cut at
 * its old end, they are cut at the new one. What it gives for texts that it knew changes with the positions of their tokens, so that it
 * should learn again from texts of the new length.
 *
 * @throws CONFIG for a model without learned positions, and for a length below its own.
 */
export function forLongerTexts(loaded: LoadedModel, maxLength: number): LoadedModel {
  const { config } = loaded.model;
  const { positions, vectors } = config;
  if (positions.kind !== 'learned' || maxLength < positions.maxLength) {
    const got = positions.kind === 'learned' ? `${positions.maxLength}` : `${positions.kind} ones`;
    throw new PerformerError('CONFIG', `positions: expected at most ${maxLength} learned ones to stretch, got ${got}.`);
  }
  const longer: ModelConfig = modelConfig({
    ...{ ...config, positions: { ...positions, maxLength } },
    vectors: vectors?.window === positions.maxLength ? { ...vectors, window: maxLength } : vectors,
  });
  const params = mapTree<object, AnyHostTensor, AnyHostTensor>(loaded.params, (tensor, path) =>
    path === 'positions.weight' ? stretchedRows(tensor as HostTensor, maxLength) : tensor,
  );
  return { model: modelOf(longer), params, buffers: loaded.buffers };
}
