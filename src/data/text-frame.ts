/** What models read around a whole text, such as [CLS] before it and [SEP] behind. */

/** Tokens before and behind a text. */
export interface TextFrame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** The tokens of a text within their frame, where there is one. A text is cut so that all together are at most `window` tokens. */
export function framedTokens(
  tokens: Int32Array,
  frame: TextFrame | undefined,
  window = Number.POSITIVE_INFINITY,
): Int32Array {
  if (frame === undefined) return tokens;
  const { before, after } = frame;
  const room = Math.max(0, window - before.length - after.length);
  return Int32Array.from([...before, ...tokens.subarray(0, Math.min(room, tokens.length)), ...after]);
}
