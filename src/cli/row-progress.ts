/** Progress of reading rows: one line that changes on a terminal, a plain line now and then anywhere else. */
import { SingleBar } from 'cli-progress';
import { formatCount } from './format.js';
import type { Output } from './io.js';

export interface RowProgress {
  show(stage: string, rows: number): void;
  /** Ends the progress; what is written next begins a line. May be called again. */
  close(): void;
}

/** Milliseconds between two plain lines, and before the first. */
const interval = 2000;

export function rowProgress(output: Output): RowProgress {
  return output.isTTY ? bar(output) : lines(output);
}

function bar(output: Output): RowProgress {
  const single = new SingleBar({
    format: '{stage}: {shown} rows, {duration_formatted}',
    stream: output,
    hideCursor: true,
    clearOnComplete: true,
    fps: 10,
    forceRedraw: true,
  });
  single.start(1, 0, { stage: 'starting', shown: '0' });
  let isOpen = true;
  return {
    show: (stage, rows) => single.update(0, { stage, shown: formatCount(rows) }),
    close() {
      if (isOpen) single.stop();
      isOpen = false;
    },
  };
}

function lines(output: Output): RowProgress {
  let shown = performance.now();
  return {
    show(stage, rows) {
      if (performance.now() - shown < interval) return;
      shown = performance.now();
      output.write(`${stage}: ${formatCount(rows)} rows\n`);
    },
    close: () => undefined,
  };
}
