/** What a JSON text will become, told before it is parsed: a few megabytes of brackets become gigabytes of lists. */

export interface JsonBounds {
  /** How deep lists and objects lie in one another. */
  readonly depth: number;
  /** Commas between the items of the outermost list or object. */
  readonly outerCommas: number;
}

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Looks at each character once, and takes no memory. The text need not be sound. */
export function jsonBounds(text: string): JsonBounds {
  let deepest = 0;
  let depth = 0;
  let outerCommas = 0;
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case openList:
      case openObject:
        if (++depth > deepest) deepest = depth;
        break;
      case closeList:
      case closeObject:
        depth--;
        break;
      case comma:
        if (depth === 1) outerCommas++;
        break;
      case quote:
        for (index++; index < text.length && text.charCodeAt(index) !== quote; index++) {
          if (text.charCodeAt(index) === backslash) index++;
        }
    }
  }
  return { depth: deepest, outerCommas };
}
