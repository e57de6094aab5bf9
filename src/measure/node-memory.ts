/** The memory of this process, for Node. */
import { readFileSync } from 'node:fs';

/**
 * The most bytes that were resident in this process so far. On Linux they are this program's own: what the system counts for a process
 * (`process.resourceUsage().maxRSS`, which stands for it elsewhere) has also what the program held that started it.
 */
export function peakBytes(): number {
  const kilobytes = ownPeak() ?? process.resourceUsage().maxRSS;
  return kilobytes * 1024;
}

function ownPeak(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const found = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return found === null ? undefined : Number(found[1]);
}
