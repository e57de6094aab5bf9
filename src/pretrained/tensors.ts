/** Rules by which the tensors of another system become parameters of a model: names, and what is done to the values. */
import { elementCount } from '../base/shape.js';

type Shape = readonly number[];

/** One tensor of a file, and the parameters that are made of it. A `*` in names stands for the number of a layer. */
export interface TensorRule {
  readonly from: string;
  readonly to: readonly string[];
  /** The shape that the tensor must have, by those of the parameters. */
  shapeOf(targets: readonly Shape[]): Shape;
  /** The values of each parameter. */
  valuesOf(data: Float32Array, targets: readonly Shape[]): readonly Float32Array[];
}

/** A tensor that is a parameter as it lies; `leading` axes of size 1 may stand before it. */
export function same(from: string, to: string, leading = 0): TensorRule {
  const ones = new Array<number>(leading).fill(1);
  return { from, to: [to], shapeOf: ([shape]) => [...ones, ...shape!], valuesOf: (data) => [data] };
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
  /** Which output of the source is output `index` of the parameter `target`, of `width` outputs; one after another unless given. */
  outputOf?(target: number, index: number, width: number): number;
}

/** A linear layer, whose outputs may belong to several of ours. */
export function linear(
  from: string,
  to: string | readonly string[],
  { bias = true, isTurned = false, outputOf = (target, index, width) => target * width + index }: LinearSource = {},
): readonly TensorRule[] {
  const names = typeof to === 'string' ? [to] : to;
  const outputs = (targets: readonly Shape[]) => targets.reduce((sum, shape) => sum + shape.at(-1)!, 0);
  const weight: TensorRule = {
    from: `${from}.weight`,
    to: names.map((name) => `${name}.weight`),
    shapeOf: (targets) => (isTurned ? [targets[0]![0]!, outputs(targets)] : [outputs(targets), targets[0]![0]!]),
    valuesOf: (data, targets) =>
      targets.map((shape, target) => {
        const [inputs, width] = shape as [number, number];
        const [inputStep, outputStep] = isTurned ? [outputs(targets), 1] : [1, inputs];
        const values = new Float32Array(elementCount(shape));
        for (let index = 0; index < width; index++) {
          const start = outputOf(target, index, width) * outputStep;
          for (let input = 0; input < inputs; input++) values[input * width + index] = data[start + input * inputStep]!;
        }
        return values;
      }),
  };
  const own: TensorRule = {
    from: `${from}.bias`,
    to: names.map((name) => `${name}.bias`),
    shapeOf: (targets) => [outputs(targets)],
    valuesOf: (data, targets) =>
      targets.map(([width], target) =>
        Float32Array.from({ length: width! }, (_, index) => data[outputOf(target, index, width!)]!),
      ),
  };
  return bias ? [weight, own] : [weight];
}
