import { expect, test } from 'vitest';
import type { HostTensor } from '../../src/base/array.js';
import { float32 } from '../../src/base/array.js';
import { Random } from '../../src/base/random.js';
import { nodeEngine } from '../../src/engine/node.js';
import { spec, type Tensor } from '../../src/graph/index.js';
import { drawMachineProjection, machineFeatures } from '../../src/machines/features.js';
import { BatchProducts, NormalEquations, squaredError } from '../../src/machines/normal-equations.js';

const engine = nodeEngine({ threads: 1 });
const [rows, dim, size, batch] = [40_960, 4, 16, 1024];
const x = Float32Array.from(Random.fromSeed(1).normals(rows * dim));
const y = Float32Array.from({ length: rows * 2 }, (_, at) => 3 + x[Math.floor(at / 2) * dim]! * (at % 2));
const choice = {
  kernel: 'gaussian',
  map: 'trigonometric',
  projectionKind: 'orthogonal',
  rowNorm: 'chi',
  gamma: 0.1,
  seed: 0,
  featureCount: size,
} as const;
const projection = drawMachineProjection('test', choice, dim).projection!;
const features = machineFeatures('test', choice, dim, projection);

async function accumulated(): Promise<{ sums: NormalEquations; inFloat32: Float32Array }> {
  const products = await BatchProducts.compile(engine, features, 2);
  const sums = new NormalEquations(size, 2);
  const inFloat32 = new Float32Array(size * size);
  for (let start = 0; start < rows; start += batch) {
    const targets = y.subarray(start * 2, (start + batch) * 2);
    const part = await products.run(x.subarray(start * dim, (start + batch) * dim), targets);
    sums.add(part, targets);
    part.gram.data.forEach((value, at) => {
      inFloat32[at]! += value;
    });
  }
  await products.dispose();
  return { sums, inFloat32 };
}

/** φ of all rows as the engine gives it. */
async function allFeatures(): Promise<Float32Array> {
  const map = await engine.compile(
    (inputs: { x: Tensor }, parts: { projection: Tensor }) => features.apply(inputs.x, parts.projection),
    [{ x: spec('float32', [rows, dim]) }, { projection: spec('float32', projection.shape) }],
  );
  const result = await map.run([{ x: float32([rows, dim], x) }, { projection }]);
  await map.dispose();
  return (result as unknown as HostTensor).data;
}

test('sums in float64 lose nothing over many batches, where sums in float32 do', async () => {
  const { sums, inFloat32 } = await accumulated();
  const phi = await allFeatures();
  const { matrix, featureMean } = sums.centred();
  let [error, float32Error, norm] = [0, 0, 0];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let exact = 0;
      for (let row = 0; row < rows; row++) exact += phi[row * size + i]! * phi[row * size + j]!;
      const own = (matrix[i * size + j]! + featureMean[i]! * featureMean[j]!) * rows;
      error += (own - exact) ** 2;
      float32Error += (inFloat32[i * size + j]! - exact) ** 2;
      norm += exact ** 2;
    }
  }
  expect(Math.sqrt(error / norm)).toBeLessThan(3e-8);
  expect(Math.sqrt(error / float32Error)).toBeLessThan(0.5);
});

test('the squared error of weights follows from the sums', async () => {
  const { sums } = await accumulated();
  const phi = await allFeatures();
  const weights = Random.fromSeed(2).normals(2 * size);
  const intercepts = Float64Array.of(1, -2);
  let expected = 0;
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < 2; output++) {
      let value = intercepts[output]! - y[row * 2 + output]!;
      for (let at = 0; at < size; at++) value += phi[row * size + at]! * weights[output * size + at]!;
      expected += value * value;
    }
  }
  expect(squaredError(sums.centred(), weights, intercepts) / (expected / rows)).toBeCloseTo(1, 6);
});

test('sums of parts of the rows merge to those of all', async () => {
  const { sums } = await accumulated();
  const whole = sums.centred();
  const twice = (await accumulated()).sums;
  twice.merge(sums);
  expect(twice.rows).toBe(2 * rows);
  twice.centred().matrix.forEach((value, at) => {
    expect(value).toBeCloseTo(whole.matrix[at]!, 12);
  });
});
