import { Matrix, SVD } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { float32, float32Scalar, type HostTensor, leavesOf, mapTree } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { spec } from '../../src/graph/index.js';
import { crossEntropy } from '../../src/tasks/index.js';
import { defaultOptimizer, initMoments, learningRateAt, momentsLike, updateParams } from '../../src/training/index.js';
import { normal } from '../support/cases.js';
import { values } from '../support/compare.js';

const oracle = referenceEngine();

/** AdamW as Loshchilov & Hutter write it (algorithm 2), with clipping before it. */
function adamW(
  p: { matrix: number[]; vector: number[] },
  g: { matrix: number[]; vector: number[] },
  updates: number,
  { beta1, beta2, epsilon, weightDecay, clipNorm }: typeof defaultOptimizer,
  rate: number,
) {
  const norm = Math.hypot(...g.matrix, ...g.vector);
  const clip = Math.min(1, clipNorm / norm);
  const step = (x: number[], gradient: number[], decay: number) => {
    let m = gradient.map(() => 0);
    let v = gradient.map(() => 0);
    let now = x;
    for (let t = 1; t <= updates; t++) {
      m = m.map((value, i) => beta1 * value + (1 - beta1) * clip * gradient[i]!);
      v = v.map((value, i) => beta2 * value + (1 - beta2) * (clip * gradient[i]!) ** 2);
      now = now.map((value, i) => {
        const mean = m[i]! / (1 - beta1 ** t);
        const square = v[i]! / (1 - beta2 ** t);
        return value - rate * (mean / (Math.sqrt(square) + epsilon) + decay * value);
      });
    }
    return now;
  };
  return { norm, matrix: step(p.matrix, g.matrix, weightDecay), vector: step(p.vector, g.vector, 0) };
}

describe('AdamW', () => {
  it.each([0.5, 100])(
    'follows the published update for three steps, clipped at %s and with no decay on vectors',
    async (clipNorm) => {
      const optimizer = { ...defaultOptimizer, clipNorm };
      const params = { matrix: normal('p', [3, 4]), vector: normal('q', [4]) };
      const gradients = { gm: normal('g', [3, 4]), gv: normal('h', [4]) };
      const specs = { matrix: spec('float32', [3, 4]), vector: spec('float32', [4]) };
      const executable = await oracle.compile(
        (p, moments, { gm, gv }, scalars) => updateParams(p, { matrix: gm, vector: gv }, moments, scalars, optimizer),
        [
          specs,
          { firstMoment: specs, secondMoment: specs },
          { gm: specs.matrix, gv: specs.vector },
          { learningRate: spec('float32', []), update: spec('float32', []) },
        ],
      );
      const empty = () => ({
        matrix: float32([3, 4], new Float32Array(12)),
        vector: float32([4], new Float32Array(4)),
      });
      let state = { params: params as never, moments: { firstMoment: empty(), secondMoment: empty() } as never };
      let norm = 0;
      for (let t = 1; t <= 3; t++) {
        const scalars = { learningRate: float32Scalar(0.25), update: float32Scalar(t) };
        const result = await executable.run([state.params, state.moments, gradients, scalars]);
        norm = values(result.gradientNorm)[0]!;
        state = { params: result.params as never, moments: result.moments as never };
      }
      const expected = adamW(
        { matrix: values(params.matrix), vector: values(params.vector) },
        { matrix: values(gradients.gm), vector: values(gradients.gv) },
        3,
        optimizer,
        0.25,
      );
      const got = state.params as unknown as typeof params;
      expect(norm).toBeCloseTo(expected.norm, 10);
      values(got.matrix).forEach((value, i) => expect(value).toBeCloseTo(expected.matrix[i]!, 9));
      values(got.vector).forEach((value, i) => expect(value).toBeCloseTo(expected.vector[i]!, 9));
    },
  );
});

