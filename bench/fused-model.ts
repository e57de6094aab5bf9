/** The whole model with ONNX Runtime's fused exact attention, forward: that without attention, rewritten. */

import type { AttendedRows } from '../src/blocks/index.js';
import { type AnyTensor, reshape, type Tensor } from '../src/graph/index.js';
import { applyMany, type Node, sortNodes, withPath } from '../src/graph/tensor.js';
import type { ModelResult } from '../src/models/index.js';
import { fusedAttention } from './fused-attention.js';

/** The graph of `root` in which nodes are what `replace` gives for them, from inputs that are replaced already. */
function rewritten(
  root: AnyTensor,
  replace: (node: Node, now: (tensor: AnyTensor) => AnyTensor) => AnyTensor | undefined,
): AnyTensor {
  const tensors = new Map<AnyTensor, AnyTensor>();
  const now = (tensor: AnyTensor) => tensors.get(tensor)!;
  for (const node of sortNodes([root])) {
    const replacement = withPath(node.path, () => replace(node, now));
    const inputs = node.inputs.map(now);
    const isSame = inputs.every((tensor, at) => tensor === node.inputs[at]);
    const again = () => withPath(node.path, () => applyMany(node.op, inputs, node.attributes));
    const outputs = replacement === undefined ? (isSame ? node.outputs : again()) : [replacement];
    node.outputs.forEach((tensor, at) => tensors.set(tensor, outputs[at]!));
  }
  return now(root);
}

/**
 * Puts fused attention where a model of attention `none` passes its values on.
 *
 * @param result What that model computes, [batch, length, dim] among it.
 * @returns The last hidden layer.
 */
export function withFusedAttention(
  { hidden, attended }: Pick<ModelResult, 'hidden' | 'attended'>,
  isCausal = true,
): Tensor {
  const byValue = new Map<AnyTensor, AttendedRows>(
    attended.flatMap((rows) => (rows === undefined ? [] : [[rows.value, rows] as const])),
  );
  let count = 0;
  const result = rewritten(hidden, (node, now) => {
    // The values plus nothing: see the core of mixers/none.ts.
    const rows = node.op.name === 'add' ? byValue.get(node.inputs[0]!) : undefined;
    if (rows === undefined) return undefined;
    count++;
    const [batch, length, heads, headDim] = rows.value.shape as [number, number, number, number];
    const joined = (x: Tensor) => reshape(now(x) as Tensor, [batch, length, heads * headDim]);
    const output = fusedAttention(joined(rows.query), joined(rows.key), joined(rows.value), { heads, isCausal });
    return reshape(output, rows.value.shape);
  });
  if (count !== attended.length) throw new Error(`expected to replace ${attended.length} attentions, got ${count}`);
  return result as Tensor;
}
