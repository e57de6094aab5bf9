/**
 * The position-wise feed-forward layer: activation(xW₁ + b₁)W₂ + b₂, or, gated (GLU variants, Shazeer 2020,
 * arXiv 2002.05202), (activation(xW_g + b_g) ⊙ (xW₁ + b₁))W₂ + b₂. A gated layer has three matrices in place of two, so
 * its hidden width is two thirds of what was asked for, to the next multiple of 8: about as many parameters and products.
 */
import type { ParameterSpec } from '../base/layout.js';
import { add, gelu, inChunks, multiply, relu, sigmoid, silu, square, type Tensor } from '../graph/index.js';
import type { Branch } from './branch.js';
import { type LinearParams, linear, linearLayout } from './linear.js';

/** The names of activations: of one matrix (`gelu`, `gelu-tanh`, `relu`, `silu`, `squared-relu`) or gated (the others). */
export type Activation =
  | ('gelu' | 'gelu-tanh' | 'relu' | 'silu' | 'squared-relu')
  | ('glu' | 'reglu' | 'geglu' | 'geglu-tanh' | 'swiglu');

/** GELU by the approximation of GPT-2, ½x(1 + tanh u) with u = √(2/π)(x + 0.044715x³), which is x·σ(2u). */
function geluTanh(x: Tensor): Tensor {
  const cubic = add(x, multiply(multiply(square(x), x), 0.044715));
  return multiply(x, sigmoid(multiply(cubic, 2 * Math.sqrt(2 / Math.PI))));
}

const activations: Readonly<Record<Activation, { readonly of: (x: Tensor) => Tensor; readonly isGated: boolean }>> = {
  gelu: { of: gelu, isGated: false },
  'gelu-tanh': { of: geluTanh, isGated: false },
  relu: { of: relu, isGated: false },
  silu: { of: silu, isGated: false },
  'squared-relu': { of: (x: Tensor) => square(relu(x)), isGated: false },
  glu: { of: sigmoid, isGated: true },
  reglu: { of: relu, isGated: true },
  geglu: { of: gelu, isGated: true },
  'geglu-tanh': { of: geluTanh, isGated: true },
  swiglu: { of: silu, isGated: true },
};

/** Every `Activation`. */
export const activationNames = Object.keys(activations) as [Activation, ...Activation[]];

/** The function of an activation, x to the same shape; undefined for gated ones, which are of two layers. */
export function activationOf(name: Activation): ((x: Tensor) => Tensor) | undefined {
  const { of, isGated } = activations[name];
  return isGated ? undefined : of;
}

/** The sizes and the activation of the layer. */
export interface FeedForwardOptions {
  readonly dim: number;
  /** The width between the two products, were the layer not gated. */
  readonly hidden: number;
  /** The width between the products as it is, in the place of `hidden`. */
  readonly width?: number | undefined;
  /** Whether the products have biases; they have unless given. */
  readonly bias?: boolean | undefined;
  readonly activation: Activation;
  /** Of the layer that writes to the residual stream. */
  readonly outputGain: number;
  /** Tokens that are computed at once, which bounds the memory of the hidden layer; all unless given. */
  readonly chunk?: number | undefined;
}

/** The matrices of the layer. */
export interface FeedForwardParams<T = Tensor> {
  /** [dim, hidden], of gated layers. */
  readonly gate?: LinearParams<T> | undefined;
  /** [dim, hidden] */
  readonly expand: LinearParams<T>;
  /** [hidden, dim] */
  readonly contract: LinearParams<T>;
}

/** The layout of the layer; a gated one has `gate` beside `expand`. */
export function feedForwardLayout(options: FeedForwardOptions): FeedForwardParams<ParameterSpec> {
  const { dim, activation, outputGain, bias = true } = options;
  const { isGated } = activations[activation];
  const hidden = options.width ?? (isGated ? gatedWidth(options.hidden) : options.hidden);
  const expand = linearLayout(dim, hidden, { bias });
  const layout = { expand, contract: linearLayout(hidden, dim, { bias, gain: outputGain }) };
  return isGated ? { gate: linearLayout(dim, hidden, { bias }), ...layout } : layout;
}

/** Two thirds of the width, to the next multiple of 8 where it is that wide. */
function gatedWidth(hidden: number): number {
  const width = (2 * hidden) / 3;
  return width < 8 ? Math.max(1, Math.round(width)) : 8 * Math.round(width / 8);
}

/** x [..., dim] → [..., dim] */
export function feedForward({ gate, expand, contract }: FeedForwardParams, activation: Activation, x: Tensor): Tensor {
  const { of } = activations[activation];
  const wide = linear(expand, x);
  return linear(contract, gate === undefined ? of(wide) : multiply(of(linear(gate, x)), wide));
}

/** The layer as a branch, which keeps nothing of the tokens before. */
export function feedForwardBranch(
  options: FeedForwardOptions,
): Branch<FeedForwardParams, Record<never, never>, Record<never, never>> {
  return {
    params: feedForwardLayout(options),
    buffers: {},
    state: () => ({}),
    apply: ({ params }, x) => ({
      output: inChunks(options.chunk ?? Infinity, params, x, (own, rows) => feedForward(own, options.activation, rows)),
      state: {},
    }),
  };
}
