/** Tokens as they come, kept in as few bytes as they need: two for each of a vocabulary of up to 65,536. */
export class TokenList {
  readonly #parts: (Uint16Array | Int32Array)[] = [];
  readonly #isSmall: boolean;
  #length = 0;

  constructor(vocabularySize: number) {
    this.#isSmall = vocabularySize <= 2 ** 16;
  }

  push(tokens: readonly number[]): void {
    this.#parts.push(this.#isSmall ? Uint16Array.from(tokens) : Int32Array.from(tokens));
    this.#length += tokens.length;
  }

  /** All tokens, as a model takes them. */
  tokens(): Int32Array {
    return this.#fill(new Int32Array(this.#length));
  }

  /** All tokens in as few bytes. */
  compact(): Uint16Array | Int32Array {
    return this.#isSmall ? this.#fill(new Uint16Array(this.#length)) : this.tokens();
  }

  #fill<A extends Uint16Array | Int32Array>(all: A): A {
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
