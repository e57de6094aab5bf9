import { beforeAll, describe, expect, it } from 'vitest';
import { type AnyHostTensor, float32, type HostTensor, int32, Random, symbol } from '../../../src/base/index.js';
import { type Engine, referenceEngine } from '../../../src/engine/index.js';
import { nodeEngine } from '../../../src/engine/node.js';
import { gradient, spec, sum, type Tensor } from '../../../src/graph/index.js';
import {
  AliasTable,
  type ClassTable,
  type Draws,
  exactCrossEntropy,
  initRowSquares,
  type SampledTargets,
  sampledCrossEntropy,
  touchClasses,
} from '../../../src/training/index.js';
import { normal } from '../../support/cases.js';
import { largestError, values } from '../../support/compare.js';

const random = Random.fromSeed(5);
const rows = 3;
const dim = 4;
const classCount = 60;
const temperature = 1.5;
const touched = symbol('touched');
const targets = [2, 0, 17];
const hidden = normal('hidden', [rows, dim], 1.5);
const table: ClassTable<HostTensor> = {
  weight: normal('weight', [classCount, dim], 1.5),
  bias: normal('bias', [classCount], 0.7),
};
const tableSpecs = { weight: spec('float32', [touched, dim]), bias: spec('float32', [touched]) };

function sampledLoss(h: { hidden: Tensor }, classes: ClassTable, inputs: SampledTargets) {
  const losses = sampledCrossEntropy(h.hidden, classes, inputs, temperature);
  return { losses, gradients: gradient(sum(losses), { hidden: h.hidden, ...classes }) };
}

function compileSampled(engine: Engine) {
  return engine.compile(sampledLoss, [
    { hidden: spec('float32', [rows, dim]) },
    tableSpecs,
    { targets: spec('int32', [rows]), corrections: spec('float32', [touched]) },
  ]);
}

function compileExact(engine: Engine) {
  return engine.compile(
    (h, classes, inputs) => {
      const losses = exactCrossEntropy(h.hidden, classes, inputs.targets, temperature);
      return { losses, gradients: gradient(sum(losses), { hidden: h.hidden, ...classes }) };
    },
    [{ hidden: spec('float32', [rows, dim]) }, tableSpecs, { targets: spec('int32', [rows]) }],
  );
}

/** The logits by their definition, in float64: [rows][classes]. */
function plainLogits(): number[][] {
  const bounded = (x: number[]) =>
    x.map((value) => value / Math.sqrt(1 + x.reduce((total, one) => total + one * one, 0)));
  const row = (tensor: HostTensor, at: number) => bounded(values(tensor).slice(at * dim, (at + 1) * dim));
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: classCount }, (__, c) => {
      const class_ = row(table.weight, c);
      return (
        temperature * row(hidden, r).reduce((total, value, i) => total + value * class_[i]!, 0) + table.bias.data[c]!
      );
    }),
  );
}

/** The sampled loss by its definition, draw after draw. */
function plainSampledLoss(
  logits: readonly number[],
  target: number,
  { classes, counts, probabilities }: Draws,
): number {
  const total = counts.reduce((a, b) => a + b, 0);
  let partition = Math.exp(logits[target]!);
  classes.forEach((one, index) => {
    for (let draw = 0; draw < counts[index]!; draw++) {
      if (one !== target) partition += Math.exp(logits[one]!) / (total * probabilities[index]!);
    }
  });
  return Math.log(partition) - logits[target]!;
}

function touch(draws: Draws) {
  return touchClasses({ rows: table, squares: initRowSquares(table) }, targets, draws);
}

/** A proposal that is far from the softmax, and far from uniform. */
const proposal = new AliasTable(normal('proposal', [classCount]).data.map((value) => Math.exp(0.4 * value)));

let node: Awaited<ReturnType<typeof compileSampled>>;
let oracle: typeof node;
let exactLosses: number[];

/** Gradients of hidden, weight and bias as one vector, those of touched classes at their places. */
function flatten(gradients: { hidden: HostTensor; weight: HostTensor; bias: HostTensor }, classes: ArrayLike<number>) {
  const flat = new Float64Array(rows * dim + classCount * (dim + 1));
  flat.set(values(gradients.hidden));
  const weight = values(gradients.weight);
  const bias = values(gradients.bias);
  for (let at = 0; at < classes.length; at++) {
    const place = rows * dim + classes[at]! * (dim + 1);
    flat.set(weight.slice(at * dim, (at + 1) * dim), place);
    flat[place + dim] = bias[at]!;
  }
  return flat;
}

