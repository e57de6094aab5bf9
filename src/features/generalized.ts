/**
 * Generalised attention (section 2.3 and appendix B.3 of the paper): φ(x) = (f(Ωx) + ε) / √features for x scaled by dim^(−1/4),
 * or f(x) + ε without a projection. The kernel is whatever E[f(ωᵀq) f(ωᵀk)] is: for relu half the arc-cosine kernel of
 * degree 1 (Cho & Saul 2009), for step half that of degree 0 (`kernels/arc-cosine.ts`), for tanh, gelu and sigmoid one without a name.
 *
 * Products of features are added up as they are, so that their size bounds the rows: over |Ωx|·dim^(−1/4) up to 10¹⁵ for
 * relu, elu, softplus, abs, gelu and identity, and 10⁷ for square, attention to a million keys times features stays within
 * float32; beyond, outputs are NaN or zeros. The others are bounded, and take rows up to a norm of 10¹⁸; cos is a cosine of what
 * float32 makes of Ωx, which is off by 2⁻²⁴ of its size.
 *
 * ε (google-research: 1e-3) keeps the denominators of maps that are never negative above zero, and is part of their kernel.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { option } from '../base/options.js';
import {
  abs,
  add,
  cast,
  cos,
  exp,
  gelu,
  less,
  matmul,
  minimum,
  multiply,
  relu,
  sigmoid,
  softplus,
  square,
  stopGradient,
  type Tensor,
  tanh,
  where,
} from '../graph/index.js';
import { featureFamily, need, projectionBuffer } from './family.js';
import type { FeatureMap } from './feature-map.js';
import { attentionScale, constantLogScale } from './gauge.js';

/** 1 above zero, 0 elsewhere. It has no gradient: queries and keys behind it learn nothing. */
function step(x: Tensor): Tensor {
  return cast(less(0, x), 'float32');
}

/** exp(x) below zero, x + 1 above. */
function eluPlusOne(x: Tensor): Tensor {
  return where(less(0, x), add(x, 1), exp(minimum(x, 0)));
}

/** A function f of generalised features. */
export interface Nonlinearity {
  /** Of each element alone, with a gradient. */
  readonly f: (x: Tensor) => Tensor;
  /** Whether f is negative somewhere. */
  readonly isSigned: boolean;
}

/** The names of the functions f that are built in. */
export type NonlinearityName =
  | 'relu'
  | 'step'
  | 'elu'
  | 'sigmoid'
  | 'softplus'
  | 'abs'
  | 'square'
  | 'gelu'
  | 'tanh'
  | 'cos'
  | 'identity';

/** The functions that have a name. `exponential` is one too, and has a file of its own since it can overflow. */
export const nonlinearities: Readonly<Record<NonlinearityName, Nonlinearity>> = {
  relu: { f: relu, isSigned: false },
  step: { f: step, isSigned: false },
  elu: { f: eluPlusOne, isSigned: false },
  sigmoid: { f: sigmoid, isSigned: false },
  softplus: { f: softplus, isSigned: false },
  abs: { f: abs, isSigned: false },
  square: { f: square, isSigned: false },
  gelu: { f: gelu, isSigned: true },
  tanh: { f: tanh, isSigned: true },
  cos: { f: cos, isSigned: true },
  identity: { f: (x) => x, isSigned: true },
};

/** The ε of maps that are never negative, as google-research has it; others get none, and a guard in attention. */
export const defaultKernelEpsilon = 1e-3;

/** What generalised features f(w·x) have beside f. */
export interface GeneralizedOptions {
  /** Added to every feature, finite, 0 or more. Default 1e-3 where f is never negative, else 0. */
  readonly epsilon?: number | undefined;
}

/** A function f of one’s own, with a name for messages. */
export interface UserNonlinearity extends Nonlinearity {
  readonly name: string;
}

/**
 * φ(x) = f(Ωx) + ε for a function by name, or for one of yours over the graph's ops. With a projection Ω [features, dim]
 * the features are random; without, they are f(x), as many as `dim`.
 *
 * @throws CONFIG for an unknown name, or an epsilon below 0 or not finite.
 */
export function generalizedFeatures(
  nonlinearity: NonlinearityName | UserNonlinearity,
  dim: number,
  projection?: Tensor,
  { epsilon: given }: GeneralizedOptions = {},
): FeatureMap {
  const known: UserNonlinearity | undefined =
    typeof nonlinearity !== 'string'
      ? nonlinearity
      : Object.hasOwn(nonlinearities, nonlinearity)
        ? { name: nonlinearity, ...nonlinearities[nonlinearity] }
        : undefined;
  if (known === undefined) {
    const names = Object.keys(nonlinearities).join(', ');
    throw new PerformerError(
      'CONFIG',
      `generalizedFeatures: expected a function or one of ${names}, got ${nonlinearity}.`,
    );
  }
  const { name, f, isSigned } = known;
  const epsilon = given ?? (isSigned ? 0 : defaultKernelEpsilon);
  if (!(epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `generalizedFeatures: expected a finite epsilon of 0 or more, got ${given}.`);
  }
  const frozen = projection && stopGradient(projection);
  const count = projection?.staticDim(0) ?? dim;
  const features = (x: Tensor) => {
    const scale = attentionScale(x);
    const u = frozen === undefined ? multiply(x, scale) : matmul(x, frozen, { transposeRight: true, scale });
    const values = epsilon === 0 ? f(u) : add(f(u), epsilon);
    return frozen === undefined ? { values } : { values, logScale: constantLogScale(count ** -0.5) };
  };
  // Without ε, features that are never negative can all be zero.
  return { name, featureCount: count, isSigned: isSigned || epsilon === 0, query: features, key: features };
}

const kernelEpsilon = option(z.number().min(0).max(1).optional(), 'added to generalised features', {
  fallback: '0.001, or 0 where they are signed',
});

function generalizedFamily<const N extends NonlinearityName>(name: N, text: string) {
  return featureFamily({
    name,
    text,
    own: { kernelEpsilon },
    hasRandomRows: true,
    canBeDirect: true,
    isFlat: name === 'step',
    isSigned: (options) => nonlinearities[name].isSigned || options.kernelEpsilon === 0,
    buffers: (options) => projectionBuffer(options),
    build({ headDim, projectionKind, kernelEpsilon: epsilon }, { projection }) {
      const drawn = projectionKind === 'none' ? undefined : need(projection, 'a projection', name);
      return generalizedFeatures(name, headDim, drawn, { epsilon });
    },
  });
}

export const generalizedFamilies = [
  generalizedFamily('relu', 'half the arc-cosine kernel of degree 1'),
  generalizedFamily('step', 'half the arc-cosine kernel of degree 0; queries and keys learn nothing'),
  generalizedFamily('elu', 'elu + 1'),
  generalizedFamily('sigmoid', 'sigmoid'),
  generalizedFamily('softplus', 'softplus'),
  generalizedFamily('abs', 'absolute values'),
  generalizedFamily('square', 'squares'),
  generalizedFamily('gelu', 'gelu; signed'),
  generalizedFamily('tanh', 'tanh; signed'),
  generalizedFamily('cos', 'cosines; signed'),
  generalizedFamily('identity', 'the projections themselves: linear attention; signed'),
] as const;
