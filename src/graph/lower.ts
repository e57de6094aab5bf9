/** Writes nodes to an emitter, each by its op's lowering rule. */
import type { Emitter } from './emitter.js';
import { type AnyTensor, type Node, valueInputs } from './tensor.js';

/** Writes sorted nodes; `names` holds the tensors that are already there, and gets those that are written. */
export function lowerNodes(nodes: readonly Node[], emitter: Emitter, names: Map<AnyTensor, string>): void {
  for (const node of nodes) {
    const { op, outputs, attributes, path } = node;
    const inputs = valueInputs(node);
    emitter.path = path;
    const written = op.lower(
      emitter,
      inputs.map((tensor) => names.get(tensor) as string),
      attributes,
      { inputs, outputs },
    );
    outputs.forEach((tensor, index) => names.set(tensor, written[index] as string));
  }
}
