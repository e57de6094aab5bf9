/** What `performer bench` prints. */
import { type Profile, profileText, readable, type Timing } from '../measure/index.js';
import type { BenchResult, Computed, Measured } from './bench-measure.js';
import { type PartName, partNames } from './bench-parts.js';
import { alignedLines, formatBytes, formatCount, formatMillions } from './format.js';

/** What was measured, and where. */
export interface BenchSubject {
  /** A folder, or a preset. */
  readonly model: string;
  readonly parameters: number;
  /** Tokens of a window in training. */
  readonly length: number;
  readonly batch: number;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly threads: number;
    readonly node: string;
    readonly provider: string;
  };
}

function timeText({ median, fastest, slowest }: Timing): string {
  return `${readable(median)} ms (${readable(fastest)}–${readable(slowest)})`;
}

function speedText({ tokensPerSecond }: Measured): string {
  return `${readable(tokensPerSecond)} tokens/s`;
}

function rateText({ gigaflops, share }: Computed): string {
  return `${readable(gigaflops)} GFLOP/s, ${(100 * share).toFixed(0)} % of the reference`;
}

export function benchText(subject: BenchSubject, { reference, training, prompt, decoding }: BenchResult): string {
  const { model, parameters, length, batch, machine } = subject;
  const { processor, cores, threads, node, provider } = machine;
  const rows = [
    ['', 'time (fastest–slowest)', 'speed', 'rate'],
    ['reference, large products', timeText(reference.milliseconds), '', `${readable(reference.gigaflops)} GFLOP/s`],
    [
      `training step, ${formatCount(batch)} × ${formatCount(length)} tokens`,
      timeText(training.milliseconds),
      speedText(training),
      rateText(training),
    ],
    [
      `prompt of ${formatCount(prompt.tokens)} tokens`,
      timeText(prompt.milliseconds),
      speedText(prompt),
      rateText(prompt),
    ],
    [
      'decoding, one token',
      timeText(decoding.milliseconds),
      speedText(decoding),
      `${readable(decoding.gigabytesPerSecond)} GB/s of weights and state`,
    ],
  ];
  const creation = [training, prompt, decoding].map((part) => `${readable(part.creationMilliseconds / 1000)} s`);
  return [
    `${model}: ${formatMillions(parameters)} parameters`,
    `${processor}, ${cores} cores, ${threads} threads, Node ${node}, ${provider}`,
    '',
    ...alignedLines(rows, { left: 4 }),
    '',
    `peak memory of training: ${formatBytes(training.peakBytes)}`,
    `session creation: training ${creation[0]}, prompt ${creation[1]}, decoding ${creation[2]}`,
    '',
  ].join('\n');
}

const titles: Readonly<Record<PartName, string>> = { training: 'Training', prompt: 'The prompt', decoding: 'Decoding' };

export function profilesText(profiles: Readonly<Record<PartName, Profile>>): string {
  return partNames.map((name) => `\n${titles[name]}: ${profileText(profiles[name])}\n`).join('');
}
