/** Which branch an attention takes: the condition under which it computes in log space. */
import type { Tensor } from '../../src/graph/index.js';
import { sortNodes } from '../../src/graph/tensor.js';

/** The condition of the conditional that gives numerators, denominators and scales of an attention: bool scalar. */
export function lossCondition(output: Tensor): Tensor<'bool'> {
  const choices = sortNodes([output]).filter(({ op, outputs }) => op.name === 'conditional' && outputs.length === 3);
  if (choices.length !== 1) throw new Error(`expected one conditional, got ${choices.length}`);
  return choices[0]!.inputs[0] as Tensor<'bool'>;
}
