/** The memory of this process, for Node. */
import { existsSync, readFileSync } from 'node:fs';

const statusFile = '/proc/self/status';

/**
 * The most bytes that were resident in this process so far. On Linux they are this program's own: what the system counts for a process
 * (`process.resourceUsage().maxRSS`, which stands for it elsewhere) has also what the program held that started it.
 */
export function peakBytes(): number {
  const kilobytes = ownPeak() ?? process.resourceUsage().maxRSS;
  return kilobytes * 1024;
}

function ownPeak(): number | undefined {
  if (!existsSync(statusFile)) return undefined;
  const found = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(statusFile, 'latin1'));
  return found === null ? undefined : Number(found[1]);
}
