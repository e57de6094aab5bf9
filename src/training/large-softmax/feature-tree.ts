/**
 * A binary tree of feature sums, which draws class i with probability q_i = φ(c_i)·z / Σ_j φ(c_j)·z for any query z ≥ 0
 * (Rawat et al. 2019, "Sampled softmax with random Fourier features", section 3.1; here with positive features).
 *
 * Every node holds the sum of the features of the classes below it, so that its product with z is the weight of all of
 * them. A draw walks down from the root and takes each branch by its weight: O(features · log classes).
 *
 * A changed class recomputes its ancestors, each as the sum of its two children, and adds no differences to them. A node
 * is therefore always the same function of the leaves, however many updates came before: sums cannot drift, and an
 * updated tree equals one that was built anew, bit for bit.
 *
 * Layout: node k has the children 2k and 2k + 1, the root is node 1, and class i is node classes + i; this is a binary
 * tree for any number of classes. One Float32Array [2·classes, features]; row 0 is unused.
 */
import type { HostTensor } from '../../base/array.js';
import { float32 } from '../../base/array.js';
import { PerformerError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import { type Draws, expectCount, uniforms } from './draws.js';

/**
 * A binary tree of sums of class features: it draws a class in proportion to its kernel with a query, in steps of the
 * logarithm of the number of classes.
 */
export class FeatureTree {
  readonly classCount: number;
  readonly featureCount: number;
  readonly #sums: Float32Array;
  /** The update in which a node was last collected, to collect it once. */
  readonly #stamp: Uint32Array;
  #updates = 0;

  /** An empty tree, in which `set` puts the features of every class before the first draw. */
  constructor(classCount: number, featureCount: number) {
    expectCount('FeatureTree', 'classCount', classCount);
    expectCount('FeatureTree', 'featureCount', featureCount);
    this.classCount = classCount;
    this.featureCount = featureCount;
    this.#sums = new Float32Array(2 * classCount * featureCount);
    this.#stamp = new Uint32Array(classCount);
  }

  /** Σ φ(c_i) over all classes, a copy: float32 [features]. */
  total(): HostTensor {
    return float32([this.featureCount], this.#row(1).slice());
  }

  /** φ of one class, a copy: [features]. */
  featuresOf(index: number): Float32Array {
    return this.#row(this.#leaf(index)).slice();
  }

  /**
   * Gives classes new features, [indices, features], finite and not negative with a positive sum in each row, and
   * brings the sums above them up to date. Throws DATA for a class that is not there and NUMERIC for bad features; then
   * nothing has changed.
   */
  set(indices: ArrayLike<number>, features: Float32Array): void {
    const width = this.featureCount;
    if (features.length !== indices.length * width) {
      throw new PerformerError(
        'SHAPE',
        `FeatureTree.set: expected features [${indices.length}, ${width}], got ${features.length} numbers.`,
      );
    }
    for (let at = 0; at < indices.length; at++) {
      this.#leaf(indices[at] as number);
      expectFeatures(`FeatureTree.set, class ${indices[at]}`, features, at * width, width);
    }
    for (let at = 0; at < indices.length; at++) {
      this.#sums.set(features.subarray(at * width, (at + 1) * width), this.#leaf(indices[at] as number) * width);
    }
    for (const node of this.#ancestors(indices)) this.#sumChildren(node);
  }

  /**
   * `count` draws for a query of finite numbers of 0 or more, [features], the classes in ascending order of their nodes.
   *
   * The draws are stratified: draw j takes a point of [j/count, (j + 1)/count) of the line on which every class has a
   * piece of its probability. Each class is drawn count·q_i times on average, as by independent draws, with less
   * variance; one draw alone is an independent one. Throws NUMERIC when no class has a positive weight.
   */
  draw(query: ArrayLike<number>, count: number, random: Random): Draws {
    expectCount('FeatureTree.draw', 'count', count);
    if (query.length !== this.featureCount) {
      throw new PerformerError(
        'SHAPE',
        `FeatureTree.draw: expected a query [${this.featureCount}], got [${query.length}].`,
      );
    }
    const z = Float64Array.from(query);
    expectFeatures('FeatureTree.draw, the query', z, 0, z.length);
    const points = uniforms(random, count).map((point, index) => (index + point) / count);
    const classes: number[] = [];
    const counts: number[] = [];
    const probabilities: number[] = [];
    /** The points from `first` to `last` lie in the piece [start, start + probability) of `node`. */
    const descend = (node: number, first: number, last: number, start: number, probability: number): void => {
      if (node >= this.classCount) {
        classes.push(node - this.classCount);
        counts.push(last - first);
        probabilities.push(probability);
        return;
      }
      const left = this.#weight(2 * node, z);
      const right = this.#weight(2 * node + 1, z);
      const share = left / (left + right);
      if (!Number.isFinite(share)) {
        throw new PerformerError(
          'NUMERIC',
          `FeatureTree.draw: expected a positive finite weight below node ${node}, got ${left + right}. Set the features ` +
            'of every class before drawing, and lower the temperature of the kernel if they are set.',
        );
      }
      const middle = start + probability * share;
      let split = first;
      while (split < last && (points[split] as number) < middle) split++;
      // A side of no weight gets no point, whatever rounding did to the middle.
      if (share === 0) split = first;
      if (share === 1) split = last;
      if (split > first) descend(2 * node, first, split, start, probability * share);
      if (split < last) descend(2 * node + 1, split, last, middle, probability * (1 - share));
    };
    descend(1, 0, count, 0, 1);
    return {
      classes: Int32Array.from(classes),
      counts: Int32Array.from(counts),
      probabilities: Float64Array.from(probabilities),
    };
  }

  /** The probability with which a query draws a class: φ(c_i)·z / Σ φ(c_j)·z. */
  probability(query: ArrayLike<number>, index: number): number {
    const z = Float64Array.from(query);
    return this.#weight(this.#leaf(index), z) / this.#weight(1, z);
  }

  #leaf(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.classCount) {
      throw new PerformerError('DATA', `FeatureTree: expected a class from 0 to ${this.classCount - 1}, got ${index}.`);
    }
    return this.classCount + index;
  }

  #row(node: number): Float32Array {
    return this.#sums.subarray(node * this.featureCount, (node + 1) * this.featureCount);
  }

  /** Every node above the classes once, children before parents: by falling number. */
  #ancestors(indices: ArrayLike<number>): Int32Array {
    this.#updates++;
    const found: number[] = [];
    for (let at = 0; at < indices.length; at++) {
      let node = (this.classCount + (indices[at] as number)) >> 1;
      while (node >= 1 && this.#stamp[node] !== this.#updates) {
        this.#stamp[node] = this.#updates;
        found.push(node);
        node >>= 1;
      }
    }
    return Int32Array.from(found).sort().reverse();
  }

  #sumChildren(node: number): void {
    const sums = this.#sums;
    const width = this.featureCount;
    const out = node * width;
    const left = 2 * out;
    const right = left + width;
    for (let i = 0; i < width; i++) sums[out + i] = (sums[left + i] as number) + (sums[right + i] as number);
  }

  /** The product of a node's sum and the query, in four lanes: half the time of one. */
  #weight(node: number, z: Float64Array): number {
    const sums = this.#sums;
    const width = this.featureCount;
    const base = node * width;
    const whole = width - (width % 4);
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let i = 0; i < whole; i += 4) {
      a += (sums[base + i] as number) * (z[i] as number);
      b += (sums[base + i + 1] as number) * (z[i + 1] as number);
      c += (sums[base + i + 2] as number) * (z[i + 2] as number);
      d += (sums[base + i + 3] as number) * (z[i + 3] as number);
    }
    for (let i = whole; i < width; i++) a += (sums[base + i] as number) * (z[i] as number);
    return a + b + (c + d);
  }
}

/** Throws NUMERIC unless the numbers are finite, 0 or more, and not all 0. */
function expectFeatures(where: string, values: Float32Array | Float64Array, start: number, count: number): void {
  let total = 0;
  let isGood = true;
  for (let i = start; i < start + count; i++) {
    const value = values[i] as number;
    if (!(value >= 0)) isGood = false;
    total += value;
  }
  if (isGood && total > 0 && total < Infinity) return;
  throw new PerformerError(
    'NUMERIC',
    `${where}: expected features of 0 or more with a positive finite sum, got the sum ${total}. ` +
      'Look for NaN or infinite class vectors: a lower learning rate keeps them finite.',
  );
}
