import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/base/index.js';
import { AliasTable, type Draws, FeatureTree, logCorrections } from '../../../src/training/index.js';

const random = Random.fromSeed(11);

/** Positive features [count, width], spread over two orders of magnitude. */
function someFeatures(name: string, count: number, width: number): Float32Array {
  return Float32Array.from(random.split(name).normals(count * width), (value) => Math.exp(1.2 * value));
}

function everyClass(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => index);
}

function treeOf(features: Float32Array, count: number): FeatureTree {
  const tree = new FeatureTree(count, features.length / count);
  tree.set(everyClass(count), features);
  return tree;
}

/** q by its definition: the product of every class with the query over the sum of all products. */
function expectedProbabilities(features: Float32Array, query: Float32Array): number[] {
  const weights: number[] = [];
  for (let start = 0; start < features.length; start += query.length) {
    weights.push(query.reduce((total, value, i) => total + value * features[start + i]!, 0));
  }
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function countsOf(classCount: number, draws: Iterable<Draws>): number[] {
  const seen = new Array<number>(classCount).fill(0);
  for (const { classes, counts } of draws) classes.forEach((one, index) => (seen[one]! += counts[index]!));
  return seen;
}

function chiSquared(seen: readonly number[], probabilities: readonly number[]): number {
  const total = seen.reduce((a, b) => a + b);
  return seen.reduce((sum, count, index) => {
    const expected = total * probabilities[index]!;
    return sum + (count - expected) ** 2 / expected;
  }, 0);
}

// 37 is no power of two: the classes lie on two depths of the tree.
const classes = 37;
const width = 9;
const features = someFeatures('features', classes, width);
const query = someFeatures('query', 1, width);
const probabilities = expectedProbabilities(features, query);
/** The 1 − 10⁻⁶ quantile of χ² with 36 degrees of freedom. */
const bound = 92;

describe('the tree of feature sums', () => {
  it('draws each class with the probability φ(c)·z/Σφ(c)·z (60,000 independent draws, χ² below its 1e-6 quantile)', () => {
    const tree = treeOf(features, classes);
    const draws = Array.from({ length: 60_000 }, (_, part) => tree.draw(query, 1, random.split('one').split(part)));
    expect(chiSquared(countsOf(classes, draws), probabilities)).toBeLessThan(bound);
    // The test is sharp: it refuses a proposal that is a tenth off in its two commonest classes.
    const wrong = probabilities.slice();
    const [first, second] = everyClass(classes).sort((a, b) => wrong[b]! - wrong[a]!) as unknown as [number, number];
    const moved = 0.1 * wrong[second]!;
    wrong[first]! += moved;
    wrong[second]! -= moved;
    expect(chiSquared(countsOf(classes, draws), wrong)).toBeGreaterThan(bound);
  });

  it('returns the exact probability of every class that it draws', () => {
    const { classes: drawn, probabilities: got } = treeOf(features, classes).draw(query, 2000, random);
    expect(drawn.length).toBeGreaterThan(30);
    drawn.forEach((one, index) => expect(got[index]! / probabilities[one]! - 1).toBeCloseTo(0, 6));
  });

  it('stratifies many draws: every class comes within two of its expected number of times', () => {
    const seen = countsOf(classes, [treeOf(features, classes).draw(query, 10_000, random)]);
    expect(seen.reduce((a, b) => a + b)).toBe(10_000);
    seen.forEach((count, one) => expect(Math.abs(count - 10_000 * probabilities[one]!)).toBeLessThan(2));
  });

  it('draws as often as independent draws on average: stratified counts are unbiased', () => {
    const tree = treeOf(features, classes);
    const rounds = 20_000;
    const draws = Array.from({ length: rounds }, (_, part) => tree.draw(query, 5, random.split('five').split(part)));
    countsOf(classes, draws).forEach((count, one) => {
      const q = probabilities[one]!;
      expect(Math.abs(count - 5 * rounds * q)).toBeLessThan(5 * Math.sqrt(5 * rounds * q)); // at most the variance of 5 draws
    });
  });

  it.each([1, 2, 3, 64, 100])('holds the sums of %i classes, and reaches each', (count) => {
    const some = someFeatures(`of ${count}`, count, 4);
    const total = treeOf(some, count).total().data;
    for (let i = 0; i < 4; i++) {
      const expected = everyClass(count).reduce((sum, one) => sum + some[one * 4 + i]!, 0);
      expect(total[i]! / expected - 1).toBeCloseTo(0, 5);
    }
    const ones = Float32Array.of(1, 1, 1, 1);
    const enough = Math.ceil(3 / Math.min(...expectedProbabilities(some, ones))); // a stratum inside every class's piece
    expect(countsOf(count, [treeOf(some, count).draw(ones, enough, random)]).every((seen) => seen > 0)).toBe(true);
  });

  it('is after thousands of updates, bit for bit, the tree that is built from the last features', () => {
    const updated = treeOf(features, classes);
    const current = features.slice();
    for (let step = 0; step < 3000; step++) {
      const key = random.split('update').split(step);
      const touched = Int32Array.of(key.split(0).integer(classes), key.split(1).integer(classes));
      const changed = someFeatures(`update ${step}`, 2, width).map((value) => value * 10 ** (step % 7));
      updated.set(touched, changed);
      touched.forEach((one, at) => current.set(changed.subarray(at * width, (at + 1) * width), one * width));
    }
    const rebuilt = treeOf(current, classes);
    expect(updated.total()).toEqual(rebuilt.total());
    expect(updated.draw(query, 500, random)).toEqual(rebuilt.draw(query, 500, random));
    const last = expectedProbabilities(current, query);
    last.forEach((q, one) => expect(updated.probability(query, one) / q - 1).toBeCloseTo(0, 5));
  });

  it('gives a class named twice in one update its last features', () => {
    const tree = treeOf(features, classes);
    tree.set(
      [4, 4],
      Float32Array.from({ length: 2 * width }, (_, i) => (i < width ? 1 : 2)),
    );
    expect([...tree.featuresOf(4)]).toEqual(new Array(width).fill(2));
  });

  it('gives the same draws for the same key, and others for another', () => {
    const tree = treeOf(features, classes);
    expect(tree.draw(query, 100, random.split(1))).toEqual(tree.draw(query, 100, random.split(1)));
    expect(tree.draw(query, 100, random.split(1))).not.toEqual(tree.draw(query, 100, random.split(2)));
  });

  it('never draws a class of weight 0', () => {
    const sparse = new Float32Array(16).fill(1);
    const tree = treeOf(sparse, 8);
    for (const one of [0, 3, 7]) tree.set([one], Float32Array.of(0, 1));
    const { classes: drawn } = tree.draw([1, 0], 1000, random);
    expect([...drawn].sort()).toEqual([1, 2, 4, 5, 6]);
  });

  it('refuses NaN, infinite, negative and vanishing features, and keeps what it had', () => {
    const tree = treeOf(features, classes);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      const row = new Float32Array(2 * width).fill(1);
      row[2 * width - 1] = bad;
      expect(() => tree.set([3, 5], row)).toThrow(/FeatureTree\.set, class 5: expected features of 0 or more/);
    }
    expect(() => tree.set([5], new Float32Array(width))).toThrow(/got the sum 0/);
    expect(tree.total()).toEqual(treeOf(features, classes).total());
    expect(tree.featuresOf(3)).toEqual(treeOf(features, classes).featuresOf(3));
  });

  it('refuses what does not fit: classes, shapes, queries, counts and a tree without features', () => {
    const tree = treeOf(features, classes);
    expect(() => new FeatureTree(0, 4)).toThrow(/expected a positive integer as classCount, got 0/);
    expect(() => tree.set([37], new Float32Array(width).fill(1))).toThrow(/expected a class from 0 to 36, got 37/);
    expect(() => tree.set([0, 1], new Float32Array(width).fill(1))).toThrow(
      /expected features \[2, 9\], got 9 numbers/,
    );
    expect(() => tree.draw([1, 2], 1, random)).toThrow(/expected a query \[9\], got \[2\]/);
    expect(() =>
      tree.draw(
        query.map(() => Number.NaN),
        1,
        random,
      ),
    ).toThrow(/the query: expected features of 0 or more/);
    expect(() => tree.draw(query, 0, random)).toThrow(/expected a positive integer as count, got 0/);
    expect(() => new FeatureTree(4, 2).draw([1, 1], 1, random)).toThrow(/Set the features of every class/);
  });
});

