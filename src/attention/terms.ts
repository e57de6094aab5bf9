/**
 * What the cores of attention give, and the one place that divides: o = Σ_t e^{s_t} num_t / Σ_t e^{s_t} den_t.
 *
 * Each term t stands for some of the keys that a query sees (those of a window, those of a state, all of them), by whatever
 * form of attention. Its sums are written as num_t and den_t with a logarithmic scale s_t for each row, so that they neither
 * overflow nor vanish, and terms over disjoint sets of keys share one denominator. A single term needs no scale, which then
 * is not computed.
 */
import {
  abs,
  add,
  and,
  exp,
  less,
  log,
  maximum,
  minimum,
  multiply,
  negate,
  or,
  reciprocal,
  scalar,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { denominatorFloor, guardDenominator } from './guard.js';
import { emptyLogScale } from './state.js';

/**
 * The sums of the keys of one term: Σⱼ K(q, kⱼ) vⱼ = e^{logScale}·numerator and Σⱼ K(q, kⱼ) = e^{logScale}·denominator.
 *
 * Gradients are right for these products: whoever reads terms otherwise than by `divideTerms` passes a gradient to
 * numerator, denominator and logScale alike. Without one of the logScale a core takes it that each row is divided by its own
 * denominator, so that the scale of the query cancels.
 */
export interface AttentionTerms {
  /** [batch, queries, heads, valueDim] */
  readonly numerator: Tensor;
  /** [batch, queries, heads, 1]; absent where it is 1 everywhere and the numerator a mean already. */
  readonly denominator: Tensor | undefined;
  /** [batch, queries, heads, 1] */
  readonly logScale: Tensor;
  /** The bound of the denominator, at the same scale, for kernels that can be zero or negative (guard.ts); [batch, queries, heads, 1]. */
  readonly mass?: Tensor | undefined;
  /** False for rows that see no key of the term; absent where each sees some. [batch, queries or 1, heads or 1, 1] */
  readonly visible?: Tensor<'bool'> | undefined;
}

/** The gradients of terms. */
export interface TermGradients {
  readonly numerator: Tensor;
  readonly denominator: Tensor;
  /** Given where the scale of the queries counts. */
  readonly logScale?: Tensor | undefined;
}

/** The output [batch, queries, heads, valueDim] of terms over disjoint sets of keys; zeros for rows that see no key. */
export function divideTerms(first: AttentionTerms, ...others: readonly AttentionTerms[]): Tensor {
  const { numerator, denominator, visible, mass } = others.length === 0 ? first : addTerms([first, ...others]);
  if (denominator === undefined) return visible === undefined ? numerator : where(visible, numerator, scalar(0));
  const { guarded, isOwn } =
    mass === undefined ? { guarded: denominator, isOwn: undefined } : guardDenominator(denominator, mass);
  const inverse = inverseOf(guarded, visible);
  const output = multiply(numerator, inverse);
  // ∂num = g/den, ∂den = −(g·o)/den, which need the output and the inverse alone; a denominator that was raised is a constant.
  return withGradient([numerator, denominator], [output], ([g]) => {
    const ofNumerator = multiply(g!, inverse);
    const ofDenominator = negate(sum(multiply(ofNumerator, output), -1, true));
    return [ofNumerator, isOwn === undefined ? ofDenominator : where(isOwn, ofDenominator, scalar(0))];
  })[0]!;
}

/** Parts are at most all that they are parts of, but for rounding: this keeps rows without any key finite. */
const largestExponent = 80;

/** The part of an estimate below which what is left of it counts for nothing: some rounding of float32 at scales of e^±100. */
const smallestRest = 2 ** -12;

/**
 * The terms of the keys of `all` that are in none of the parts, which are means over sets of its keys, disjoint and weighted by
 * the same positive features. Where they are nearly all of it, what is left would be rounding: such a row sees no other key.
 */
export function withoutParts(all: AttentionTerms, parts: readonly AttentionTerms[]): AttentionTerms {
  const { numerator, denominator: own, logScale, visible } = all;
  const denominator = own ?? scalar(1);
  const weights = parts.map((part) => {
    const weight = exp(minimum(subtract(part.logScale, logScale), largestExponent));
    return part.visible === undefined ? weight : where(part.visible, weight, scalar(0));
  });
  const rest = weights.reduce((total, weight) => subtract(total, weight), denominator);
  const isSome = less(multiply(denominator, smallestRest), rest);
  return {
    numerator: parts.reduce((total, part, at) => subtract(total, multiply(part.numerator, weights[at]!)), numerator),
    denominator: rest,
    logScale,
    visible: visible === undefined ? isSome : and(visible, isSome),
  };
}

/** 1/den; zero for rows that see no key. */
export function inverseOf(denominator: Tensor, visible: Tensor<'bool'> | undefined): Tensor {
  if (visible === undefined) return reciprocal(denominator);
  return where(visible, reciprocal(where(visible, denominator, scalar(1))), scalar(0));
}

/** A row's largest denominator becomes about 1; below this part of their scales denominators are taken for zero. */
const smallest = 2 ** -60;

/** Terms over disjoint sets of keys as one. */
export function addTerms(terms: readonly AttentionTerms[]): AttentionTerms {
  const isSigned = terms.some(({ mass }) => mass !== undefined);
  const parts = terms.map((term) => {
    const { numerator, visible, mass, denominator: own } = term;
    const denominator = own ?? scalar(1);
    const size = mass === undefined ? abs(denominator) : maximum(abs(denominator), multiply(mass, denominatorFloor));
    const shown = visible === undefined ? term.logScale : where(visible, term.logScale, scalar(emptyLogScale));
    return { numerator, denominator, mass: mass ?? denominator, shown, top: add(shown, log(maximum(size, smallest))) };
  });
  const logScale = stopGradient(parts.map(({ top }) => top).reduce((a, b) => maximum(a, b)));
  const factors = parts.map(({ shown }) => exp(subtract(shown, logScale)));
  const total = (name: 'numerator' | 'denominator' | 'mass') =>
    parts.map((part, at) => multiply(part[name], factors[at]!)).reduce((a, b) => add(a, b));
  const masks = terms.map(({ visible }) => visible).filter((visible) => visible !== undefined);
  return {
    numerator: total('numerator'),
    denominator: total('denominator'),
    logScale,
    mass: isSigned ? stopGradient(total('mass')) : undefined,
    visible: masks.length === terms.length ? masks.reduce((a, b) => or(a, b)) : undefined,
  };
}
