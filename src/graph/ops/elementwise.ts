/** Arithmetic element by element, with NumPy's broadcasting. */
import type { Dtype } from '../../base/array.js';
import { broadcastShapes } from '../../base/shape.js';
import { apply, expectDtype, here, type Op, type Tensor } from '../tensor.js';
import { elementByElement, mapBroadcast } from './broadcast.js';
import { less } from './compare.js';
import { scalar, toTensors } from './constant.js';
import { sumTo } from './expand-and-sum.js';
import { where } from './select.js';
import { erf as erfOf } from './special.js';

interface UnaryRules {
  readonly onnx: string;
  readonly evaluate: (x: number) => number;
  /** The gradient of the input x, given the output y and its gradient g. */
  readonly gradient: (g: Tensor, x: Tensor, y: Tensor) => Tensor | undefined;
}

function unary(name: string, rules: UnaryRules): <D extends Dtype>(x: Tensor<D>) => Tensor<D> {
  const op: Op<null, Dtype> = {
    name,
    infer: ([x]) => {
      expectDtype(name, [x!], 'float32', 'int32', 'int64');
      return [{ dtype: x!.dtype, shape: x!.shape }];
    },
    evaluate: ([x]) => [x!.data.map(rules.evaluate)],
    differentiate: ({ inputs: [x], outputs: [y], gradients: [g] }) => [rules.gradient(g!, x!, y!)],
    lower: (emitter, inputs) => [emitter.emit(rules.onnx, inputs)],
  };
  return <D extends Dtype>(x: Tensor<D>) => apply(op, [x], null) as Tensor<D>;
}

/** −x */
export const negate = unary('negate', { onnx: 'Neg', evaluate: (x) => -x, gradient: (g) => negate(g) });
/** eˣ */
export const exp = unary('exp', { onnx: 'Exp', evaluate: Math.exp, gradient: (g, _, y) => multiply(g, y) });
/** The natural logarithm: −∞ of 0, and NaN below. */
export const log = unary('log', { onnx: 'Log', evaluate: Math.log, gradient: (g, x) => divide(g, x) });
/** √x, NaN below 0; the gradient is infinite at 0. */
export const sqrt = unary('sqrt', {
  onnx: 'Sqrt',
  evaluate: Math.sqrt,
  gradient: (g, _, y) => divide(multiply(g, 0.5), y),
});
/** 1/x */
export const reciprocal = unary('reciprocal', {
  onnx: 'Reciprocal',
  evaluate: (x) => 1 / x,
  gradient: (g, _, y) => negate(multiply(g, multiply(y, y))),
});
/** |x|; the gradient is 0 at 0. */
export const abs = unary('abs', { onnx: 'Abs', evaluate: Math.abs, gradient: (g, x) => multiply(g, sign(x)) });
/** −1, 0 or 1, with a gradient of zero. */
export const sign = unary('sign', { onnx: 'Sign', evaluate: Math.sign, gradient: () => undefined });
/** The greatest integer that is not above x, with a gradient of zero. */
export const floor = unary('floor', { onnx: 'Floor', evaluate: Math.floor, gradient: () => undefined });
/** The sine of x in radians. */
export const sin = unary('sin', { onnx: 'Sin', evaluate: Math.sin, gradient: (g, x) => multiply(g, cos(x)) });
/** The cosine of x in radians. */
export const cos = unary('cos', { onnx: 'Cos', evaluate: Math.cos, gradient: (g, x) => negate(multiply(g, sin(x))) });
/** The angle from 0 to π; the gradient is infinite at ±1. */
export const acos = unary('acos', {
  onnx: 'Acos',
  evaluate: Math.acos,
  gradient: (g, x) => negate(divide(g, sqrt(subtract(1, multiply(x, x))))),
});
/** The hyperbolic tangent. */
export const tanh = unary('tanh', {
  onnx: 'Tanh',
  evaluate: Math.tanh,
  gradient: (g, _, y) => multiply(g, subtract(1, multiply(y, y))),
});
/** 1/(1 + e⁻ˣ) */
export const sigmoid = unary('sigmoid', {
  onnx: 'Sigmoid',
  evaluate: (x) => 1 / (1 + Math.exp(-x)),
  gradient: (g, _, y) => multiply(g, multiply(y, subtract(1, y))),
});
/** log(1 + eˣ), without overflow. */
export const softplus = unary('softplus', {
  onnx: 'Softplus',
  evaluate: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (g, x) => multiply(g, sigmoid(x)),
});
/** max(x, 0); the gradient is 0 at 0. */
export const relu = unary('relu', {
  onnx: 'Relu',
  evaluate: (x) => Math.max(x, 0),
  gradient: (g, x) => where(less(0, x), g, scalar(0)),
});
/** The error function. */
export const erf = unary('erf', {
  onnx: 'Erf',
  evaluate: erfOf,
  gradient: (g, x) => multiply(multiply(g, 2 / Math.sqrt(Math.PI)), exp(negate(multiply(x, x)))),
});

