/** Reverse-mode differentiation: a walk from results back to what they depend on, producing ordinary graph. */
import { PerformerError } from '../base/errors.js';
import { sameShape } from '../base/shape.js';
import { leavesOf, type MapLeaves, mapTree } from '../base/tree.js';
import { broadcastTo } from './ops/expand-and-sum.js';
import { add, scalar } from './ops/index.js';
import { type AnyTensor, type Node, sortNodes, type Tensor, withPath } from './tensor.js';

/**
 * The gradient of a scalar float32 `loss` with respect to every leaf of `parameters`: a tree of the same form.
 * A leaf on which the loss does not depend gets zeros.
 */
export function gradient<T>(loss: Tensor, parameters: T): MapLeaves<T, Tensor> {
  if (loss.rank !== 0 || loss.dtype !== 'float32') {
    throw new PerformerError('SHAPE', `gradient: expected a float32 scalar as the loss, got ${loss}.`);
  }
  const leaves = leavesOf<T, Tensor>(parameters).map(([, leaf]) => leaf);
  const found = new Map(pullback([[loss, scalar(1)]], leaves).map((own, index) => [leaves[index], own]));
  return mapTree(parameters, (leaf: Tensor) => found.get(leaf) ?? broadcastTo(scalar(0), leaf.shape));
}

/**
 * The vector–Jacobian product of the function that computes some results from `inputs`: given the gradient of a loss with
 * respect to each result, that with respect to each input, undefined for one on which no result depends. The inputs are
 * taken as independent of each other, and nothing before them is walked through.
 */
export function pullback(
  results: readonly (readonly [result: Tensor, gradient: Tensor])[],
  inputs: readonly Tensor[],
): readonly (Tensor | undefined)[] {
  const leaves = new Set<AnyTensor>(inputs);
  const found = new Map<AnyTensor, Tensor>(results);
  const isBefore = (tensor: AnyTensor) => !leaves.has(tensor);
  const nodes = sortNodes(results.map(([result]) => result).filter(isBefore), ({ inputs: from }) =>
    from.filter(isBefore),
  );
  const isRelevant = dependence(nodes, leaves);
  for (const node of nodes.reverse()) {
    if (!node.outputs.some(isRelevant)) continue;
    const gradients = node.outputs.map((output) => (leaves.has(output) ? undefined : found.get(output)));
    if (gradients.every((one) => one === undefined)) continue;
    const path = node.path === '' ? 'gradient' : `${node.path}.gradient`;
    withPath(path, () => accumulate(node, gradients, found, isRelevant));
  }
  return inputs.map((input) => found.get(input));
}

/** Whether a tensor changes with some leaf. */
function dependence(nodes: readonly Node[], leaves: ReadonlySet<AnyTensor>): (tensor: AnyTensor) => boolean {
  const reached = new Set<Node>();
  const isRelevant = (tensor: AnyTensor) => leaves.has(tensor) || reached.has(tensor.node);
  for (const node of nodes) if (node.inputs.some(isRelevant)) reached.add(node);
  return isRelevant;
}

function accumulate(
  node: Node,
  gradients: readonly (Tensor | undefined)[],
  found: Map<AnyTensor, Tensor>,
  isRelevant: (tensor: AnyTensor) => boolean,
): void {
  const { op, inputs, outputs, attributes } = node;
  if (typeof op.differentiate !== 'function') {
    if (op.differentiate.notDifferentiable === 'zero') return;
    throw new PerformerError(
      'GRADIENT',
      `${op.name} in ${node.path}: expected an op with a gradient, got one without.`,
    );
  }
  const [from, to] = [inputs as readonly Tensor[], outputs as readonly Tensor[]];
  const own = op.differentiate({ inputs: from, outputs: to, gradients, attributes });
  own.forEach((part, index) => {
    const input = from[index] as Tensor;
    if (part === undefined || !isRelevant(input)) return;
    if (!sameShape(part.shape, input.shape)) {
      throw new PerformerError('INTERNAL', `internal: ${op.name} gave a gradient ${part} for an input ${input}`);
    }
    const before = found.get(input);
    found.set(input, before === undefined ? part : add(before, part));
  });
}
