/**
 * What stands around a branch in the residual stream:
 *
 * - pre-norm, x + branch(norm(x)): the stream itself is never normalised but once at the end;
 * - post-norm, norm(x + branch(x)), as the first Transformer had it (Vaswani et al. 2017), with no norm at the end;
 * - ReZero, x + α·branch(x) with a learned α that begins at 0 (Bachlechner et al. 2020), and no norm but at the end.
 */
import * as z from 'zod';
import { filled, type ParameterSpec } from '../base/layout.js';
import { choice, option } from '../base/options.js';
import { multiply, type Tensor } from '../graph/index.js';
import { applyNorm, type NormParams, normLayout } from './normalization.js';

const placement = option(
  z.enum(['pre', 'post']).default('pre'),
  'whether norms stand before the layers, or behind their sums with the residual stream',
  { flag: 'norm-placement' },
);

const epsilon = option(
  z.number().positive().max(1).default(1e-5),
  'what norms add to the mean of the squares before its root',
  { flag: 'norm-epsilon' },
);

/** The norm as an option of models. */
export const normChoice = choice(
  'kind',
  [
    z.strictObject({ kind: z.literal('layer'), placement, epsilon }),
    z.strictObject({ kind: z.literal('rms'), placement, epsilon }),
    z.strictObject({ kind: z.literal('scale'), placement, epsilon }),
    z.strictObject({ kind: z.literal('rezero') }),
  ],
  'layer',
);

/** The norm of a model, and where it stands. */
export type NormOptions = z.output<typeof normChoice>;

/** The step around a branch: `leave(x + scale(branch(enter(x))))`. */
export interface Residual {
  /** The name of its parameters behind that of the branch. */
  readonly part: 'Norm' | 'Gain';
  readonly params: NormParams<ParameterSpec>;
  enter(params: NormParams, x: Tensor): Tensor;
  scale(params: NormParams, branch: Tensor): Tensor;
  leave(params: NormParams, sum: Tensor): Tensor;
}

export function residual(norm: NormOptions, dim: number): Residual {
  const same = (_: NormParams, x: Tensor) => x;
  if (norm.kind === 'rezero') {
    return {
      part: 'Gain',
      params: { weight: filled([1], 0) },
      ...{ enter: same, leave: same, scale: ({ weight }, branch) => multiply(branch, weight) },
    };
  }
  const apply = normOf(norm);
  const [enter, leave] = norm.placement === 'pre' ? [apply, same] : [same, apply];
  return { part: 'Norm', params: normLayout(norm.kind, dim), enter, scale: same, leave };
}

/** The norm as the options have it. */
export function normOf(norm: NormOptions): (params: NormParams, x: Tensor) => Tensor {
  return (params, x) => applyNorm(params, x, 'epsilon' in norm ? norm.epsilon : undefined);
}

/** The norm behind the last block: none after post-norm, and LayerNorm for ReZero, whose stream has no scale of its own. */
export function lastNormLayout(norm: NormOptions, dim: number): NormParams<ParameterSpec> | undefined {
  return norm.kind === 'rezero' || norm.placement === 'pre' ? ownNormLayout(norm, dim) : undefined;
}

/** A norm that stands by itself, beside those of the layers: LayerNorm for ReZero, whose layers have none. */
export function ownNormLayout({ kind }: NormOptions, dim: number): NormParams<ParameterSpec> {
  return normLayout(kind === 'rezero' ? 'layer' : kind, dim);
}
