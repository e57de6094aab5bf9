import { describe, expect, it } from 'vitest';
import { float32, float32Scalar, type HostTensor, int32, Random, symbol } from '../../../src/base/index.js';
import { referenceEngine } from '../../../src/engine/index.js';
import { nodeEngine } from '../../../src/engine/node.js';
import { gradient, mean, spec, takeRows } from '../../../src/graph/index.js';
import {
  type ClassTable,
  classFeatures,
  exactCrossEntropy,
  gatherRows,
  mixtureQuery,
  SampledSoftmax,
  sampledCrossEntropy,
  scatterRows,
  type TableState,
  updateRows,
  updateTouched,
} from '../../../src/training/index.js';
import { normal } from '../../support/cases.js';
import { largestError, values } from '../../support/compare.js';

const engine = nodeEngine({ threads: 1 });
const classes = 150;
const dim = 8;
const options = { classes, dim, samples: 12, temperature: 10, kernelTemperature: 3, featureCount: 32, seed: 4 };

describe('the rows of tables on the host', () => {
  it('come back as they were taken, and leave the others alone', () => {
    const table = { weight: normal('w', [6, 3]), bias: normal('b', [6]) };
    const before = values(table.weight);
    const rows = gatherRows(table, [4, 1]);
    expect(rows.weight.shape).toEqual([2, 3]);
    expect(values(rows.weight)).toEqual([...before.slice(12, 15), ...before.slice(3, 6)]);
    scatterRows(table, [4, 1], { weight: float32([2, 3], [1, 2, 3, 4, 5, 6]), bias: float32([2], [7, 8]) });
    expect(values(table.weight)).toEqual([
      ...before.slice(0, 3),
      4,
      5,
      6,
      ...before.slice(6, 12),
      1,
      2,
      3,
      ...before.slice(15),
    ]);
    expect([table.bias.data[4], table.bias.data[1]]).toEqual([7, 8]);
  });

  it('are refused where there is no such row, or not as many numbers', () => {
    const table = { weight: normal('w', [6, 3]) };
    expect(() => gatherRows(table, [6])).toThrow(/expected a row from 0 to 5, got 6/);
    expect(() => scatterRows(table, [0, 1], { weight: normal('x', [1, 3]) })).toThrow(/weight to have 2 rows of 3/);
  });
});

describe('Adagrad by rows', () => {
  it('follows its formula for three steps, with one accumulator a row', async () => {
    const step = await referenceEngine().compile(
      (rows, { squares }, { g }, { rate }) => updateRows(rows, squares, g, rate),
      [
        { weight: spec('float32', [4, 3]), bias: spec('float32', [4]) },
        { squares: { weight: spec('float32', [4]), bias: spec('float32', [4]) } },
        { g: { weight: spec('float32', [4, 3]), bias: spec('float32', [4]) } },
        { rate: spec('float32', []) },
      ],
    );
    const g = { weight: normal('g', [4, 3]), bias: normal('h', [4]) };
    let rows = { weight: normal('w', [4, 3]), bias: normal('b', [4]) } as ClassTable<HostTensor>;
    let squares = { weight: float32([4], [0, 0, 1, 0]), bias: float32([4], [0, 2, 0, 0]) } as ClassTable<HostTensor>;
    const weight = values(rows.weight);
    const accumulator = values(squares.weight);
    const bias = values(rows.bias);
    const biasAccumulator = values(squares.bias);
    for (let t = 0; t < 3; t++) {
      ({ rows, squares } = await step.run([rows, { squares }, { g }, { rate: float32Scalar(0.5) }]));
      for (let row = 0; row < 4; row++) {
        const own = values(g.weight).slice(row * 3, row * 3 + 3);
        accumulator[row]! += own.reduce((total, value) => total + value * value, 0) / 3;
        own.forEach((value, i) => {
          weight[row * 3 + i]! -= (0.5 * value) / Math.sqrt(accumulator[row]!);
        });
        biasAccumulator[row]! += values(g.bias)[row]! ** 2;
        bias[row]! -= (0.5 * values(g.bias)[row]!) / Math.sqrt(biasAccumulator[row]!);
      }
    }
    values(rows.weight).forEach((value, i) => expect(value).toBeCloseTo(weight[i]!, 8));
    values(rows.bias).forEach((value, i) => expect(value).toBeCloseTo(bias[i]!, 8));
  });

  it('leaves rows without a gradient where they are: updating the touched rows is updating the whole table', async () => {
    const count = symbol('count');
    const step = await engine.compile(
      (rows, { squares }, { g }, { rate }) => updateRows(rows, squares, g, rate),
      [
        { weight: spec('float32', [count, 3]) },
        { squares: { weight: spec('float32', [count]) } },
        { g: { weight: spec('float32', [count, 3]) } },
        { rate: spec('float32', []) },
      ],
    );
    const table = { weight: normal('w', [5, 3]) };
    const squares = { weight: float32([5], [0, 1, 0.2, 0, 3]) };
    const touched = [3, 1];
    const g = { weight: normal('g', [2, 3]) };
    const dense = { weight: float32([5, 3], new Float32Array(15)) };
    scatterRows(dense, touched, g);
    const rate = { rate: float32Scalar(0.3) };
    const whole = await step.run([table, { squares }, { g: dense }, rate]);
    const part = await step.run([gatherRows(table, touched), { squares: gatherRows(squares, touched) }, { g }, rate]);
    scatterRows(table, touched, part.rows as typeof table);
    scatterRows(squares, touched, part.squares as typeof squares);
    expect(whole.rows.weight.data).toEqual(table.weight.data);
    expect(whole.squares.weight.data).toEqual(squares.weight.data);
  });
});

