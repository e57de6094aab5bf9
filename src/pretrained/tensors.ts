/** Rules by which the tensors of another system become parameters of a model, and parameters tensors: names and places. */
import { PerformerError } from '../base/errors.js';
import { elementCount } from '../base/shape.js';

type Shape = readonly number[];

/** Values that lie evenly in a tensor and in a parameter: where the first one stands in each, and the steps to the next. */
interface Strand {
  /** The parameter, by its place among those of the rule. */
  readonly target: number;
  readonly from: number;
  readonly fromStep: number;
  readonly to: number;
  readonly toStep: number;
  readonly count: number;
}

/** One tensor of a file, and the parameters that are made of it. A `*` in names stands for the number of a layer. */
export interface TensorRule {
  readonly from: string;
  readonly to: readonly string[];
  /** What values are multiplied by where they become parameters; 1 unless given. */
  readonly gain?: number | undefined;
  /** Whether the tensor is each of the parameters, which must be equal to become one; not unless given. */
  readonly isShared?: boolean | undefined;
  /** The shape that the tensor must have, by those of the parameters. */
  shapeOf(targets: readonly Shape[]): Shape;
  /** All of its values, each once. */
  strandsOf(targets: readonly Shape[]): Iterable<Strand>;
}

/** The values of each parameter, from those of the tensor. */
export function parametersOf(rule: TensorRule, data: Float32Array, targets: readonly Shape[]): readonly Float32Array[] {
  const { gain = 1 } = rule;
  const own = targets.map((shape) => new Float32Array(elementCount(shape)));
  for (const { target, from, fromStep, to, toStep, count } of rule.strandsOf(targets)) {
    const values = own[target]!;
    for (let at = 0; at < count; at++) values[to + at * toStep] = data[from + at * fromStep]! * gain;
  }
  return own;
}

/**
 * The values of the tensor, from those of its parameters; what is none of theirs is as it was `before`, or 0.
 *
 * @throws CONFIG where they differ, and are one tensor.
 */
export function tensorOf(
  rule: TensorRule,
  own: readonly Float32Array[],
  targets: readonly Shape[],
  before?: Float32Array,
): Float32Array {
  const { gain = 1 } = rule;
  if (rule.isShared && own.some((values) => values.some((value, at) => value !== own[0]![at]))) {
    const expected = `equal values of ${rule.to[0]} and those of other layers, which are one ${rule.from} there`;
    const advice = 'Export it as ONNX, or as a folder of ours.';
    throw new PerformerError('CONFIG', `export: expected ${expected}, got others. ${advice}`);
  }
  const data = before?.slice() ?? new Float32Array(elementCount(rule.shapeOf(targets)));
  for (const { target, from, fromStep, to, toStep, count } of rule.strandsOf(targets)) {
    const values = own[target]!;
    for (let at = 0; at < count; at++) {
      const value = values[to + at * toStep]!;
      const isUnchanged = Object.is(Math.fround(data[from + at * fromStep]! * gain), value); // else division might round
      if (!isUnchanged) data[from + at * fromStep] = value / gain;
    }
  }
  return data;
}

/** A tensor that is a parameter as it lies; `leading` axes of size 1 may stand before it. */
export function same(from: string, to: string, leading = 0): TensorRule {
  const ones = new Array<number>(leading).fill(1);
  return {
    ...{ from, to: [to] },
    shapeOf: ([shape]) => [...ones, ...shape!],
    strandsOf: ([shape]) => [{ target: 0, from: 0, fromStep: 1, to: 0, toStep: 1, count: elementCount(shape!) }],
  };
}

/** A table without its first rows, which nothing reads. */
export function tailRows(from: string, to: string, reserved: number): TensorRule {
  return {
    ...{ from, to: [to] },
    shapeOf: ([shape]) => [shape![0]! + reserved, shape![1]!],
    strandsOf: ([shape]) => {
      const [rows, width] = shape as [number, number];
      return [{ target: 0, from: reserved * width, fromStep: 1, to: 0, toStep: 1, count: rows * width }];
    },
  };
}

/** Weight and bias of a norm. */
export function norm(from: string, to: string, { bias = true } = {}): readonly TensorRule[] {
  return [same(`${from}.weight`, `${to}.weight`), ...(bias ? [same(`${from}.bias`, `${to}.bias`)] : [])];
}

/** How the outputs of a linear layer go to the parameters. */
export interface LinearSource {
  /** Whether there is a bias; there is unless given. */
  readonly bias?: boolean | undefined;
  /** Whether the weights are [inputs, outputs] as ours, and not [outputs, inputs] as PyTorch's. */
  readonly isTurned?: boolean | undefined;
  /** What weights and biases are multiplied by; 1 unless given. */
  readonly gain?: number | undefined;
  /** Which output of the source is output `index` of the parameter `target`, of `width` outputs; one after another unless given. */
  outputOf?(target: number, index: number, width: number): number;
}

/** A linear layer, whose outputs may belong to several of ours. */
export function linear(
  from: string,
  to: string | readonly string[],
  {
    bias = true,
    isTurned = false,
    gain,
    outputOf = (target, index, width) => target * width + index,
  }: LinearSource = {},
): readonly TensorRule[] {
  const names = typeof to === 'string' ? [to] : to;
  const outputs = (targets: readonly Shape[]) => targets.reduce((sum, shape) => sum + shape.at(-1)!, 0);
  const weight: TensorRule = {
    gain,
    from: `${from}.weight`,
    to: names.map((name) => `${name}.weight`),
    shapeOf: (targets) => (isTurned ? [targets[0]![0]!, outputs(targets)] : [outputs(targets), targets[0]![0]!]),
    *strandsOf(targets) {
      const [inputStep, outputStep] = isTurned ? [outputs(targets), 1] : [1, targets[0]![0]!];
      for (const [target, shape] of targets.entries()) {
        const [count, width] = shape as [number, number];
        for (let index = 0; index < width; index++) {
          const from = outputOf(target, index, width) * outputStep;
          yield { target, from, fromStep: inputStep, to: index, toStep: width, count };
        }
      }
    },
  };
  const own: TensorRule = {
    gain,
    from: `${from}.bias`,
    to: names.map((name) => `${name}.bias`),
    shapeOf: (targets) => [outputs(targets)],
    *strandsOf(targets) {
      for (const [target, [width]] of targets.entries()) {
        for (let index = 0; index < width!; index++) {
          yield { target, from: outputOf(target, index, width!), fromStep: 1, to: index, toStep: 1, count: 1 };
        }
      }
    },
  };
  return bias ? [weight, own] : [weight];
}
