/**
 * Expectations over a random direction u, uniform on the sphere in `dim` dimensions, and over sums of two such vectors: what the
 * errors of orthogonal and of regularised projections are made of (`projection-law.ts`).
 *
 *   E e^{s u₁} = ₀F₁(dim/2; s²/4)       E cos(s u₁) = ₀F₁(dim/2; −s²/4)      (Bessel functions)
 *
 * A sum of two orthogonal vectors with independent chi(dim) lengths has a squared length of chi²(2·dim), so that of it
 *
 *   E e^{s e·(w₁+w₂)} = ₁F₁(dim; dim/2; s²/2)    E cos(s e·(w₁+w₂)) = ₁F₁(dim; dim/2; −s²/2) = e^{−s²/2} ₁F₁(−dim/2; dim/2; s²/2).
 */

/** log Σₖ tₖ of positive terms from t₀ = 1 and their ratios tₖ₊₁/tₖ, which fall below 1. */
function logSeries(ratio: (k: number) => number): number {
  let [term, top, total] = [0, 0, 1];
  for (let k = 0; ; k++) {
    const factor = ratio(k);
    if (factor === 0) break;
    term += Math.log(factor);
    if (term > top) {
      total = total * Math.exp(top - term) + 1;
      top = term;
    } else {
      total += Math.exp(term - top);
      if (factor < 0.9 && term < top - 40) break;
    }
  }
  return top + Math.log(total);
}

/** log E e^{s u₁} */
export function logSphereMean(dim: number, s: number): number {
  const x = (s * s) / 4;
  return logSeries((k) => x / ((k + 1) * (dim / 2 + k)));
}

/** log E e^{s e·(w₁+w₂)}, w₁ and w₂ orthogonal with lengths chi(dim). */
export function logOrthogonalPairMean(dim: number, s: number): number {
  const x = (s * s) / 2;
  return logSeries((k) => (x * (dim + k)) / ((k + 1) * (dim / 2 + k)));
}

/** E cos(s e·(w₁+w₂)), alike: alternating, but with terms that together are at most e^{s²/2}, which stands in front. */
export function orthogonalPairCosine(dim: number, s: number): number {
  const x = (s * s) / 2;
  let [term, total] = [Math.exp(-x), 0];
  if (term === 0) return 0;
  for (let k = 0; term !== 0; k++) {
    total += term;
    const next = (term * x * (k - dim / 2)) / ((k + 1) * (dim / 2 + k));
    if (k > x && Math.abs(next) < 1e-18) break;
    term = next;
  }
  return total;
}

/** E cos(s u₁), by the midpoint rule over the angle, with enough points for every wave of the cosine. */
export function sphereCosine(dim: number, s: number): number {
  if (dim === 1) return Math.cos(s);
  const points = 256 + 4 * Math.ceil(Math.abs(s));
  let [total, weights] = [0, 0];
  for (let point = 0; point < points; point++) {
    const angle = (Math.PI * (point + 0.5)) / points;
    const weight = Math.sin(angle) ** (dim - 2);
    total += weight * Math.cos(s * Math.cos(angle));
    weights += weight;
  }
  return total / weights;
}
