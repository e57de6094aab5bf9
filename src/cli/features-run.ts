/** `performer features` at work. */
import {
  type AttentionSamples,
  type CandidateReport,
  type FeatureCandidate,
  type PredictableMap,
  predictableMaps,
  type Recommendation,
  recommendFeatures,
} from '../attention/index.js';
import { float32, type HostTensor } from '../base/array.js';
import { parseNumber } from '../base/number.js';
import { Random } from '../base/random.js';
import { tokenSource } from '../data/index.js';
import type { OpenSource } from '../data/node.js';
import type { Engine } from '../engine/index.js';
import { effectiveRank, isShaped, projectionKinds } from '../features/index.js';
import { attentionSamples, tokenizerOf } from '../models/index.js';
import { type Given, usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import type { FeaturesOptions } from './features.js';
import { alignedLines, formatCount } from './format.js';
import type { Io } from './io.js';
import { readModel } from './read-model.js';
import { readWindows } from './sampled-windows.js';
import { openTexts } from './standard-input.js';

interface LayerReport extends Recommendation {
  readonly layer: string;
  /** Root mean squares of the lengths of queries and keys. */
  readonly queryNorm: number;
  readonly keyNorm: number;
  /** Means over the heads. */
  readonly queryRank: number;
  readonly keyRank: number;
  readonly keys: number;
}

export async function runFeatures({ arguments: given, options }: Given<FeaturesOptions>, io: Io): Promise<void> {
  const [folder, files] = given as readonly [string | undefined, readonly string[]];
  const candidates = candidatesOf(options);
  const featureCounts = countsOf(options);
  const isDrawn = options.dim !== undefined;
  if (isDrawn === (folder !== undefined)) {
    throw usageError('features: expected a folder with a model, or --dim for samples without one, and not both.');
  }
  if (!isDrawn && files.length === 0) throw usageError('features: expected files that the model reads, got none.');
  const engine = await chooseEngine(options);
  const layers = isDrawn
    ? [drawnSamples(options, options.dim as number)]
    : await modelSamples(engine, folder as string, options, () => openTexts(files, io), io);
  const reports: LayerReport[] = [];
  for (const [index, samples] of layers.entries()) {
    const { tolerance, measure, draws, seed } = options;
    const settings = { tolerance, candidates, featureCounts, measuresAll: measure === true, draws, seed };
    const found = await recommendFeatures(engine, samples, settings);
    reports.push({ layer: isDrawn ? 'drawn samples' : `layer ${index}`, ...statisticsOf(samples), ...found });
  }
  io.stdout.write(options.json ? `${JSON.stringify({ layers: reports })}\n` : reports.map(textOf).join('\n'));
}

function listOf<T extends string>(flag: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((word) => {
    const name = word.trim() as T;
    if (!known.includes(name)) throw usageError(`--${flag}: expected ${known.join(', ')}, got ${name}.`);
    return name;
  });
}

function candidatesOf({ maps, projectionKinds: kinds, rowNorm }: FeaturesOptions): FeatureCandidate[] {
  const fitting: readonly PredictableMap[] =
    rowNorm === 'root' ? predictableMaps.filter((name) => !isShaped(name)) : predictableMaps;
  const names: readonly PredictableMap[] = maps === undefined ? fitting : listOf('maps', maps, predictableMaps);
  const misfit = names.find((name) => !fitting.includes(name));
  if (misfit !== undefined) throw usageError(`--row-norm: expected chi for ${misfit} features, got root.`);
  return names.flatMap((name): FeatureCandidate[] => {
    // Taylor features have no projection, and are one candidate.
    if (name === 'taylor') return [{ name, projectionKind: 'orthogonal', rowNorm: 'chi' }];
    const own = listOf('projection-kinds', kinds, projectionKinds);
    return own.map((projectionKind) => ({ name, projectionKind, rowNorm }));
  });
}

function countsOf({ featureCounts }: FeaturesOptions): number[] {
  const counts = featureCounts.split(',').map((word) => parseNumber(word.trim()) ?? Number.NaN);
  const isFitting = counts.every((count, at) => count > (counts[at - 1] ?? 0) && count % 2 === 0 && count <= 2 ** 16);
  if (!isFitting) throw usageError(`--feature-counts: expected ascending even numbers, got ${featureCounts}.`);
  return counts;
}

function drawnSamples({ std, length, seed, causal }: FeaturesOptions, dim: number): AttentionSamples {
  const random = Random.fromSeed(seed).split('samples');
  const normal = (name: string, scale: number) =>
    float32(
      [1, length, 1, dim],
      random
        .split(name)
        .normals(length * dim)
        .map((value) => value * scale),
    );
  return { query: normal('query', std), key: normal('key', std), value: normal('value', 1), isCausal: causal };
}

async function modelSamples(
  engine: Engine,
  folder: string,
  { window, windows }: FeaturesOptions,
  open: () => Promise<OpenSource>,
  io: Io,
): Promise<AttentionSamples[]> {
  const { model, ...weights } = await readModel(folder, io);
  const { maxLength = Number.POSITIVE_INFINITY } = model;
  if (window > maxLength) {
    throw usageError(`--window: expected at most the ${maxLength} tokens that the model can read, got ${window}.`);
  }
  const text = await open();
  try {
    return await attentionSamples(
      engine,
      model,
      weights,
      await readWindows('features', await tokenSource(tokenizerOf(model.config), text), window, windows),
    );
  } finally {
    await text.close();
  }
}

function statisticsOf({ query, key }: AttentionSamples) {
  const norm = ({ data, shape }: HostTensor) =>
    Math.sqrt((data.reduce((total, value) => total + value * value, 0) / data.length) * (shape[3] as number));
  const rank = ({ data, shape }: HostTensor) => {
    const [, , heads, dim] = shape as [number, number, number, number];
    const rows = Array.from({ length: data.length / dim }, (_, row) => data.subarray(row * dim, (row + 1) * dim));
    const ranks = Array.from({ length: heads }, (_, head) =>
      effectiveRank(rows.filter((_row, at) => at % heads === head)),
    );
    return ranks.reduce((a, b) => a + b) / heads;
  };
  return {
    queryNorm: norm(query),
    keyNorm: norm(key),
    queryRank: rank(query),
    keyRank: rank(key),
    keys: key.shape[1] as number,
  };
}

function titleOf({ name, projectionKind, rowNorm }: FeatureCandidate): string {
  return name === 'taylor' ? name : `${name} ${projectionKind}${rowNorm === 'root' ? ' root' : ''}`;
}

/** `0.123`, or `–` for what is not known; errors of 1 or more leave nothing of the signal. */
function errorText(error: number | undefined): string {
  if (error === undefined) return '–';
  if (error < 0.001) return error.toExponential(0);
  return error >= 100 ? '>100' : error.toPrecision(3).slice(0, 5);
}

function tableOf(candidates: readonly CandidateReport[]): string[] {
  const counts = [...new Set(candidates.flatMap(({ estimates }) => estimates.map(({ featureCount }) => featureCount)))];
  counts.sort((a, b) => a - b);
  const header = ['predicted / measured', ...counts.map(String)];
  const rows = candidates.map((candidate) => [
    titleOf(candidate),
    ...counts.map((count) => {
      const found = candidate.estimates.find(({ featureCount }) => featureCount === count);
      return found === undefined ? '' : `${errorText(found.predicted)} / ${errorText(found.measured)}`;
    }),
  ]);
  return alignedLines([header, ...rows]);
}

function textOf(report: LayerReport): string {
  const { layer, queryNorm, keyNorm, queryRank, keyRank, best, tolerance, candidates, keys } = report;
  const most = Math.max(...candidates.flatMap(({ estimates }) => estimates.map(({ featureCount }) => featureCount)));
  const answer =
    best === undefined
      ? `no map is within ${tolerance} by ${formatCount(most)} features: use exact attention, or more features than that`
      : `for ${tolerance}: ${titleOf(best)} with ${best.featureCount} features (measured ${errorText(best.error)})` +
        (best.featureCount >= keys ? `; for ${formatCount(keys)} keys exact attention is no dearer` : '');
  const lines = [
    `${layer}: |q| ${queryNorm.toFixed(2)}, |k| ${keyNorm.toFixed(2)}, effective rank ${queryRank.toFixed(1)} and ${keyRank.toFixed(1)}`,
    ...tableOf(candidates),
    answer,
  ];
  return `${lines.join('\n')}\n`;
}