interface BinaryRules {
  readonly onnx: string;
  readonly evaluate: (a: number, b: number) => number;
  /** The gradients of a and b at the broadcast shape, given the output y and its gradient g. */
  readonly gradient: (g: Tensor, a: Tensor, b: Tensor, y: Tensor) => readonly [() => Tensor, () => Tensor];
}

/** Integers are divided without a rest, and unsigned 32-bit arithmetic wraps around; the oracle follows. */
function ofDtype({ evaluate }: BinaryRules, name: string, dtype: Dtype): (a: number, b: number) => number {
  if (dtype === 'float32') return evaluate;
  if (dtype !== 'uint32') return (a, b) => Math.trunc(evaluate(a, b));
  return name === 'multiply' ? (a, b) => Math.imul(a, b) >>> 0 : (a, b) => evaluate(a, b) >>> 0;
}

type Binary = <D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number) => Tensor<D>;

function binary(name: string, rules: BinaryRules): Binary {
  const op: Op<null, Dtype> = {
    name,
    infer: ([a, b]) => {
      expectDtype(name, [a!, b!], 'float32', 'int32', 'int64', 'uint32');
      expectDtype(name, [b!], a!.dtype);
      return [{ dtype: a!.dtype, shape: broadcastShapes(here(name), a!.shape, b!.shape) }];
    },
    evaluate: (inputs, _, { outputTypes, outputShapes }) => {
      const combine = ofDtype(rules, name, outputTypes[0]!.dtype);
      return [mapBroadcast(inputs, outputShapes[0]!, combine)];
    },
    differentiate: ({ inputs: [a, b], outputs: [y], gradients: [g] }) => {
      if (y!.dtype !== 'float32') return [undefined, undefined];
      const [left, right] = rules.gradient(g!, a!, b!, y!);
      return [sumTo(left(), a!.shape), sumTo(right(), b!.shape)];
    },
    lower: elementByElement(rules.onnx),
  };
  return <D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number) =>
    apply(op, toTensors(a, b), null) as Tensor<D>;
}

/** a + b; shapes broadcast. */
export const add = binary('add', {
  onnx: 'Add',
  evaluate: (a, b) => a + b,
  gradient: (g) => [() => g, () => g],
});
/** a − b; shapes broadcast. */
export const subtract = binary('subtract', {
  onnx: 'Sub',
  evaluate: (a, b) => a - b,
  gradient: (g) => [() => g, () => negate(g)],
});
/** a · b, element by element; shapes broadcast. */
export const multiply = binary('multiply', {
  onnx: 'Mul',
  evaluate: (a, b) => a * b,
  gradient: (g, a, b) => [() => multiply(g, b), () => multiply(g, a)],
});
/** a / b; shapes broadcast. Integers are divided without a rest, towards zero. */
export const divide = binary('divide', {
  onnx: 'Div',
  evaluate: (a, b) => a / b,
  gradient: (g, _, b, y) => [() => divide(g, b), () => negate(divide(multiply(g, y), b))],
});
/** a to the power of b; the gradient with respect to b expects a > 0. */
export const power = binary('power', {
  onnx: 'Pow',
  evaluate: (a, b) => a ** b,
  gradient: (g, a, b, y) => [
    () => multiply(g, multiply(b, power(a, subtract(b, 1)))),
    () => multiply(g, multiply(y, log(a))),
  ],
});
/** The greater of a and b; shapes broadcast. */
export const maximum = binary('maximum', {
  onnx: 'Max',
  evaluate: Math.max,
  gradient: (g, a, b) => [() => where(less(a, b), scalar(0), g), () => where(less(a, b), g, scalar(0))],
});
/** The smaller of a and b; shapes broadcast. */
export const minimum = binary('minimum', {
  onnx: 'Min',
  evaluate: Math.min,
  gradient: (g, a, b) => [() => where(less(b, a), scalar(0), g), () => where(less(b, a), g, scalar(0))],
});

/** x·x, with one product in the gradient less than `power`. */
export function square<D extends Dtype>(x: Tensor<D>): Tensor<D> {
  return multiply(x, x);
}
