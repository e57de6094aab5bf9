/** Composites with a gradient of their own. */
import type { Dtype } from '../../base/array.js';
import { internalError } from '../../base/errors.js';
import { type AnyTensor, applyMany, type Op, type Tensor } from '../tensor.js';

interface CustomAttributes {
  readonly outputCount: number;
  readonly gradient: (gradients: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[];
}

/** Outputs first, then the inputs that get gradients; the values pass through and nothing is emitted. */
const customOp: Op<CustomAttributes, Dtype> = {
  name: 'custom',
  infer: (inputs, { outputCount }) => inputs.slice(0, outputCount),
  valueInputCount: ({ outputCount }) => outputCount,
  evaluate: (inputs, { outputCount }) => inputs.slice(0, outputCount).map(({ data }) => data),
  differentiate: ({ gradients, inputs, attributes: { outputCount, gradient } }) => {
    const own = gradient(gradients);
    if (own.length !== inputs.length - outputCount) throw internalError('a custom gradient of the wrong length');
    return [...new Array<undefined>(outputCount).fill(undefined), ...own];
  },
  lower: (_, inputs, { outputCount }) => inputs.slice(0, outputCount),
};

/**
 * `outputs`, whose gradient with respect to `inputs` is what `gradient` returns for the gradients of the outputs, in
 * the order of the inputs, instead of what a walk through their definition would give.
 */
export function withGradient<const R extends readonly AnyTensor[]>(
  inputs: readonly AnyTensor[],
  outputs: R,
  gradient: CustomAttributes['gradient'],
): R {
  const attributes = { outputCount: outputs.length, gradient };
  return applyMany(customOp, [...outputs, ...inputs], attributes) as readonly AnyTensor[] as R;
}
