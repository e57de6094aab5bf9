/** Tokens of a text to measure a model on. */
import { type HostTensor, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { TokenSource } from '../data/index.js';

/** So many windows of tokens, evenly spaced over a text: [windows, window]. Throws DATA, told by `where`, for a text that is shorter than one. */
export async function readWindows(
  where: string,
  text: TokenSource,
  window: number,
  windows: number,
): Promise<HostTensor<'int32'>> {
  if (text.length < window) {
    throw new PerformerError(
      'DATA',
      `${where}: expected at least the ${window} tokens of a window, got ${text.length}.`,
    );
  }
  const tokens = new Int32Array(windows * window);
  for (let row = 0; row < windows; row++) {
    const offset = Math.floor(((text.length - window) * (row + 0.5)) / windows);
    tokens.set(await text.read(offset, window), row * window);
  }
  return int32([windows, window], tokens);
}
