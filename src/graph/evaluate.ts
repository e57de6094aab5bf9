/** The oracle: a graph evaluated op by op in float64, slowly and without tricks. */
import type { DimBindings } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import { resolveShape } from '../base/shape.js';
import { inputOp } from './ops/constant.js';
import { type AnyTensor, type DenseArray, type Node, sortNodes, valueInputs } from './tensor.js';

/** The values of `outputs`, given arrays for the inputs by name and values for the symbols of their shapes. */
export function evaluate(
  outputs: readonly AnyTensor[],
  inputs: ReadonlyMap<string, DenseArray>,
  bindings: DimBindings,
): DenseArray[] {
  const nodes = sortNodes(outputs, valueInputs);
  const values = new Map<AnyTensor, DenseArray>();
  for (const { op, outputs: to, attributes } of nodes) {
    if (op.name !== inputOp.name) continue;
    const { name } = attributes as { name: string };
    const given = inputs.get(name);
    if (given === undefined) throw internalError(`no value for the input ${name}`);
    values.set(to[0] as AnyTensor, given);
  }
  evaluateNodes(nodes, values, bindings);
  return outputs.map((tensor) => values.get(tensor) as DenseArray);
}

/** Evaluates sorted nodes into `values`; those whose outputs have a value there are left out. */
export function evaluateNodes(nodes: readonly Node[], values: Map<AnyTensor, DenseArray>, bindings: DimBindings): void {
  const arrayOf = (tensor: AnyTensor): DenseArray => {
    const value = values.get(tensor);
    if (value === undefined) throw internalError('a tensor was used before it was evaluated');
    return value;
  };
  for (const node of nodes) {
    const { op, outputs, attributes } = node;
    if (values.has(outputs[0] as AnyTensor)) continue;
    const from = valueInputs(node);
    const outputShapes = outputs.map(({ shape }) => resolveShape(shape, bindings));
    const context = { bindings, outputTypes: outputs, outputShapes, inputTypes: from };
    const results = op.evaluate(from.map(arrayOf), attributes, context);
    outputs.forEach((tensor, index) => {
      const data = results[index] as Float64Array;
      const shape = outputShapes[index] as number[];
      if (data.length !== shape.reduce((a, b) => a * b, 1)) {
        throw internalError(`${op.name} evaluated to ${data.length} elements for [${shape}]`);
      }
      values.set(tensor, { shape, data });
    });
  }
}