describe('the proposal', () => {
  const head = () => SampledSoftmax.create(engine, options);
  const hidden = normal('hidden', [5, dim], 0.8);

  /** e^b·exp(Ωx − |x|²/2) with x = √ν·c/√(1 + |c|²), by its definition in float64. */
  function plainFeatures(vector: number[], projection: HostTensor, bias: number): number[] {
    const length = 1 + vector.reduce((total, value) => total + value * value, 0);
    const x = vector.map((value) => Math.sqrt(options.kernelTemperature / length) * value);
    const half = x.reduce((total, value) => total + value * value, 0) / 2;
    return Array.from({ length: options.featureCount }, (_, row) => {
      const frequency = values(projection).slice(row * dim, (row + 1) * dim);
      return Math.exp(bias + frequency.reduce((total, value, i) => total + value * x[i]!, 0) - half);
    });
  }

  it('of the mixture query is the mean of the rows’ own proposals φ(c)·φ(h)/Σφ(c)·φ(h)', async () => {
    const given = { weight: normal('table', [classes, dim]), bias: normal('biases', [classes]) };
    const one = await SampledSoftmax.create(engine, { ...options, table: given });
    const { projection, table, kernelTemperature, featureTotal } = one;
    const vectors = (tensor: HostTensor, count: number) =>
      Array.from({ length: count }, (_, row) => values(tensor).slice(row * dim, (row + 1) * dim));
    const ofClasses = vectors(table.weight, classes).map((row, i) =>
      plainFeatures(row, projection, table.bias.data[i]!),
    );
    const expected = new Array<number>(classes).fill(0);
    for (const row of vectors(hidden, 5)) {
      const z = plainFeatures(row, projection, 0);
      const weights = ofClasses.map((features) => features.reduce((total, value, i) => total + value * z[i]!, 0));
      const partition = weights.reduce((a, b) => a + b);
      weights.forEach((weight, i) => {
        expected[i]! += weight / partition / 5;
      });
    }
    const ask = await engine.compile(
      (h, read) => ({ query: mixtureQuery(h.hidden, read.projection, read.total, kernelTemperature) }),
      [{ hidden: spec('float32', [5, dim]) }, { projection: spec('float32', [32, dim]), total: spec('float32', [32]) }],
    );
    const { query } = await ask.run([{ hidden }, { projection, total: featureTotal }]);
    const { classes: drawn, probabilities } = one.draw(query, Random.fromSeed(1));
    expect(drawn.length).toBeGreaterThan(3);
    drawn.forEach((index, i) => expect(probabilities[i]! / expected[index]! - 1).toBeCloseTo(0, 4));
  });

  it('has features whose products estimate e^{ν·ĥ·ĉ + b}: the mean of 20,000 is within five standard errors', async () => {
    const count = 20_000;
    const kernelTemperature = 0.5;
    const features = await referenceEngine().compile(
      (table, { projection }) => ({ features: classFeatures(table, projection, kernelTemperature) }),
      [{ weight: spec('float32', [1, 4]), bias: spec('float32', [1]) }, { projection: spec('float32', [count, 4]) }],
    );
    const projection = normal('many frequencies', [count, 4]);
    const of = async (vector: number[], bias: number) => {
      const table = { weight: float32([1, 4], vector), bias: float32([1], [bias]) };
      return values((await features.run([table, { projection }])).features);
    };
    const right = await of([-1, 2, 0, 1], 0);
    const products = (await of([1, 1, -0.5, 0.5], 0.7)).map((value, i) => count * value * right[i]!);
    const mean = products.reduce((a, b) => a + b) / count;
    const variance = products.reduce((total, value) => total + (value - mean) ** 2, 0) / count;
    const cosine = 1.5 / Math.sqrt(3.5 * 7); // (−1 + 2 + 1/2) / √((1 + 2.5)·(1 + 6))
    const expected = Math.exp(kernelTemperature * cosine + 0.7);
    expect(Math.abs(mean - expected)).toBeLessThan(5 * Math.sqrt(variance / count));
    expect(Math.sqrt(variance / count)).toBeLessThan(0.02 * expected);
  });

  it('is refused for samples that are not fewer than the classes, for no classes, and for bad temperatures', async () => {
    const create = (change: object) => SampledSoftmax.create(engine, { ...options, ...change });
    await expect(create({ samples: 150 })).rejects.toThrow(
      /expected fewer samples than classes, got 150 samples of 150/,
    );
    await expect(create({ classes: 0 })).rejects.toThrow(/expected a positive integer as classes, got 0/);
    await expect(create({ kernelTemperature: 0 })).rejects.toThrow(/expected a positive kernelTemperature, got 0/);
    await expect(create({ temperature: Number.NaN })).rejects.toThrow(/expected a positive temperature, got NaN/);
    await expect(create({ sample: 3 })).rejects.toThrow(/expected options among .*, got sample/);
    const table = { weight: normal('t', [10, dim]), bias: normal('t', [10]) };
    await expect(create({ table })).rejects.toThrow(
      /expected a table with weight \[150, 8\] and bias \[150\], got \[10, 8\]/,
    );
  });

  it('is refused for NaN class vectors, at the start and in a step, which then changes nothing', async () => {
    const table = { weight: normal('t', [classes, dim]), bias: normal('t', [classes]) };
    table.weight.data[17] = Number.NaN;
    await expect(SampledSoftmax.create(engine, { ...options, table })).rejects.toThrow(
      /Look for NaN or infinite class/,
    );
    const one = await head();
    const before = one.featureTotal;
    const touched = one.touch([1], one.draw(before, Random.fromSeed(1)));
    const { rows, squares } = touched.state;
    const features = float32(
      [touched.classes.length, 32],
      new Float32Array(touched.classes.length * 32).fill(Number.NaN),
    );
    const weight = float32(rows.weight.shape, new Float32Array(rows.weight.data.length));
    expect(() => one.putBack(touched, { rows: { ...rows, weight }, squares, features })).toThrow(
      /expected features of 0/,
    );
    expect(one.featureTotal).toEqual(before);
    expect(one.table).toEqual((await head()).table);
  });
});

