import { describe, expect, test } from 'vitest';
import { Random } from '../../src/base/random.js';
import { nodeEngine } from '../../src/engine/node.js';
import { ConjugateGradients, choleskySolver, multiplyRows, type RidgeSystem } from '../../src/machines/solve.js';

const engine = nodeEngine({ threads: 1 });

/** Eigenvalues that fall from 1 to `least`, as those of kernel matrices do. */
function system(size: number, outputs: number, least: number): RidgeSystem {
  const random = Random.fromSeed(4);
  const z = random.split('z').normals(size * size);
  const matrix = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let total = 0;
      for (let k = 0; k < size; k++) total += (z[row * size + k]! * z[column * size + k]! * least ** (k / size)) / size;
      matrix[row * size + column] = total;
      matrix[column * size + row] = total;
    }
  }
  return { size, outputs, matrix, right: random.split('right').normals(outputs * size) };
}

function relative(left: Float64Array, right: Float64Array): number {
  const norm = (x: Float64Array) => Math.sqrt(x.reduce((total, value) => total + value * value, 0));
  return norm(left.map((value, at) => value - right[at]!)) / norm(right);
}

describe('conjugate gradients in the engine', () => {
  const hard = system(200, 3, 1e-6);

  test('come to the solution of Cholesky in float64, for falling and for rising lambdas', async () => {
    const gradients = await ConjugateGradients.create(engine, hard);
    const cholesky = choleskySolver(hard);
    for (const lambda of [1e-1, 1e-3, 1e-5, 1e-2]) {
      const expected = await cholesky.solve(lambda);
      expect(relative(await gradients.solve(lambda), expected), String(lambda)).toBeLessThan(1e-3);
    }
    await gradients.dispose();
  });

  test('leave the residual that they promise', async () => {
    const gradients = await ConjugateGradients.create(engine, hard);
    for (const tolerance of [1e-2, 1e-4, 1e-7]) {
      const lambda = 1e-4;
      const x = await gradients.solve(lambda, tolerance);
      const image = multiplyRows(hard, x).map((value, at) => value + lambda * x[at]!);
      expect(relative(image, hard.right)).toBeLessThan(tolerance);
    }
    await gradients.dispose();
  });

  test('solve for outputs of very different sizes, and for one that is zero', async () => {
    const right = hard.right.map((value, at) => [1e-12 * value, 0, 1e12 * value][Math.floor(at / 200)]!);
    const gradients = await ConjugateGradients.create(engine, { ...hard, right });
    const solution = await gradients.solve(1e-2);
    const expected = await choleskySolver({ ...hard, right }).solve(1e-2);
    for (const output of [0, 2]) {
      const [start, end] = [output * 200, (output + 1) * 200];
      expect(relative(solution.subarray(start, end), expected.subarray(start, end))).toBeLessThan(1e-4);
    }
    expect(solution.subarray(200, 400).every((value) => value === 0)).toBe(true);
    await gradients.dispose();
  });

  test('say when lambda is too small for float32, and go on with a larger one', async () => {
    const indefinite = { ...hard, matrix: hard.matrix.map((value, at) => (at % 201 === 0 ? value - 1e-3 : value)) };
    const gradients = await ConjugateGradients.create(engine, indefinite);
    await expect(gradients.solve(1e-9)).rejects.toMatchObject({ code: 'NUMERIC' });
    expect(relative(await gradients.solve(0.1), await choleskySolver(indefinite).solve(0.1))).toBeLessThan(1e-4);
    await gradients.dispose();
    await expect(choleskySolver(indefinite).solve(1e-9)).rejects.toThrow(/not positive definite.*Raise lambda/);
  });
});
