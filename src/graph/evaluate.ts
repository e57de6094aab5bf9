/** The oracle: a graph evaluated op by op in float64, slowly and without tricks. */
import type { DimBindings } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import { resolveShape } from '../base/shape.js';
import { inputOp } from './ops/constant.js';
import { type DenseArray, sortNodes, type Tensor } from './tensor.js';

/** The values of `outputs`, given arrays for the inputs by name and values for the symbols of their shapes. */
export function evaluate(
  outputs: readonly Tensor[],
  inputs: ReadonlyMap<string, DenseArray>,
  bindings: DimBindings,
): DenseArray[] {
  const values = new Map<Tensor, DenseArray>();
  const arrayOf = (tensor: Tensor): DenseArray => {
    const value = values.get(tensor);
    if (value === undefined) throw internalError('a tensor was used before it was evaluated');
    return value;
  };
  for (const { op, inputs: from, outputs: to, attributes } of sortNodes(outputs)) {
    if (op.name === inputOp.name) {
      const { name } = attributes as { name: string };
      const given = inputs.get(name);
      if (given === undefined) throw internalError(`no value for the input ${name}`);
      values.set(to[0] as Tensor, given);
      continue;
    }
    const outputShapes = to.map(({ shape }) => resolveShape(shape, bindings));
    const context = { bindings, outputTypes: to, outputShapes, inputTypes: from };
    const results = op.evaluate(from.map(arrayOf), attributes, context);
    to.forEach((tensor, index) => {
      const data = results[index] as Float64Array;
      const shape = outputShapes[index] as number[];
      if (data.length !== shape.reduce((a, b) => a * b, 1)) {
        throw internalError(`${op.name} evaluated to ${data.length} elements for [${shape}]`);
      }
      values.set(tensor, { shape, data });
    });
  }
  return outputs.map(arrayOf);
}
