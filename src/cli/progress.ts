/** Progress of a training: a bar on a terminal, plain lines without control codes anywhere else. */
import { MultiBar } from 'cli-progress';
import { bitsPerByte, formatBytes, formatCount, formatDuration } from './format.js';
import type { Output } from './io.js';
import { bareOutput, withoutControls } from './terminal.js';

export interface Status {
  readonly step: number;
  /** Nats a token. */
  readonly loss: number;
  readonly tokensPerSecond: number;
  readonly memory: number;
  readonly secondsLeft: number;
}

export interface Progress {
  step(status: Status): void;
  /** A line that stays. */
  note(line: string): void;
  /** Ends the progress; what is written next begins a line. */
  close(): void;
}

/** Milliseconds between two plain lines. */
const interval = 2000;

function figures({ loss, tokensPerSecond, memory, secondsLeft }: Status): string[] {
  return [
    `loss ${loss.toFixed(4)}`,
    `${bitsPerByte(loss).toFixed(3)} bits/byte`,
    `${formatCount(tokensPerSecond)} tokens/s`,
    formatBytes(memory),
    `${formatDuration(secondsLeft)} left`,
  ];
}

/** Progress from a step on, in the manner that the output can show. */
export function trainingProgress(output: Output, start: number, steps: number): Progress {
  return output.isTTY ? bar(output, start, steps) : lines(output, start, steps);
}

function bar(output: Output, start: number, steps: number): Progress {
  const bars = new MultiBar({
    format: '{bar} {value}/{total}  {figures}',
    stream: bareOutput(output),
    barsize: 20,
    barCompleteChar: '#',
    barIncompleteChar: '-',
    linewrap: true, // lines are cut instead: what changes a terminal's mode would stay when the process is killed
    fps: 10,
    emptyOnZero: true,
    forceRedraw: true,
  });
  const single = bars.create(steps, start, { figures: 'starting' });
  let isOpen = true;
  return {
    step: (status) => single.update(status.step, { figures: figures(status).join('  ') }),
    note(line) {
      bars.log(`${withoutControls(line)}\n`);
      bars.update();
    },
    close() {
      if (isOpen) bars.stop();
      isOpen = false;
    },
  };
}

function lines(output: Output, start: number, steps: number): Progress {
  let shown = Number.NEGATIVE_INFINITY;
  return {
    step(status) {
      const isEdge = status.step === start + 1 || status.step === steps;
      if (!isEdge && performance.now() - shown < interval) return;
      shown = performance.now();
      output.write(`step ${status.step}/${steps}  ${figures(status).join('  ')}\n`);
    },
    note: (line) => output.write(`${line}\n`),
    close: () => undefined,
  };
}
