/** φ of one row by the formula of each family, in plain float64 loops that share nothing with the graph. */
import type { HostTensor } from '../../src/base/index.js';
import { rowsOf } from './attention-oracle.js';
import type { FeatureRow, OracleMap } from './map-oracle.js';

type Vector = Float64Array;

/** Σ left·right and Σ |left·right|. */
function products(left: Vector, right: Vector): { sum: number; size: number } {
  let [sum, size] = [0, 0];
  for (let i = 0; i < left.length; i++) {
    sum += left[i]! * right[i]!;
    size += Math.abs(left[i]! * right[i]!);
  }
  return { sum, size };
}

const halfNorm = (x: Vector) => products(x, x).sum / 2;
const scaled = (x: Vector, factor = x.length ** -0.25) => x.map((value) => value * factor);

/** Positive features from log φ, each off by `exponents` roundings. */
function fromLogs(log: number[], exponents: number[]): FeatureRow {
  return {
    sign: new Float64Array(log.length).fill(1),
    log: new Float64Array(log),
    doubt: new Float64Array(log.map((value, at) => value + Math.log(1 + exponents[at]!))),
    scale: Math.max(...log) + Math.log(log.length), // at least the sum of φ, by which the values are divided
  };
}

/** Features from values e^scale·φ, each off by `doubts` roundings. */
function fromValues(values: number[], doubts: number[], scale = 0): FeatureRow {
  return {
    sign: new Float64Array(values.map(Math.sign)),
    log: new Float64Array(values.map((value) => Math.log(Math.abs(value)) + scale)),
    doubt: new Float64Array(doubts.map((value) => Math.log(value) + scale)),
    scale,
  };
}

function same(isSigned: boolean, row: OracleMap['query']): OracleMap {
  return { isSigned, query: row, key: row };
}

interface Kernel {
  /** Of the Gaussian kernel exp(−γ|q − k|²). */
  readonly gamma?: number;
}

/** log φ = Ωx − |x|²/2 − ½ log features, over ±Ω for antithetic pairs; −|x|² for the Gaussian kernel; no norm at all. */
export function exponentialRows(
  projection: HostTensor | undefined,
  { gamma, isPaired = false, hasNorm = true }: Kernel & { isPaired?: boolean; hasNorm?: boolean } = {},
): OracleMap {
  const rows = projection && rowsOf(projection);
  return same(false, (raw) => {
    const x = gamma === undefined ? scaled(raw) : scaled(raw, Math.sqrt(2 * gamma));
    const u =
      rows === undefined ? [...x].map((sum) => ({ sum, size: Math.abs(sum) })) : rows.map((w) => products(w, x));
    const all = isPaired ? [...u, ...u.map(({ sum, size }) => ({ sum: -sum, size }))] : u;
    const h = !hasNorm ? 0 : (gamma === undefined ? 1 : 2) * halfNorm(x);
    return fromLogs(
      all.map(({ sum }) => sum - h - Math.log(all.length) / 2),
      all.map(({ size }) => size + h),
    );
  });
}

export function trigonometricRows(projection: HostTensor, { gamma }: Kernel = {}): OracleMap {
  const rows = rowsOf(projection);
  return same(true, (raw) => {
    const x = gamma === undefined ? scaled(raw) : scaled(raw, Math.sqrt(2 * gamma));
    const h = gamma === undefined ? halfNorm(x) : 0;
    const u = rows.map((w) => products(w, x));
    const factor = 1 / Math.sqrt(rows.length);
    return fromValues(
      [...u.map(({ sum }) => Math.sin(sum) * factor), ...u.map(({ sum }) => Math.cos(sum) * factor)],
      [...u, ...u].map(({ size }) => (size + h + 1) * factor),
      h,
    );
  });
}

export interface HostShape {
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly curvature: HostTensor;
}

/**
 * Π(1 − 4a)^{1/4} exp(Σ aω² + Σ √(1 − 4a) ω·Tx − |Tx|²/2)/√features. A rotation T is one to float32 only: |x|² stands for
 * |Tx|² then.
 */
export function shapedRows(projection: HostTensor, shape: HostShape, isRotation: boolean): OracleMap {
  const rows = rowsOf(projection);
  const dim = projection.shape[1]!;
  const side = (name: 'query' | 'key'): OracleMap['query'] => {
    const transforms = Float64Array.from(shape[name].data as Float32Array);
    return (raw, { head }) => {
      const x = scaled(raw);
      const a = Float64Array.from(shape.curvature.data.slice(head * dim, (head + 1) * dim) as Float32Array);
      const z = Array.from({ length: dim }, (_, l) =>
        products(transforms.subarray((head * dim + l) * dim, (head * dim + l + 1) * dim), x),
      );
      const h = isRotation ? halfNorm(x) : z.reduce((total, { sum }) => total + sum ** 2 / 2, 0);
      const hSize = z.reduce((total, { sum, size }) => total + Math.abs(sum) * size, 0);
      const widening = a.reduce((total, value) => total + Math.log(1 - 4 * value) / 4, 0);
      const terms = rows.map((w) => {
        let [log, size] = [widening - h, widening + hSize];
        for (let l = 0; l < dim; l++) {
          const factor = Math.sqrt(1 - 4 * a[l]!) * w[l]!;
          log += a[l]! * w[l]! ** 2 + factor * z[l]!.sum;
          size += Math.abs(a[l]!) * w[l]! ** 2 + Math.abs(factor) * z[l]!.size;
        }
        return { log: log - Math.log(rows.length) / 2, size };
      });
      return fromLogs(
        terms.map(({ log }) => log),
        terms.map(({ size }) => size),
      );
    };
  };
  return { isSigned: false, query: side('query'), key: side('key') };
}

