/** What twins in float64 are made of: plain loops over rows, and the layers of a file by their names in it, as PyTorch has them. */
import type { AnyHostTensor } from '../../src/base/index.js';

export type Rows = readonly (readonly number[])[];
export type Tensors = ReadonlyMap<string, AnyHostTensor>;

export const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
export const dot = (a: readonly number[], b: readonly number[]) => sum(a.map((value, at) => value * b[at]!));
export const plus = (a: Rows, b: Rows): Rows => a.map((row, at) => row.map((value, index) => value + b[at]![index]!));

/** The error function by its series, which is right to 1e-12 for arguments of these tests. */
function errorFunction(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, total] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

export const gelu = (x: number) => 0.5 * x * (1 + errorFunction(x / Math.SQRT2));

/** The tensors and layers of a file. */
export function layersOf(tensors: Tensors) {
  const values = (name: string) => Array.from(tensors.get(name)!.data as Float32Array);
  const matrix = (name: string): Rows => {
    const [data, width] = [values(name), tensors.get(name)!.shape.at(-1)!];
    return Array.from({ length: data.length / width }, (_, row) => data.slice(row * width, (row + 1) * width));
  };
  return {
    values,
    matrix,
    linear(name: string, rows: Rows): Rows {
      const weight = matrix(`${name}.weight`);
      const bias = tensors.has(`${name}.bias`) ? values(`${name}.bias`) : weight.map(() => 0);
      return rows.map((row) => weight.map((own, at) => dot(row, own) + bias[at]!));
    },
    normalized(name: string, rows: Rows, epsilon: number): Rows {
      const [weight, bias] = [values(`${name}.weight`), values(`${name}.bias`)];
      return rows.map((row) => {
        const mean = sum(row) / row.length;
        const deviation = Math.sqrt(sum(row.map((value) => (value - mean) ** 2)) / row.length + epsilon);
        return row.map((value, at) => ((value - mean) / deviation) * weight[at]! + bias[at]!);
      });
    },
  };
}

/** Exact softmax attention of all heads, without a causal order. */
export function softmaxAttention(query: Rows, key: Rows, value: Rows, heads: number): Rows {
  const width = query[0]!.length / heads;
  const part = (row: readonly number[], head: number) => row.slice(head * width, (head + 1) * width);
  return query.map((row) =>
    Array.from({ length: heads }, (_, head) => {
      const weights = key.map((other) => Math.exp(dot(part(row, head), part(other, head)) / Math.sqrt(width)));
      const total = sum(weights);
      return part(value[0]!, head).map(
        (_, channel) => sum(weights.map((weight, at) => weight * part(value[at]!, head)[channel]!)) / total,
      );
    }).flat(),
  );
}
