/** Numbers as text. */

/** A decimal number as it is usually written, and nothing else: undefined for `12x`, `0x10`, `Infinity` or nothing. */
export function parseNumber(text: string): number | undefined {
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}
