/** Reverse-mode differentiation: a walk from the loss back to what it depends on, producing ordinary graph. */
import { PerformerError } from '../base/errors.js';
import { sameShape } from '../base/shape.js';
import { type MapLeaves, mapTree } from '../base/tree.js';
import { add, scalar } from './ops/index.js';
import { broadcastTo } from './ops/layout.js';
import { type Node, scope, sortNodes, type Tensor } from './tensor.js';

/**
 * The gradient of a scalar float32 `loss` with respect to every leaf of `parameters`: a tree of the same form.
 * A leaf on which the loss does not depend gets zeros.
 */
export function gradient<T>(loss: Tensor, parameters: T): MapLeaves<T, Tensor> {
  if (loss.rank !== 0 || loss.dtype !== 'float32') {
    throw new PerformerError('SHAPE', `gradient: expected a float32 scalar as the loss, got ${loss}.`);
  }
  const found = new Map<Tensor, Tensor>([[loss, scalar(1)]]);
  const nodes = sortNodes([loss]);
  const relevant = nodesThatReach(nodes, parameters);
  for (const node of nodes.reverse()) {
    if (!relevant.has(node)) continue;
    const gradients = node.outputs.map((output) => found.get(output));
    if (gradients.every((one) => one === undefined)) continue;
    scope(node.path === '' ? 'gradient' : `${node.path}.gradient`, () => accumulate(node, gradients, found, relevant));
  }
  return mapTree(parameters, (leaf: Tensor) => found.get(leaf) ?? broadcastTo(scalar(0), leaf.shape));
}

/** The nodes through which a change of some parameter passes. */
function nodesThatReach(nodes: readonly Node[], parameters: unknown): Set<Node> {
  const leaves = new Set<Node>();
  mapTree(parameters, (leaf: Tensor) => leaves.add(leaf.node));
  const reached = new Set<Node>();
  for (const node of nodes) {
    if (leaves.has(node) || node.inputs.some((input) => reached.has(input.node))) reached.add(node);
  }
  return reached;
}

function accumulate(
  node: Node,
  gradients: readonly (Tensor | undefined)[],
  found: Map<Tensor, Tensor>,
  relevant: ReadonlySet<Node>,
): void {
  const { op, inputs, outputs, attributes } = node;
  if (typeof op.differentiate !== 'function') {
    if (op.differentiate.notDifferentiable === 'zero') return;
    throw new PerformerError(
      'GRADIENT',
      `${op.name} in ${node.path}: expected an op with a gradient, got one without.`,
    );
  }
  const own = op.differentiate({ inputs, outputs, gradients, attributes });
  own.forEach((part, index) => {
    const input = inputs[index] as Tensor;
    if (part === undefined || !relevant.has(input.node)) return;
    if (!sameShape(part.shape, input.shape)) {
      throw new PerformerError('INTERNAL', `internal: ${op.name} gave a gradient ${part} for an input ${input}`);
    }
    const before = found.get(input);
    found.set(input, before === undefined ? part : add(before, part));
  });
}
