/** The memory of a training step: against the formula of docs/memory.md, and what recomputation saves and costs. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LanguageModelConfig } from '../src/models/index.js';
import { inTurns } from './measure.js';
import type { MemoryStepOptions } from './memory-step.js';
import { config } from './model.js';
import { type Benchmark, bounded, type Row } from './report.js';
import { preparedStep, someWeights } from './training-step.js';

/** The peak of one step over what was resident before it, in bytes, in a process of its own. */
function peakOf(options: MemoryStepOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('memory-step.js', import.meta.url)), [JSON.stringify(options)]);
    let bytes: number | undefined;
    child.on('message', (message) => {
      bytes = message as number;
    });
    child.on('exit', (code) => (bytes === undefined ? reject(new Error(`a step ended with ${code}`)) : resolve(bytes)));
  });
}

/** The formula of docs/memory.md: bytes at the peak for each token. */
function bytesPerToken(settings: LanguageModelConfig, recompute: boolean): number {
  const { dim, depth, heads, headDim, featureCount, feedForwardMultiplier, chunk } = settings;
  const hidden = dim * feedForwardMultiplier;
  const prefix = (featureCount * (headDim + 1)) / chunk;
  const kept = 4 * dim + heads * (2 * featureCount + prefix + chunk + 4 * headDim + 1) + 2 * hidden;
  const gradient = 4 * dim + heads * (3 * featureCount + prefix + chunk + 3 * (headDim + 1));
  const block = 13 * dim + heads * (6 * featureCount + 3 * prefix + 2 * chunk + 8 * headDim + 6) + 4 * hidden;
  return 4 * (recompute ? (depth - 1) * dim + block : depth * kept + gradient);
}

/** What each token adds to the peak, between two lengths, against the formula. */
async function againstFormula(recompute: boolean, short: number, long: number): Promise<Row> {
  const peaks = [];
  for (const length of [short, long]) peaks.push(await peakOf({ depth: config.depth, length, recompute }));
  const measured = ((peaks[1] as number) - (peaks[0] as number)) / (long - short);
  const expected = bytesPerToken(config, recompute);
  const ratio = measured / expected;
  return {
    what: `a token more, ${config.depth} layers, ${recompute ? 'recomputed' : 'plain'}, lengths ${short} to ${long}`,
    value: `${(measured / 1e3).toFixed(0)} kB`,
    ratio,
    opponent: `the formula's ${(expected / 1e3).toFixed(0)} kB`,
    target: '0.85 – 1.15',
    isMet: ratio >= 0.85 && ratio <= 1.15,
  };
}

const deep = { depth: 24, length: 2048 };

export const memory: Benchmark = {
  name: 'memory',
  title: 'memory of a training step: dim 512, 8 heads × 64, 256 features, batch 1',
  async run() {
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
    const plain = await peakOf({ ...deep, recompute: false });
    const recomputed = await peakOf({ ...deep, recompute: true });
    const rows: Row[] = [
      bounded(
        {
          what: 'peak with recomputation, 24 layers, length 2,048',
          value: gigabytes(recomputed),
          ratio: recomputed / plain,
          opponent: `the plain step's ${gigabytes(plain)}`,
        },
        { atMost: 0.5 },
      ),
      await againstFormula(false, 2048, 4096),
      await againstFormula(true, 8192, 16384),
    ];
    const long = await peakOf({ depth: config.depth, length: 32768, recompute: true });
    rows.push({
      what: 'peak with recomputation, 6 layers, length 32,768',
      value: gigabytes(long),
      target: '< 24 GB',
      isMet: long < 24e9,
    });
    const settings = { ...config, depth: deep.depth };
    const weights = someWeights(settings);
    const [first, second] = await Promise.all(
      [false, true].map((recompute) => preparedStep(deep.length, { settings, recompute, weights })),
    );
    const times = await inTurns({ plain: first!.train, recomputed: second!.train }, { warmup: 3, rounds: 7 });
    return [
      ...rows,
      bounded(
        {
          what: 'time with recomputation, 24 layers, length 2,048',
          value: `${times.recomputed.median.toFixed(0)} ms`,
          ratio: times.recomputed.median / times.plain.median,
          opponent: `the plain step's ${times.plain.median.toFixed(0)} ms`,
        },
        { atMost: 1.35 },
      ),
    ];
  },
};
