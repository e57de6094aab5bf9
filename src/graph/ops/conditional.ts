/** A branch that the data choose: of two bodies one runs, by an ONNX If. */
import type { Dtype } from '../../base/array.js';
import { sameShape } from '../../base/shape.js';
import { Body, zip } from '../body.js';
import { type AnyTensor, applyMany, expectDtype, noGradient, type Op, shapeError, type Tensor } from '../tensor.js';

interface ConditionalAttributes {
  readonly whenTrue: Body;
  readonly whenFalse: Body;
  /** What either branch reads of the graph around it: the inputs after the condition. */
  readonly captures: readonly AnyTensor[];
}

const conditionalOp: Op<ConditionalAttributes, Dtype> = {
  name: 'conditional',
  infer: ([condition], { whenTrue, whenFalse }) => {
    expectDtype('conditional', [condition!], 'bool');
    if (condition!.shape.length !== 0) throw shapeError('conditional', 'a scalar as the condition', condition!);
    const fits =
      whenTrue.outputs.length === whenFalse.outputs.length &&
      whenTrue.outputs.every(({ dtype, shape }, index) => {
        const other = whenFalse.outputs[index]!;
        return dtype === other.dtype && sameShape(shape, other.shape);
      });
    if (!fits) throw shapeError('conditional', 'branches of equal types', ...whenTrue.outputs, ...whenFalse.outputs);
    return whenTrue.outputs;
  },
  evaluate: ([condition, ...captured], { whenTrue, whenFalse, captures }, { bindings }) =>
    (condition!.data[0] ? whenTrue : whenFalse).evaluate([], zip(captures, captured), bindings).map(({ data }) => data),
  differentiate: noGradient,
  lower: (emitter, [condition, ...captured], { whenTrue, whenFalse, captures }, { outputs }) => {
    const branch = (body: Body) => ({
      graph: {
        inputs: [],
        outputs,
        build: (inner: typeof emitter) => body.lower(inner, [], zip(captures, captured)),
      },
    });
    const attributes = { then_branch: branch(whenTrue), else_branch: branch(whenFalse) };
    return emitter.emitMany('If', [condition!], attributes, { outputCount: outputs.length });
  },
};

/**
 * What `whenTrue` returns where the bool scalar `condition` is true, else what `whenFalse` returns: tensors of the same
 * types. What a branch computes costs nothing where the other one is taken. The choice has no gradient of its own: wrap
 * it with `withGradient`.
 */
export function conditional<const R extends readonly AnyTensor[]>(
  condition: Tensor<'bool'>,
  whenTrue: () => R,
  whenFalse: () => readonly AnyTensor[],
): R {
  const bodies = { whenTrue: new Body([], whenTrue), whenFalse: new Body([], whenFalse) };
  const captures = [...new Set([...bodies.whenTrue.captures, ...bodies.whenFalse.captures])];
  return applyMany(conditionalOp, [condition, ...captures], { ...bodies, captures }) as readonly AnyTensor[] as R;
}
