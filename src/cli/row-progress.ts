/** Progress of reading rows, or of another count: a line that changes on a terminal, a plain one now and then elsewhere. */
import { SingleBar } from 'cli-progress';
import { formatCount } from './format.js';
import type { Output } from './io.js';
import { bareOutput } from './terminal.js';

export interface RowProgress {
  show(stage: string, count: number): void;
  /** Ends the progress; what is written next begins a line. May be called again. */
  close(): void;
}

/** Milliseconds between two plain lines, and before the first. */
const interval = 2000;

export function rowProgress(output: Output, unit = 'rows'): RowProgress {
  return output.isTTY ? bar(output, unit) : lines(output, unit);
}

function bar(output: Output, unit: string): RowProgress {
  const single = new SingleBar({
    format: `{stage}: {shown} ${unit}, {duration_formatted}`,
    stream: bareOutput(output),
    linewrap: true, // as in progress.ts: no mode of the terminal is changed
    clearOnComplete: true,
    fps: 10,
    forceRedraw: true,
  });
  single.start(1, 0, { stage: 'starting', shown: '0' });
  let isOpen = true;
  return {
    show: (stage, count) => single.update(0, { stage, shown: formatCount(count) }),
    close() {
      if (isOpen) single.stop();
      isOpen = false;
    },
  };
}

function lines(output: Output, unit: string): RowProgress {
  let shown = performance.now();
  return {
    show(stage, count) {
      if (performance.now() - shown < interval) return;
      shown = performance.now();
      output.write(`${stage}: ${formatCount(count)} ${unit}\n`);
    },
    close: () => undefined,
  };
}