/** polar(M) by the iterations of Jordan et al., written for M as it is. */
function polarOf(matrix: Matrix): Matrix {
  let x = Matrix.div(matrix, matrix.norm('frobenius'));
  for (let index = 0; index < 5; index++) {
    const gram = x.mmul(x.transpose());
    const change = Matrix.add(Matrix.mul(gram, -4.775), Matrix.mul(gram.mmul(gram), 2.0315));
    x = Matrix.add(Matrix.mul(x, 3.4445), change.mmul(x));
  }
  return x;
}

const rate = 0.25;

/** Some updates of one matrix of a block and a vector beside it, by Muon; each time with the same gradients. */
async function stepped(weights: HostTensor, gradient: HostTensor, updates: number, optimizer = defaultOptimizer) {
  const like = (matrix: HostTensor) => ({ blocks: { 0: { query: { weight: matrix, bias: normal('b', [4]) } } } });
  type Params = ReturnType<typeof like>;
  const [params, gradients] = [like(weights), like(gradient)];
  const specs = mapTree(params, ({ shape }: HostTensor) => spec('float32', shape)) as unknown as object;
  const scalarSpec = spec('float32', []);
  const executable = await oracle.compile(
    (p: object, moments, { g }: { g: object }, scalars) => updateParams(p, g, moments, scalars, optimizer),
    [specs, momentsLike(specs, 'muon'), { g: specs }, { learningRate: scalarSpec, update: scalarSpec }] as const,
  );
  let [now, moments]: [object, object] = [params, initMoments<object>(params, 'muon')];
  for (let t = 1; t <= updates; t++) {
    const scalars = { learningRate: float32Scalar(rate), update: float32Scalar(t) };
    const result = await executable.run([now, moments as never, { g: gradients }, scalars]);
    [now, moments] = [result.params, result.moments];
  }
  return { params: now as Params, moments };
}

function matrixOf({ shape, data }: HostTensor): Matrix {
  return Matrix.from1DArray(shape[0]!, shape[1]!, Array.from(data, Number));
}

describe('Muon', () => {
  it.each([
    ['wide', [3, 5]],
    ['tall', [5, 3]],
    ['much wider', [3, 12]],
    ['much taller', [12, 3]],
    ['square', [4, 4]],
  ] as const)(
    'follows the published update for three steps, with clipping and decay: a %s matrix',
    async (_, shape) => {
      const [weights, gradient] = [normal('p', shape), normal('g', shape)];
      const { params } = await stepped(weights, gradient, 3, { ...defaultOptimizer, clipNorm: 0.5 });
      const norm = Math.hypot(...values(gradient), ...values(normal('b', [4])));
      const clipped = Matrix.mul(matrixOf(gradient), 0.5 / norm);
      let sum = Matrix.zeros(shape[0], shape[1]);
      let expected = matrixOf(weights);
      for (let t = 1; t <= 3; t++) {
        sum = Matrix.add(Matrix.mul(sum, 0.95), clipped);
        const direction = polarOf(Matrix.add(clipped, Matrix.mul(sum, 0.95)));
        const step = Matrix.mul(direction, rate * 0.2 * Math.sqrt(Math.max(...shape)));
        expected = Matrix.sub(Matrix.mul(expected, 1 - rate * 0.1), step);
      }
      const got = values(params.blocks[0].query.weight);
      expected.to1DArray().forEach((value, i) => expect(got[i]).toBeCloseTo(value, 8));
    },
  );

  it('steps equally far in all directions of the gradient, and 0.2 times the rate in the root of the mean square', async () => {
    // Singular values from 1 to 30.
    const [left, right] = [normal('l', [24, 6]), normal('r', [6, 24])].map(
      (x) => new SVD(matrixOf(x), { autoTranspose: true }),
    );
    const spread = left!.leftSingularVectors
      .mmul(Matrix.diag([1, 2, 4, 8, 16, 30]))
      .mmul(right!.rightSingularVectors.transpose());
    const gradient = float32([24, 24], spread.to1DArray());
    const zero = float32([24, 24], new Float32Array(24 * 24));
    const { params } = await stepped(zero, gradient, 1);
    const step = matrixOf(params.blocks[0].query.weight);
    const sizes = new SVD(step).diagonal.slice(0, 6).map((value) => value / (rate * 0.2 * Math.sqrt(24)));
    for (const size of sizes) expect(Math.abs(size - 0.95)).toBeLessThan(0.3);
    const root = Math.hypot(...step.to1DArray()) / 24;
    expect(root / (rate * 0.2)).toBeCloseTo(Math.sqrt(6 / 24) * 0.95, 1);
  });

  it('keeps no second moment of matrices of blocks, and leaves all else to AdamW', async () => {
    const { moments, params } = await stepped(normal('p', [3, 4]), normal('g', [3, 4]), 1);
    const paths = leavesOf(moments).map(([path]) => path);
    expect(paths).toEqual([
      'firstMoment.blocks.0.query.weight',
      'firstMoment.blocks.0.query.bias',
      'secondMoment.blocks.0.query.bias',
    ]);
    const before = values(normal('b', [4]));
    // The first step of AdamW is as long as the rate, against the gradient.
    values(params.blocks[0].query.bias).forEach((value, i) => {
      expect(value - before[i]!).toBeCloseTo(-rate * Math.sign(before[i]!), 5);
    });
  });

  it('leaves a matrix without a gradient as it is, but for its decay', async () => {
    const weights = normal('p', [3, 4]);
    const { params } = await stepped(weights, float32([3, 4], new Float32Array(12)), 1);
    const before = values(weights);
    values(params.blocks[0].query.weight).forEach((value, i) => expect(value).toBeCloseTo(before[i]! * 0.975, 8));
  });
});

