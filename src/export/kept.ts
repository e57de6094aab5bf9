/** Weights as floats of 16 bits keep them. */
import { float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import { asKept, type WeightDtype } from '../interop/index.js';
import type { LoadedModel } from '../models/index.js';

/** A tensor as it comes back from a file that keeps it so. Throws CONFIG where a value is beyond the range. */
export function keptTensor(tensor: HostTensor, name: string, dtype: WeightDtype): HostTensor {
  if (dtype === 'float32') return tensor;
  const values = asKept(tensor.data, dtype);
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return float32(tensor.shape, values);
  const got = `${tensor.data[at]} in ${name}. Use bfloat16, or float32.`;
  throw new PerformerError('CONFIG', `export: expected weights within the range of ${dtype}, got ${got}`);
}

/**
 * A model whose parameters are those that files of 16 bits keep: each the nearest one. Random projections stay as they are. What an
 * evaluation has shown of the weights is left out where they change.
 *
 * @throws CONFIG where a value is beyond the range of `dtype`.
 */
export function keptAs(loaded: LoadedModel, dtype: WeightDtype): LoadedModel {
  if (dtype === 'float32') return loaded;
  const { model, params, buffers } = loaded;
  const own = mapTree<object, HostTensor, HostTensor>(params, (leaf, path) => keptTensor(leaf, path, dtype));
  return { model, params: own, buffers };
}
