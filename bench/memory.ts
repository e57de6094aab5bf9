/** The memory of a training step: against the formula of docs/memory.md, and what recomputation, reversible layers and chunks save and cost. */
import { modelOf, presets } from '../src/models/index.js';
import { numberFrom } from './in-process.js';
import { inTurns } from './measure.js';
import type { MemoryStepOptions } from './memory-step.js';
import { config, model } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure, type Row, spreadOf } from './report.js';
import { preparedStep, someWeights } from './training-step.js';

/** The peak of one step over what was resident before it, in bytes, in a process of its own. */
function peakOf(options: MemoryStepOptions): Promise<number> {
  return numberFrom('memory-step', options);
}

/** The formula of docs/memory.md: bytes at the peak for each token. */
function bytesPerToken(recompute: boolean): number {
  const { dim, depth, heads, headDim, feedForwardMultiplier } = config;
  const { featureCount } = presets.small.model.attention.features;
  const { chunk } = model;
  const hidden = dim * feedForwardMultiplier;
  const prefix = (featureCount * (headDim + 1)) / chunk;
  const kept = 4 * dim + heads * (prefix + 6 * headDim + 1) + 2 * hidden;
  const gradient = 4 * dim + heads * 7 * headDim;
  const block = 13 * dim + heads * (2 * prefix + 6 * headDim) + 4 * hidden;
  return 4 * (recompute ? (depth - 1) * dim + block : depth * kept + gradient);
}

/** What each token adds to the peak, between two lengths, against the formula. */
async function againstFormula(recompute: boolean, [short, long]: readonly [number, number]): Promise<Row> {
  const { depth } = config;
  const added =
    (await peakOf({ depth, length: long, recompute })) - (await peakOf({ depth, length: short, recompute }));
  return comparison(
    {
      what: `${depth} layers, ${recompute ? 'recomputed' : 'plain'}, each token from ${short} to ${long}`,
      ours: added / (long - short) / 1e3,
      theirs: bytesPerToken(recompute) / 1e3,
      unit: 'kB',
      opponent: 'the formula',
      ratio: 'ours/theirs',
    },
    { atLeast: 0.85, atMost: 1.15 },
  );
}

/** The peak of a step whose feed-forward layers take some tokens at once, over that of the step that takes all. */
async function inChunks(length: number, feedForwardChunk: number, recompute: boolean): Promise<Row> {
  const own = { depth: config.depth, length, recompute };
  const kind = recompute ? 'recomputed' : 'plain';
  return comparison({
    what: `${config.depth} layers, length ${length}, ${kind}, feed-forward in chunks of ${feedForwardChunk}: all of the step`,
    ours: (await peakOf({ ...own, feedForwardChunk })) / 1e9,
    theirs: (await peakOf(own)) / 1e9,
    unit: 'GB',
    opponent: 'all tokens at once',
    ratio: 'ours/theirs',
  });
}

/** Steps that keep all, that recompute and of reversible layers, and with feed-forward layers in chunks, in turns, on the same parameters: milliseconds. */
async function timesOf(depth: number, length: number, isQuick: boolean) {
  const of = modelOf({ ...config, depth });
  const weights = someWeights(of);
  const plain = await preparedStep(length, { of, weights });
  const recomputed = await preparedStep(length, { of, weights, recompute: true });
  const reversible = await preparedStep(length, { of: modelOf({ ...config, depth, reversible: true }), weights });
  const chunked = await preparedStep(length, {
    of: modelOf({ ...config, depth }, { feedForwardChunk: length / 4 }),
    weights,
  });
  const rounds = isQuick ? { warmup: 0, rounds: 1 } : { warmup: 3, rounds: 7 };
  return inTurns({ plain, recomputed, reversible, chunked }, rounds);
}

/** What each token adds to the peak of reversible layers, at a depth against a quarter of it. */
async function acrossDepths(depth: number, [short, long]: readonly [number, number]): Promise<Row> {
  const of = async (own: number) => {
    const peak = (length: number) => peakOf({ depth: own, length, recompute: false, reversible: true });
    return ((await peak(long)) - (await peak(short))) / (long - short) / 1e3;
  };
  return comparison(
    {
      what: `reversible, ${depth} layers, each token from ${short} to ${long}`,
      ours: await of(depth),
      theirs: await of(Math.ceil(depth / 4)),
      unit: 'kB',
      opponent: 'a quarter of the layers',
      ratio: 'ours/theirs',
    },
    { atMost: 1.3 },
  );
}

export const memory: Benchmark = {
  name: 'memory',
  title: 'memory of a training step over what was there before it: dim 512, 8 heads × 64, 256 features, batch 1',
  async run({ isQuick }: BenchmarkOptions) {
    const [depth, length, longest] = isQuick ? [2, 128, 256] : [24, 2048, 32_768];
    const recomputed = await peakOf({ depth, length, recompute: true });
    const plain = await peakOf({ depth, length, recompute: false });
    const rows = [
      comparison(
        {
          what: `${depth} layers, length ${length}, recomputed: all of the step`,
          ours: recomputed / 1e9,
          theirs: plain / 1e9,
          unit: 'GB',
          opponent: 'the plain step',
          ratio: 'ours/theirs',
        },
        { atMost: 0.5 },
      ),
      await againstFormula(false, isQuick ? [128, 256] : [2048, 4096]),
      await againstFormula(true, isQuick ? [128, 256] : [8192, 16_384]),
      figure(
        `${config.depth} layers, length ${longest}, recomputed: all of the step`,
        (await peakOf({ depth: config.depth, length: longest, recompute: true })) / 1e9,
        'GB',
        { atMost: 24 },
      ),
    ];
    rows.push(await acrossDepths(depth, isQuick ? [128, 256] : [2048, 4096]));
    for (const recompute of [false, true])
      rows.push(await inChunks(isQuick ? 256 : 4096, isQuick ? 64 : 512, recompute));
    const times = await timesOf(depth, length, isQuick);
    for (const [what, atMost] of [
      ['recomputed', 1.35],
      ['reversible', 1.5],
      ['chunked', 1.35],
    ] as const) {
      rows.push(
        comparison(
          {
            what: `${depth} layers, length ${length}, ${what}: time of the step`,
            ours: times[what].median,
            theirs: times.plain.median,
            spread: spreadOf(times[what], times.plain),
            unit: 'ms',
            opponent: 'the plain step',
            ratio: 'ours/theirs',
          },
          { atMost },
        ),
      );
    }
    return rows;
  },
};