beforeAll(async () => {
  node = await compileSampled(nodeEngine({ threads: 1 }));
  oracle = await compileSampled(referenceEngine());
  const exact = await compileExact(referenceEngine());
  const result = await exact.run([{ hidden }, table, { targets: int32([rows], targets) }]);
  exactLosses = values(result.losses);
});

async function run(executable: typeof node, draws: Draws, corrections?: (given: Float32Array) => Float32Array) {
  const { classes, state, inputs } = touch(draws);
  const given = inputs.corrections.data as Float32Array;
  const used =
    corrections === undefined ? inputs : { ...inputs, corrections: float32([given.length], corrections(given)) };
  return { classes, result: await executable.run([{ hidden }, state.rows, used]) };
}

describe('the exact loss', () => {
  it('is −log softmax of the target', () => {
    plainLogits().forEach((logits, row) => {
      const partition = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      expect(exactLosses[row]).toBeCloseTo(Math.log(partition) - logits[targets[row]!]!, 10);
    });
  });

  it('is the same on ONNX Runtime, with its gradients', async () => {
    const inputs = [{ hidden }, table, { targets: int32([rows], targets) }] as const;
    const [fast, slow] = await Promise.all(
      [nodeEngine({ threads: 1 }), referenceEngine()].map(async (engine) =>
        (await compileExact(engine)).run([...inputs]),
      ),
    );
    expect(largestError(fast!.losses, slow!.losses)).toBeLessThan(1e-5);
    for (const name of ['hidden', 'weight', 'bias'] as const) {
      expect(largestError(fast!.gradients[name], slow!.gradients[name])).toBeLessThan(1e-5);
    }
  });
});

describe('the sampled loss', () => {
  const draws = proposal.draw(12, random.split('loss'));

  it('is its definition, draw after draw', async () => {
    const { result } = await run(oracle, draws);
    plainLogits().forEach((logits, row) => {
      expect(values(result.losses)[row]).toBeCloseTo(plainSampledLoss(logits, targets[row]!, draws), 6);
    });
  });

  it('is the same on ONNX Runtime, with its gradients', async () => {
    const [fast, slow] = [await run(node, draws), await run(oracle, draws)];
    expect(largestError(fast.result.losses, slow.result.losses)).toBeLessThan(1e-5);
    for (const name of ['hidden', 'weight', 'bias'] as const) {
      expect(largestError(fast.result.gradients[name], slow.result.gradients[name])).toBeLessThan(1e-5);
    }
  });

  it.each(['hidden', 'weight', 'bias'] as const)(
    'has a gradient for %s that finite differences confirm',
    async (name) => {
      const { state, inputs } = touch(draws);
      const given = { hidden, ...state.rows };
      const { gradients } = await oracle.run([{ hidden }, state.rows, inputs]);
      const lossAt = async (index: number, change: number) => {
        const data = Float64Array.from(given[name].data);
        data[index]! += change;
        const moved = {
          ...given,
          [name]: { dtype: 'float64', shape: given[name].shape, data } as AnyHostTensor as HostTensor,
        };
        const { losses } = await oracle.run([
          { hidden: moved.hidden },
          { weight: moved.weight, bias: moved.bias },
          inputs,
        ]);
        return values(losses).reduce((a, b) => a + b);
      };
      for (let index = 0; index < given[name].data.length; index++) {
        const slope = ((await lossAt(index, 1e-5)) - (await lossAt(index, -1e-5))) / 2e-5;
        expect(values(gradients[name])[index]).toBeCloseTo(slope, 6);
      }
    },
  );

  it('leaves out draws of the target: a row whose target alone was drawn has a loss and a gradient of 0', async () => {
    const only = { classes: Int32Array.of(2), counts: Int32Array.of(5), probabilities: Float64Array.of(0.3) };
    const { result } = await run(oracle, only);
    const [first, second] = values(result.losses);
    expect(first).toBeCloseTo(0, 12);
    expect(second).toBeGreaterThan(0.01); // for the other rows it is a negative
    values(result.gradients.hidden)
      .slice(0, dim)
      .forEach((slope) => expect(slope).toBeCloseTo(0, 12));
  });

  it('takes the target of one row for no negative of another unless it was drawn', async () => {
    const only = { classes: Int32Array.of(9), counts: Int32Array.of(1), probabilities: Float64Array.of(0.3) };
    const { result } = await run(oracle, only);
    plainLogits().forEach((logits, row) => {
      expect(values(result.losses)[row]).toBeCloseTo(plainSampledLoss(logits, targets[row]!, only), 6);
    });
  });

  it('gives gradients to the touched classes alone, and touches no more than targets and draws', () => {
    const { classes } = touch(draws);
    expect([...classes].sort((a, b) => a - b)).toEqual(
      [...new Set([...draws.classes, ...targets])].sort((a, b) => a - b),
    );
  });

  it.each([60, -1, 1.5, Number.NaN])('refuses the target %d of 60 classes', (target) => {
    const bad = [0, target, 1];
    expect(() => touchClasses({ rows: table, squares: initRowSquares(table) }, bad, draws)).toThrow(
      /expected a row from 0 to 59, got/,
    );
  });
});