describe('the alias table', () => {
  const weights = features.subarray(0, classes).map((weight, index) => (index === 5 ? 0 : weight));
  const total = weights.reduce((a, b) => a + b, 0);

  it('draws each class by its weight (χ² below its 1e-6 quantile) and never one of weight 0', () => {
    const table = new AliasTable(weights);
    const seen = countsOf(classes, [table.draw(200_000, random)]);
    expect(seen[5]).toBe(0);
    const shares = [...weights].map((weight) => weight / total);
    const kept = (values: readonly number[]) => values.filter((_, index) => index !== 5);
    expect(chiSquared(kept(seen), kept(shares))).toBeLessThan(bound);
  });

  it('returns the probability of every class that it draws', () => {
    const { classes: drawn, probabilities: got } = new AliasTable(weights).draw(1000, random);
    drawn.forEach((one, index) => expect(got[index]!).toBeCloseTo(weights[one]! / total, 6));
  });

  it('draws uniformly for equal weights, whatever they are', () => {
    const { classes: drawn, counts } = new AliasTable(new Float64Array(10).fill(0.3)).draw(100_000, random);
    expect(drawn.length).toBe(10);
    expect(chiSquared([...counts], new Array(10).fill(0.1))).toBeLessThan(45);
  });

  it('refuses weights that are no proposal', () => {
    expect(() => new AliasTable([])).toThrow(/expected weights of 0 or more with a positive finite sum, got 0/);
    expect(() => new AliasTable([0, 0])).toThrow(/with the sum 0/);
    expect(() => new AliasTable([1, -1, 3])).toThrow(/expected weights of 0 or more/);
    expect(() => new AliasTable([1, Number.NaN])).toThrow(/expected weights of 0 or more/);
    expect(() => new AliasTable([1]).draw(1.5, random)).toThrow(/expected a positive integer as count, got 1.5/);
  });
});

describe('the correction of a drawn class', () => {
  it('is log(m/(s·q)) for m of s draws', () => {
    const draws = {
      classes: Int32Array.of(3, 8),
      counts: Int32Array.of(3, 1),
      probabilities: Float64Array.of(0.5, 0.01),
    };
    expect([...logCorrections(draws)]).toEqual([Math.log(3 / (4 * 0.5)), Math.log(1 / (4 * 0.01))]);
  });
});