/** (f(Ωx) + ε)/√features, or f(x) + ε. Rational and polynomial approximations of f may be off by an absolute unit. */
export function generalizedRows(
  f: (u: number) => number,
  { projection, epsilon, isSigned }: { projection?: HostTensor | undefined; epsilon: number; isSigned: boolean },
): OracleMap {
  const rows = projection && rowsOf(projection);
  return same(isSigned, (raw) => {
    const x = scaled(raw);
    const u =
      rows === undefined ? [...x].map((sum) => ({ sum, size: Math.abs(sum) })) : rows.map((w) => products(w, x));
    const factor = rows === undefined ? 1 : rows.length ** -0.5;
    const slope = (at: number) => Math.abs(f(at + 1e-3) - f(at - 1e-3)) / 2e-3;
    return fromValues(
      u.map(({ sum }) => (f(sum) + epsilon) * factor),
      u.map(({ sum, size }) => (slope(sum) * size + Math.abs(f(sum)) + epsilon + 1) * factor),
    );
  });
}

/** 1, the components, and the products of pairs, those of equals over √2. */
export function taylorRows(): OracleMap {
  return same(false, (raw) => {
    const x = scaled(raw);
    const pairs = [...x].flatMap((left, i) =>
      [...x.subarray(i)].map((right, at) => (at === 0 ? Math.SQRT1_2 : 1) * left * right),
    );
    const values = [1, ...x, ...pairs];
    return fromValues(
      values,
      values.map((value) => 2 * Math.abs(value)),
    );
  });
}

/** Π_t s_t·[x, √offset] / √features, where row t·features + f of the signs belongs to feature f. */
export function polynomialRows(signs: HostTensor, degree: number, offset: number): OracleMap {
  const rows = rowsOf(signs);
  const count = rows.length / degree;
  return same(true, (raw) => {
    const x = Float64Array.from([...scaled(raw), Math.sqrt(offset)]);
    const factors = Array.from({ length: count }, (_, f) =>
      Array.from({ length: degree }, (_, t) => products(rows[t * count + f]!, x)),
    );
    const product = (values: number[]) => values.reduce((a, b) => a * b, 1) * count ** -0.5;
    return fromValues(
      factors.map((terms) => product(terms.map(({ sum }) => sum))),
      factors.map((terms) =>
        terms.reduce(
          (total, _, t) => total + Math.abs(product(terms.map(({ sum, size }, s) => (s === t ? size : sum)))),
          0,
        ),
      ),
    );
  });
}

export function cosformerRows(span: number): OracleMap {
  return same(true, (raw, { position }) => {
    const y = [...scaled(raw)].map((value) => Math.max(value, 0));
    const angle = (Math.PI * position) / (2 * span);
    return fromValues(
      [...y.map((value) => value * Math.cos(angle)), ...y.map((value) => value * Math.sin(angle))],
      [...y, ...y].map((value) => value * (2 + angle)),
    );
  });
}

/** [softmax(xW), softmax(−xW)] with W of the head. */
export function learnedRows(weights: { readonly query: HostTensor; readonly key: HostTensor }): OracleMap {
  const dim = weights.query.shape[1]!;
  const side = (name: 'query' | 'key'): OracleMap['query'] => {
    const { shape, data } = weights[name];
    const columns = Array.from({ length: shape[0]! * dim }, (_, at) =>
      Float64Array.from({ length: dim }, (_, row) =>
        Number(data[(Math.floor(at / dim) * dim + row) * dim + (at % dim)]),
      ),
    );
    return (x, { head }) => {
      const u = columns.slice(head * dim, (head + 1) * dim).map((column) => products(x, column));
      const exponent = 2 * Math.max(...u.map(({ size }) => size));
      const logs = [1, -1].flatMap((sign) => {
        const top = Math.max(...u.map(({ sum }) => sign * sum));
        const total = u.reduce((sum, term) => sum + Math.exp(sign * term.sum - top), 0);
        return u.map(({ sum }) => sign * sum - top - Math.log(total));
      });
      return {
        ...fromLogs(
          logs,
          logs.map(() => exponent),
        ),
        scale: 0,
      };
    };
  };
  return { isSigned: false, query: side('query'), key: side('key') };
}