/** Every outcome of `samples` independent draws from q, with its probability. */
function* outcomes(q: readonly number[], samples: number): Generator<{ draws: Draws; probability: number }> {
  const logFactorial = (count: number) =>
    Array.from({ length: count }, (_, i) => Math.log(i + 1)).reduce((a, b) => a + b, 0);
  function* counts(left: number, kinds: number): Generator<number[]> {
    if (kinds === 1) yield [left];
    else
      for (let first = 0; first <= left; first++)
        for (const rest of counts(left - first, kinds - 1)) yield [first, ...rest];
  }
  for (const all of counts(samples, q.length)) {
    const log = all.reduce(
      (sum_, count, one) => sum_ + count * Math.log(q[one]!) - logFactorial(count),
      logFactorial(samples),
    );
    const drawn = all.flatMap((count, one) => (count > 0 ? [one] : []));
    yield {
      probability: Math.exp(log),
      draws: {
        classes: Int32Array.from(drawn),
        counts: Int32Array.from(drawn, (one) => all[one]!),
        probabilities: Float64Array.from(drawn, (one) => q[one]!),
      },
    };
  }
}

// Five classes are few enough to take the expectation over all outcomes of the draws, with no noise of a Monte Carlo.
describe('the expected gradient of the sampled loss', () => {
  const few = 5;
  const state = {
    rows: {
      weight: float32([few, dim], table.weight.data.slice(0, few * dim)),
      bias: float32([few], [1, 0, -1, 0.5, -0.5]),
    },
    squares: { weight: float32([few], new Float32Array(few)), bias: float32([few], new Float32Array(few)) },
  };
  const own = [2, 0, 3];
  const skewed = [0.1, 0.15, 0.4, 0.15, 0.2];
  const uniform = [0.2, 0.2, 0.2, 0.2, 0.2];
  let exact: Float64Array;

  beforeAll(async () => {
    const full = await compileExact(referenceEngine());
    const { gradients } = await full.run([{ hidden }, state.rows, { targets: int32([rows], own) }]);
    exact = flatten(gradients, [0, 1, 2, 3, 4]);
  });

  /** |E[ĝ] − g|/|g| over the gradient of hidden vectors and table, where `change` may spoil the corrections. */
  async function bias(
    samples: number,
    q: readonly number[],
    change = (correction: number) => correction,
    reported = q,
  ): Promise<number> {
    const mean = new Float64Array(exact.length);
    let total = 0;
    for (const { draws: drawn, probability } of outcomes(q, samples)) {
      const draws = { ...drawn, probabilities: Float64Array.from(drawn.classes, (one) => reported[one]!) };
      const { classes, state: part, inputs } = touchClasses(state, own, draws);
      const given = (inputs.corrections.data as Float32Array).map((value) => (value < -1e29 ? value : change(value)));
      const corrections = float32([given.length], given);
      const { gradients } = await node.run([{ hidden }, part.rows, { ...inputs, corrections }]);
      flatten(gradients, classes).forEach((value, i) => {
        mean[i]! += probability * value;
      });
      total += probability;
    }
    expect(total).toBeCloseTo(1, 10);
    return Math.hypot(...mean.map((value, i) => value - exact[i]!)) / Math.hypot(...exact);
  }

  it('tends to the exact gradient as 1/s, whatever the proposal', async () => {
    for (const q of [skewed, uniform]) {
      const [four, eight, sixteen] = [await bias(4, q), await bias(8, q), await bias(16, q)];
      expect(four / eight).toBeGreaterThan(1.7);
      expect(eight / sixteen).toBeGreaterThan(1.8);
      expect(sixteen).toBeLessThan(0.05);
    }
  });

  it.each([
    ['without q', () => Math.log(1 / 8)],
    ['without s', (correction: number) => correction + Math.log(8)],
    ['when all draws count as they are', (correction: number) => correction + Math.log(8 / 5)],
  ])('is far from it %s', async (_, change) => {
    const q = change(0) === Math.log(8 / 5) ? uniform : skewed;
    expect(await bias(8, q, change)).toBeGreaterThan(2.5 * (await bias(8, q)));
  });

  it('is far from it with the probabilities of another proposal', async () => {
    const reportedAsUniform = await bias(8, skewed, undefined, uniform);
    expect(reportedAsUniform).toBeGreaterThan(2.5 * (await bias(8, skewed)));
  });
});