/** Contexts, each of which has three likely next classes: a softmax of classes in the small. */
const contexts = 20;
const batch = 32;
const learningRate = 0.3;

function someBatch(step: number) {
  const words = Random.fromSeed(9)
    .split(step)
    .bits(2 * batch);
  const context = Int32Array.from({ length: batch }, (_, row) => words[2 * row]! % contexts);
  const target = context.map((one, row) => (one * 7 + [0, 0, 0, 40, 40, 80][words[2 * row + 1]! % 6]!) % classes);
  return { context, target };
}

async function train(steps: number) {
  const head = await SampledSoftmax.create(engine, options);
  const body = { hidden: normal('contexts', [contexts, dim], 0.1) };
  const bodySquares = { hidden: float32([contexts], new Float32Array(contexts)) };
  const touched = symbol('touched');
  const squares = { weight: spec('float32', [touched]), bias: spec('float32', [touched]) };
  const rows = { weight: spec('float32', [touched, dim]), bias: spec('float32', [touched]) };
  const bodySpecs = { hidden: spec('float32', [contexts, dim]) };
  const state: TableState<typeof squares.weight> = { rows, squares };
  const features = { projection: spec('float32', [32, dim]), total: spec('float32', [32]) };
  const context = spec('int32', [batch]);
  const ask = await engine.compile(
    (own, given) => ({
      query: mixtureQuery(takeRows(own.hidden, given.context), given.projection, given.total, head.kernelTemperature),
    }),
    [bodySpecs, { ...features, context }],
  );
  const step = await engine.compile(
    (own, { bodySquares: before }, table, given) => {
      const hidden = takeRows(own.hidden, given.context);
      const loss = mean(sampledCrossEntropy(hidden, table.rows, given, head.temperature));
      const found = gradient(loss, { own, rows: table.rows });
      const rate = given.learningRate;
      return {
        loss,
        body: updateRows(own, before, found.own as typeof own, rate),
        head: updateTouched(table, found.rows as ClassTable, { ...given, learningRate: rate }, head.kernelTemperature),
      };
    },
    [
      bodySpecs,
      { bodySquares: { hidden: spec('float32', [contexts]) } },
      state,
      {
        context,
        targets: spec('int32', [batch]),
        corrections: squares.bias,
        projection: features.projection,
        learningRate: spec('float32', []),
      },
    ],
  );
  const exact = await engine.compile(
    (own, table, given) => ({
      loss: mean(exactCrossEntropy(takeRows(own.hidden, given.context), table, given.targets, head.temperature)),
    }),
    [
      bodySpecs,
      { weight: spec('float32', [classes, dim]), bias: spec('float32', [classes]) },
      { context, targets: spec('int32', [batch]) },
    ],
  );
  const evaluate = async () => {
    let total = 0;
    for (let at = 0; at < 10; at++) {
      const one = someBatch(10_000 + at);
      const given = { context: int32([batch], one.context), targets: int32([batch], one.target) };
      total += values((await exact.run([body, head.table, given])).loss)[0]! / 10;
    }
    return total;
  };
  const before = await evaluate();
  const losses: number[] = [];
  for (let index = 0; index < steps; index++) {
    const one = someBatch(index);
    const inputs = { context: int32([batch], one.context) };
    const { query } = await ask.run([body, { projection: head.projection, total: head.featureTotal, ...inputs }]);
    const found = head.touch(one.target, head.draw(query, Random.fromSeed(2).split(index)));
    const result = await step.run([
      body,
      { bodySquares },
      found.state,
      { ...inputs, ...found.inputs, projection: head.projection, learningRate: float32Scalar(learningRate) },
    ]);
    head.putBack(found, result.head);
    body.hidden.data.set(result.body.rows.hidden.data as Float32Array);
    bodySquares.hidden.data.set(result.body.squares.hidden.data as Float32Array);
    losses.push(values(result.loss)[0]!);
  }
  return { before, after: await evaluate(), losses, head };
}

describe('training with sampled softmax', () => {
  it('brings the exact loss near the entropy of the data', async () => {
    const { before, after } = await train(300);
    const entropy = -(Math.log(1 / 2) / 2 + Math.log(1 / 3) / 3 + Math.log(1 / 6) / 6);
    expect(before).toBeGreaterThan(4.5);
    expect(after).toBeLessThan(entropy + 0.4);
  });

  it('gives the same losses and the same table for the same seeds', async () => {
    const [first, second] = [await train(5), await train(5)];
    expect(first.losses).toEqual(second.losses);
    expect(first.head.table).toEqual(second.head.table);
  });

  it('keeps the tree true to the table: its sums are those of a tree built over the table', async () => {
    const { head } = await train(40);
    const rebuilt = await SampledSoftmax.create(engine, { ...options, table: head.table });
    expect(largestError(head.featureTotal, rebuilt.featureTotal)).toBeLessThan(1e-5);
  });
});
