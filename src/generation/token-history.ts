/** What a session knows of its tokens beside what the model keeps. */
import { type HostTensor, int32 } from '../base/array.js';
import { type History, noTokens } from './memory.js';

export class TokenHistory {
  readonly #seen: HostTensor<'bool'>;
  readonly #recent: HostTensor<'int32'>;
  #withheld: HostTensor<'int32'>;
  readonly #vocabularySize: number;

  /** Goes on with these tensors, and changes them. */
  constructor({ seen, recent, withheld }: History) {
    this.#seen = seen;
    this.#recent = recent;
    this.#withheld = withheld;
    this.#vocabularySize = seen.shape[1] as number;
  }

  get tensors(): History {
    return { seen: this.#seen, recent: this.#recent, withheld: this.#withheld };
  }

  seenTokens(row: number): number[] {
    const size = this.#vocabularySize;
    const marks = this.#seen.data.subarray(row * size, (row + 1) * size);
    return Array.from(marks.keys()).filter((token) => marks[token] === 1);
  }

  recentTokens(row: number): Int32Array {
    return this.#recentOf(row).filter((token) => token >= 0);
  }

  get withheld(): Uint8Array {
    return Uint8Array.from(this.#withheld.data);
  }

  withhold(bytes: Uint8Array): void {
    this.#withheld = int32([bytes.length], Int32Array.from(bytes));
  }

  /** Notes what was read, a list of tokens for each row: nothing is withheld any longer. */
  note(rows: readonly Int32Array[]): void {
    rows.forEach((tokens, row) => {
      for (const token of tokens) this.#seen.data[row * this.#vocabularySize + token] = 1;
      const own = this.#recentOf(row);
      const count = Math.min(tokens.length, own.length);
      own.copyWithin(0, count);
      own.set(tokens.subarray(tokens.length - count), own.length - count);
    });
    this.#withheld = noTokens;
  }

  #recentOf(row: number): Int32Array {
    const { shape, data } = this.#recent;
    const lookback = shape[1] as number;
    return data.subarray(row * lookback, (row + 1) * lookback);
  }
}
