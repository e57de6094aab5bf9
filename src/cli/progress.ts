/** Progress of a training: a bar on a terminal, plain lines without control codes anywhere else. */
import { MultiBar } from 'cli-progress';
import { formatBytes, formatCount, formatDuration } from './format.js';
import type { Output } from './io.js';
import { bareOutput, withoutControls } from './terminal.js';

export interface Status {
  readonly step: number;
  /** Nats a token. */
  readonly loss: number;
  /** Of running text, whose loss is told in bits a byte as well. */
  readonly bitsPerByte?: number | undefined;
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

function figures({ loss, bitsPerByte, tokensPerSecond, memory }: Status): string[] {
  return [
    `loss ${loss.toFixed(4)}`,
    ...(bitsPerByte === undefined ? [] : [`${bitsPerByte.toFixed(3)} bits/byte`]),
    `${formatCount(tokensPerSecond)} tokens/s`,
    formatBytes(memory),
  ];
}

function timeLeft({ secondsLeft }: Status): string {
  return `${formatDuration(secondsLeft)} left`;
}

const gap = '  ';
const longestBar = 20;
const shortestBar = 6;

/**
 * The line of a bar that fits into `columns`: as many of the figures as there is room for beside a short bar, and the bar in
 * what is left; the first figure comes before the bar. The last column stays free, where some terminals begin a new line.
 */
export function barLine(step: number, steps: number, told: readonly string[], columns: number): string {
  const room = columns - 1;
  let line = `${step}/${steps}`;
  for (const [index, figure] of told.entries()) {
    const kept = index === 0 ? 0 : shortestBar + 1;
    if (line.length + gap.length + figure.length + kept > room) break;
    line += gap + figure;
  }
  const size = Math.min(longestBar, room - line.length - 1);
  if (size < shortestBar) return line.slice(0, room);
  const done = Math.round((step / Math.max(1, steps)) * size);
  return `${'#'.repeat(done)}${'-'.repeat(size - done)} ${line}`;
}

/** Progress from a step on, in the manner that the output can show. */
export function trainingProgress(output: Output, start: number, steps: number): Progress {
  return output.isTTY ? bar(output, start, steps) : lines(output, start, steps);
}

function bar(output: Output, start: number, steps: number): Progress {
  const bars = new MultiBar({
    format: (_, { value, total }, { figures: told }) => barLine(value, total, told, output.columns ?? 80),
    stream: bareOutput(output),
    linewrap: true, // lines fit instead: what changes a terminal's mode would stay when the process is killed
    fps: 10,
    emptyOnZero: true,
    forceRedraw: true,
  });
  const single = bars.create(steps, start, { figures: ['starting'] });
  let isOpen = true;
  return {
    step: (status) => single.update(status.step, { figures: [timeLeft(status), ...figures(status)] }),
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
      output.write(`step ${status.step}/${steps}${gap}${[...figures(status), timeLeft(status)].join(gap)}\n`);
    },
    note: (line) => output.write(`${line}\n`),
    close: () => undefined,
  };
}
