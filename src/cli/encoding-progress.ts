/** Lines of standard error while a long text is turned into tokens. */
import type { SourceOptions } from '../data/index.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';

/** Milliseconds between two lines. */
const interval = 2000;

/** Tells how far it is, where that takes longer than a moment. */
export function encodingProgress({ stderr }: Pick<Io, 'stderr'>): SourceOptions {
  let last = performance.now();
  return {
    onProgress({ bytes, total }) {
      if (performance.now() - last < interval) return;
      last = performance.now();
      stderr.write(`tokens of ${formatBytes(bytes)} of ${formatBytes(total)}\n`);
    },
  };
}
