/**
 * The alias method (Walker 1977, Vose 1991): draws from fixed weights in constant time each.
 *
 * A column of equal width for every class holds at most two classes, its own below a threshold and its alias above. This
 * is the proposal that does not look at the hidden vector: uniform or unigram, the baselines of sampled softmax.
 */
import { PerformerError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import { type Draws, expectCount, uniforms } from './draws.js';

export class AliasTable {
  /** The probability of each class: [classes]. */
  readonly probabilities: Float64Array;
  readonly #threshold: Float64Array;
  readonly #alias: Int32Array;

  /** Weights of 0 or more, not all of them 0; a class of weight 0 is never drawn. Throws CONFIG. */
  constructor(weights: ArrayLike<number>) {
    const count = weights.length;
    const values = Float64Array.from(weights);
    const total = values.reduce((sum, weight) => sum + weight, 0);
    if (values.some((weight) => !(weight >= 0)) || !(total > 0 && total < Infinity)) {
      throw new PerformerError(
        'CONFIG',
        `AliasTable: expected weights of 0 or more with a positive finite sum, got ${count} with the sum ${total}.`,
      );
    }
    this.probabilities = values.map((weight) => weight / total);
    this.#threshold = this.probabilities.map((probability) => probability * count);
    this.#alias = Int32Array.from({ length: count }, (_, index) => index);
    this.#fillColumns();
  }

  /** Columns below their width are filled up from those above it. */
  #fillColumns(): void {
    const below: number[] = [];
    const above: number[] = [];
    this.#threshold.forEach((height, column) => (height < 1 ? below : above).push(column));
    for (;;) {
      const low = below.pop();
      const high = above.pop();
      if (low === undefined || high === undefined) {
        // What is left is 1 but for rounding. A class of weight 0 is never among it unless rounding alone left it here.
        for (const column of [low, high, ...below, ...above]) {
          if (column !== undefined && (this.probabilities[column] as number) > 0) this.#threshold[column] = 1;
        }
        return;
      }
      this.#alias[low] = high;
      const rest = (this.#threshold[high] as number) + (this.#threshold[low] as number) - 1;
      this.#threshold[high] = rest;
      (rest < 1 ? below : above).push(high);
    }
  }

  /** `count` independent draws, the classes in ascending order. */
  draw(count: number, random: Random): Draws {
    expectCount('AliasTable.draw', 'count', count);
    const columns = this.#alias.length;
    const drawn = uniforms(random, count).map((point) => {
      const column = Math.floor(point * columns);
      const isOwn = point * columns - column < (this.#threshold[column] as number);
      return isOwn ? column : (this.#alias[column] as number);
    });
    drawn.sort();
    const classes: number[] = [];
    const counts: number[] = [];
    for (const one of drawn) {
      if (classes.at(-1) === one) counts[counts.length - 1] = (counts.at(-1) as number) + 1;
      else {
        classes.push(one);
        counts.push(1);
      }
    }
    return {
      classes: Int32Array.from(classes),
      counts: Int32Array.from(counts),
      probabilities: Float64Array.from(classes, (one) => this.probabilities[one] as number),
    };
  }
}
