/** Which branch an attention takes: the condition under which it computes in log space. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Tensor } from '../../src/graph/index.js';
import { sortNodes } from '../../src/graph/tensor.js';

/** The condition of the conditional that gives the output of an attention: bool scalar. */
export function lossCondition(output: Tensor): Tensor {
  const choices = sortNodes([output]).filter(({ op }) => op.name === 'conditional');
  if (choices.length !== 1) throw new Error(`expected one conditional, got ${choices.length}`);
  return choices[0]!.inputs[0]!;
}

/** The names of the nodes that ran, from ONNX Runtime's profile of a session. */
export function nodesInProfile(folder: string): string[] {
  const [file] = readdirSync(folder);
  const events = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as { cat: string; name: string }[];
  return events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .map(({ name }) => name.replace('_kernel_time', ''));
}
