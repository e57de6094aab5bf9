/** A graph as readable text, one node a line: for people, and for snapshots in tests. */
import { formatShape } from '../base/shape.js';
import { type AnyTensor, sortNodes } from './tensor.js';

function formatValue(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'length' in value) {
    const list = Array.from(value as ArrayLike<unknown>);
    const shown = list.slice(0, 8).map(formatValue).join(', ');
    return list.length > 8 ? `[${shown}, … ${list.length} in all]` : `[${shown}]`;
  }
  return String(value);
}

function formatAttributes(attributes: unknown): string {
  if (attributes === null || typeof attributes !== 'object') return '';
  const entries = Object.entries(attributes).filter(([, value]) => typeof value !== 'function');
  return entries.length === 0 ? '' : ` {${entries.map(([key, value]) => `${key}: ${formatValue(value)}`).join(', ')}}`;
}

/** The graph that computes the named outputs. Lines read `%3 = matmul(%1, %2) {…} : float32 [4, 8]  # path`. */
export function printGraph(outputs: Readonly<Record<string, AnyTensor>>): string {
  const names = new Map<AnyTensor, string>();
  const lines: string[] = [];
  for (const node of sortNodes(Object.values(outputs))) {
    for (const tensor of node.outputs) names.set(tensor, `%${names.size}`);
    const results = node.outputs.map((tensor) => names.get(tensor)).join(', ');
    const operands = node.inputs.map((tensor) => names.get(tensor)).join(', ');
    const types = node.outputs.map(({ dtype, shape }) => `${dtype} ${formatShape(shape)}`).join(', ');
    const path = node.path === '' ? '' : `  # ${node.path}`;
    lines.push(`${results} = ${node.op.name}(${operands})${formatAttributes(node.attributes)} : ${types}${path}`);
  }
  for (const [name, tensor] of Object.entries(outputs)) lines.push(`return ${name} = ${names.get(tensor)}`);
  return lines.join('\n');
}
