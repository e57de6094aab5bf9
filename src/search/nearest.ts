/**
 * The vectors that are nearest to another by cosine similarity, cos(q, v) = q·v / (|q|·|v|), by looking at all of them: exact,
 * and in the memory of what is found.
 */
import { PerformerError } from '../base/errors.js';

/** A vector that was found. */
export interface Neighbour {
  /** Its number, from 0. */
  readonly index: number;
  /** The cosine, from −1 to 1; 0 where either vector is zeros. */
  readonly score: number;
}

/** How many are found. */
export interface NearestOptions {
  /** At most so many, the nearest ones, from 1; 10 unless given. */
  readonly count?: number | undefined;
}

/** Looks at vectors as they come, and keeps the nearest. */
export class NearestSearch {
  readonly #query: ArrayLike<number>;
  readonly #length: number;
  readonly #count: number;
  #found: Neighbour[] = [];

  /** Throws CONFIG for a count that is none, DATA for a query without numbers or with some that are not finite. */
  constructor(query: ArrayLike<number>, { count = 10 }: NearestOptions = {}) {
    if (!(Number.isSafeInteger(count) && count >= 1)) {
      throw new PerformerError('CONFIG', `nearest: expected a positive integer as count, got ${count}.`);
    }
    this.#query = query;
    this.#count = count;
    this.#length = Math.sqrt(Array.from(query).reduce((total, value) => total + value * value, 0));
    if (Number.isFinite(this.#length) && query.length > 0) return;
    const got = query.length === 0 ? 'none' : 'others';
    throw new PerformerError('DATA', `nearest: expected finite numbers as the query, got ${got}.`);
  }

  /**
   * Looks at rows, one behind another in one array [rows, dim]; `first` is the number of the first.
   *
   * @throws DATA for rows of another width than the query, and for numbers that are not finite, with the number of the row.
   */
  look(rows: Float32Array, first: number): void {
    const width = this.#query.length;
    if (rows.length % width !== 0) {
      throw new PerformerError('DATA', `nearest: expected rows of ${width} numbers, got ${rows.length} in all.`);
    }
    const worst = this.#found.length < this.#count ? Number.NEGATIVE_INFINITY : this.#found.at(-1)!.score;
    const near: Neighbour[] = [];
    for (let row = 0; row * width < rows.length; row++) {
      const score = this.#scoreOf(rows, row * width, first + row);
      if (score > worst) near.push({ index: first + row, score });
    }
    if (near.length === 0) return;
    this.#found = [...this.#found, ...near]
      .sort((a, b) => b.score - a.score || a.index - b.index)
      .slice(0, this.#count);
  }

  #scoreOf(rows: Float32Array, at: number, index: number): number {
    let [product, squares] = [0, 0];
    for (let column = 0; column < this.#query.length; column++) {
      const value = rows[at + column] as number;
      product += value * (this.#query[column] as number);
      squares += value * value;
    }
    if (!Number.isFinite(squares)) {
      throw new PerformerError('DATA', `nearest: expected finite numbers in vector ${index}, got others.`);
    }
    const lengths = this.#length * Math.sqrt(squares);
    return lengths === 0 ? 0 : product / lengths;
  }

  /** The nearest so far, the nearest first; of equal ones the first. */
  get found(): readonly Neighbour[] {
    return this.#found;
  }
}

/**
 * The vectors that are nearest to a query by cosine similarity, the nearest first, such as those of `embed`.
 *
 * @throws CONFIG for a count that is none, DATA for vectors of another length than the query and numbers that are not finite.
 */
export function nearest(
  query: ArrayLike<number>,
  vectors: readonly Float32Array[],
  options: NearestOptions = {},
): readonly Neighbour[] {
  const search = new NearestSearch(query, options);
  vectors.forEach((vector, index) => {
    if (vector.length !== query.length) {
      const got = `${vector.length} in vector ${index}`;
      throw new PerformerError('DATA', `nearest: expected ${query.length} numbers, as the query has, got ${got}.`);
    }
    search.look(vector, index);
  });
  return search.found;
}
