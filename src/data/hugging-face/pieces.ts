/**
 * Encoding a long text piece by piece, so that the tokens are those of the whole: only a piece and its tokens are in memory as
 * objects.
 *
 * A text is cut where no token reaches over: between a letter and the space before the next word, or where the class of
 * characters changes. A cut is taken only where the tokens of the text up to it stay as they are when the text after it
 * follows. Each piece is encoded behind the last characters of the one before, whose tokens are then left out, as what
 * stands at the beginning of a text may have other tokens than within.
 */
import { internalError } from '../../base/errors.js';

/** Characters of a piece. */
export const pieceLength = 2 ** 15;
/** Characters that are read before a piece, and behind a cut to prove it. */
const [before, behind] = [256, 1024];
/** Cuts that are tried in a piece, of each kind. */
const tries = 16;

export type Encode = (text: string) => readonly number[];

/** Takes a text in as it comes, and gives its tokens out in their order. */
export class PieceEncoder {
  #context = '';
  #text = '';
  #next: number;

  constructor(
    private readonly encode: Encode,
    private readonly take: (tokens: readonly number[]) => void,
    private readonly length = pieceLength,
  ) {
    this.#next = 2 * length;
  }

  /** Adds text, and encodes what can be. */
  push(text: string): void {
    this.#text += text;
    while (this.#text.length >= this.#next) {
      const cut = this.#cut();
      if (cut === undefined)
        this.#next *= 2; // a text without a place to cut is encoded as one
      else {
        this.#encode(cut);
        this.#next = 2 * this.length;
      }
    }
  }

  /** Encodes the rest. */
  end(): void {
    if (this.#text !== '') this.#encode(this.#text.length);
  }

  #encode(cut: number): void {
    const piece = this.#text.slice(0, cut);
    const known = this.#context === '' ? [] : this.encode(this.#context);
    const tokens = this.encode(this.#context + piece);
    if (!startsWith(tokens, known)) throw internalError('the tokens of a text change behind a place where it was cut');
    this.take(known.length === 0 ? tokens : tokens.slice(known.length));
    this.#context = tail(this.#context + piece, before);
    this.#text = this.#text.slice(cut);
  }

  #cut(): number | undefined {
    const text = this.#text.slice(0, this.#next - this.length + behind);
    const last = this.#next - this.length;
    for (const isCut of [isBeforeWord, isBetweenClasses]) {
      let left = tries;
      for (let at = last; at > last - this.length && at > 0 && left > 0; at--) {
        if (!isCut(text, at)) continue;
        left--;
        if (this.#isProven(text, at)) return at;
      }
    }
    return undefined;
  }

  #isProven(text: string, at: number): boolean {
    const left = tail(this.#context + text.slice(0, at), before);
    return startsWith(this.encode(left + head(text.slice(at), behind)), this.encode(left));
  }
}

function startsWith(tokens: readonly number[], first: readonly number[]): boolean {
  return first.length <= tokens.length && first.every((token, at) => tokens[at] === token);
}

const isLowSurrogate = (text: string, at: number) => /[\udc00-\udfff]/.test(text[at] ?? '');

/** The last characters of a text, none of them cut. */
function tail(text: string, length: number): string {
  const at = Math.max(0, text.length - length);
  return text.slice(isLowSurrogate(text, at) ? at + 1 : at);
}

/** The first characters of a text, none of them cut. */
function head(text: string, length: number): string {
  return text.slice(0, isLowSurrogate(text, length) ? length + 1 : length);
}

function isBeforeWord(text: string, at: number): boolean {
  return text[at] === ' ' && /\p{L}$/u.test(text.slice(at - 2, at)) && /^ \p{L}/u.test(text.slice(at, at + 3));
}

function isBetweenClasses(text: string, at: number): boolean {
  const [left, right] = [classOf(text.slice(at - 2, at), '$'), classOf(text.slice(at, at + 2), '^')];
  return left !== undefined && right !== undefined && left !== right && !isLowSurrogate(text, at);
}

const classes = (['L', 'N', 'P', 'S', 'Z'] as const).map((name) => ({
  name,
  $: new RegExp(`\\p{${name}}$`, 'u'),
  '^': new RegExp(`^\\p{${name}}`, 'u'),
}));

/** The class of the last or the first character; undefined for marks, joiners and the like, which go with others. */
function classOf(text: string, side: '^' | '$'): string | undefined {
  return classes.find((each) => each[side].test(text))?.name;
}