describe('the learning rate', () => {
  const base = { learningRate: 2, warmup: 4, steps: 24, finalFraction: 0.1 };
  it('rises linearly over the warm-up, and never starts at zero', () => {
    const rates = [0, 1, 2, 3].map((step) => learningRateAt(step, { ...base, schedule: 'cosine' }));
    expect(rates).toEqual([0.5, 1, 1.5, 2]);
  });
  it('falls as one over the root of the step, whatever the last step is', () => {
    const at = (step: number, steps: number) =>
      learningRateAt(step, { ...base, steps, schedule: 'inverse-square-root' });
    expect([3, 15, 63].map((step) => at(step, 24))).toEqual([2, 1, 0.5]);
    expect(at(24, 24)).toBe(at(24, 1000));
    expect(learningRateAt(0, { ...base, warmup: 0, schedule: 'inverse-square-root' })).toBe(2);
  });
  it('then falls along a cosine, along a line, or stays', () => {
    const at = (schedule: 'cosine' | 'linear' | 'constant', step: number) =>
      learningRateAt(step, { ...base, schedule });
    expect(at('cosine', 14)).toBeCloseTo(2 * (0.1 + 0.9 / 2));
    expect(at('linear', 9)).toBeCloseTo(2 * (0.1 + 0.9 * 0.75));
    expect(at('cosine', 24)).toBeCloseTo(0.2);
    expect(at('linear', 1000)).toBeCloseTo(0.2);
    expect(at('constant', 1000)).toBe(2);
  });
});

describe('cross-entropy', () => {
  it('is −log softmax of the target, for logits of any size', async () => {
    const logits = float32([2, 3], [1000, 1001, 999, -5, 0, 5]);
    const targets = { dtype: 'int32' as const, shape: [2], data: Int32Array.of(1, 0) };
    const executable = await oracle.compile(
      (x) => ({ losses: crossEntropy(x.logits, x.targets) }),
      [{ logits: spec('float32', [2, 3]), targets: spec('int32', [2]) }],
    );
    const { losses } = await executable.run([{ logits, targets }]);
    expect(values(losses)[0]).toBeCloseTo(Math.log(Math.exp(-1) + 1 + Math.exp(-2)), 10);
    expect(values(losses)[1]).toBeCloseTo(Math.log(Math.exp(-5) + 1 + Math.exp(5)) + 5, 10);
  });
});
