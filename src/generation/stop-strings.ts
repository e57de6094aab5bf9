/**
 * Stop strings: text is passed on as it comes, but for what might be the beginning of one. Text may be of characters, or
 * of bytes of UTF-8 with one character for each: no character's bytes occur within those of another.
 */

export interface Released {
  /** Text that belongs to no stop string. */
  readonly text: string;
  /** Whether a stop string has appeared; it and all that follows is dropped. */
  readonly isStopped: boolean;
}

export class StopStrings {
  readonly #stops: readonly string[];
  #held: string;

  /**
   * @param stops texts that are not empty
   * @param held what an earlier text ended with and held back
   */
  constructor(stops: readonly string[], held = '') {
    this.#stops = stops;
    this.#held = held;
  }

  /** Adds text and returns what is now known to come before any stop string. */
  push(text: string): Released {
    const all = this.#held + text;
    const found = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#held = '';
      return { text: all.slice(0, Math.min(...found)), isStopped: true };
    }
    const end = all.length - Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(end);
    return { text: all.slice(0, end), isStopped: false };
  }

  /** Ends the text: nothing that is held back goes on as a stop string. */
  end(): Released {
    const text = this.#held;
    this.#held = '';
    return { text, isStopped: true };
  }

  /** What is held back: the beginning of a stop string, should it go on as one. */
  get held(): string {
    return this.#held;
  }
}

/** The length of the longest end of `text` that a longer `stop` begins with. */
function overlap(text: string, stop: string): number {
  let length = Math.min(text.length, stop.length - 1);
  while (length > 0 && !text.endsWith(stop.slice(0, length))) length--;
  return length;
}
