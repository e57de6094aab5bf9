/** Closed forms beside measurements: the error of one kernel estimate, its bias and variance, and the error of attention. */
import {
  measureAttentionError,
  type PredictableMap,
  predictAttentionError,
  shapeOfSamples,
} from '../../src/attention/index.js';
import { float32, type HostTensor } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/index.js';
import {
  type FeatureMapOptions,
  type FeatureShape,
  hasRandomRows,
  isShaped,
  kernelError,
  measureKernelError,
  type ProjectionKind,
} from '../../src/features/index.js';
import { type Candidate, closedFormCandidates } from '../candidates.js';
import type { Figure, FigureMaker, FigureOptions } from '../figure.js';
import { drawRows, optionsFor, type Rows } from '../measure.js';
import { barPlot, type Drawing, linePlot } from '../plot.js';

const dims = [16, 64];
const kinds = ['iid', 'orthogonal'] as const satisfies readonly ProjectionKind[];

/** Entries for which |q + k|²/√dim is 1 in the mean, whatever the dim: errors that draws can measure. */
const smallStd = (dim: number) => Math.sqrt(0.5 / Math.sqrt(dim));

/** Queries and keys of normal entries, and the shape that their moments give a map. */
async function samplesOf(engine: Engine, length: number, dim: number, seed: number) {
  const rows = drawRows({ length, dim, std: smallStd(dim), seed });
  const shapes = new Map<string, FeatureShape<HostTensor>>();
  return {
    rows,
    async shapeOf({ name }: Pick<FeatureMapOptions, 'name'>) {
      if (!isShaped(name)) return {};
      const shape = shapes.get(name) ?? (await shapeOfSamples(engine, name, { ...rows, isCausal: false }));
      shapes.set(name, shape);
      return { shape };
    },
  };
}

/** The first `pairs` rows: [pairs, dim]. */
function firstRows(x: HostTensor, pairs: number, dim: number): HostTensor {
  return float32([pairs, dim], x.data.slice(0, pairs * dim));
}

interface Parts {
  readonly variance: number;
  readonly squaredBias: number;
}

interface KernelComparison {
  readonly predicted: Parts;
  readonly measured: Parts;
}

/** Means over pairs of rows, relative to the square of the kernel. */
async function compareKernel(
  engine: Engine,
  options: FeatureMapOptions,
  { query, key }: Rows,
  given: { readonly pairs: number; readonly draws: number; readonly shape?: FeatureShape<HostTensor> },
): Promise<KernelComparison> {
  const { pairs, draws, ...shape } = given;
  const { headDim: dim } = options;
  const [x, y] = [firstRows(query, pairs, dim), firstRows(key, pairs, dim)];
  const row = ({ data }: HostTensor, pair: number) => data.subarray(pair * dim, (pair + 1) * dim);
  const closed = Array.from({ length: pairs }, (_, pair) => kernelError(options, row(x, pair), row(y, pair), shape));
  const kernel = closed.map((error) => error.kernel);
  const found = await measureKernelError(engine, options, { x, y, kernel }, { draws, seed: 1, ...shape });
  const mean = (of: (pair: number) => number) => kernel.reduce((total, _, pair) => total + of(pair) / pairs, 0);
  const bias = (pair: number) => (found.mean[pair]! - kernel[pair]!) / kernel[pair]!;
  const error = (pair: number) => found.meanSquaredError[pair]! / kernel[pair]! ** 2;
  const variance = mean((pair) => ((error(pair) - bias(pair) ** 2) * draws) / (draws - 1));
  return {
    predicted: {
      variance: mean((pair) => closed[pair]!.relativeVariance),
      squaredBias: mean((pair) => closed[pair]!.relativeBias ** 2),
    },
    // The square of a mean over draws exceeds that of the bias by variance/draws.
    measured: { variance, squaredBias: mean((pair) => bias(pair) ** 2) - variance / draws },
  };
}

/** Each candidate at each of its numbers of features, for both dims and both kinds of rows. */
async function compareAll(
  { engine, seed, isQuick, note }: FigureOptions,
  candidates: readonly Candidate[],
  countsOf: (dim: number) => readonly number[],
) {
  const [pairs, draws] = isQuick ? [4, 20] : [16, 120];
  const found: (KernelComparison & { map: string; dim: number; rows: string; features: number })[] = [];
  for (const dim of dims) {
    const samples = await samplesOf(engine, 256, dim, seed);
    for (const projectionKind of kinds) {
      for (const { label, options: chosen } of candidates) {
        const shape = await samples.shapeOf(chosen);
        for (const count of countsOf(dim)) {
          const drawn = hasRandomRows(chosen.name) ? { ...chosen, projectionKind } : chosen;
          const options = optionsFor({ label, options: drawn }, dim, count);
          const compared = await compareKernel(engine, options, samples.rows, { pairs, draws, ...shape });
          found.push({ map: label, dim, rows: projectionKind, features: count, ...compared });
        }
      }
      note(`dim ${dim}, ${projectionKind} rows`);
    }
  }
  return { found, draws, pairs };
}

const panels = { row: { field: 'dim', title: '' }, column: { field: 'rows', title: '' } } as const;

/** Lines of what was predicted, points of what was measured: a panel for each map. */
function comparisonPlot(rows: readonly { readonly dim: string; readonly rows: string }[]): Promise<Drawing> {
  return linePlot({
    rows: rows.map((row) => ({ ...row, series: `${row.dim}, ${row.rows}` })),
    x: { field: 'features', title: 'features', isLog: true },
    y: { field: 'predicted', title: 'relative mean squared error', isLog: true },
    measured: 'measured',
    series: { field: 'series', title: 'dim and rows' },
    wrap: { field: 'map', columns: 4 },
    width: 165,
    height: 150,
  });
}

const sizes = 'queries and keys of normal entries, so small that |q + k|²/√d is 1 in the mean';

export const kernelErrorFigure: FigureMaker = {
  name: 'kernel-error',
  async make(options): Promise<Figure> {
    const counts = (dim: number) => (options.isQuick ? [dim, 4 * dim] : [dim / 2, dim, 2 * dim, 4 * dim]);
    const random = closedFormCandidates.filter(({ options: { name } }) => name !== 'taylor');
    const { found, draws, pairs } = await compareAll(options, random, counts);
    const rows = found.map(({ map, dim, rows: kind, features, predicted, measured }) => ({
      map,
      dim: `dim ${dim}`,
      rows: `${kind} rows`,
      features,
      predicted: predicted.variance + predicted.squaredBias,
      measured: measured.variance + measured.squaredBias,
    }));
    return {
      name: this.name,
      title: 'The error of a kernel estimate: closed forms and measurements',
      caption:
        `The mean squared error of φ(q)·φ(k) relative to the square of the kernel, over ${pairs} pairs of ${sizes}. Lines are ` +
        `the closed forms of kernelError, points are means over ${draws} draws. Sderf, relu and step have none for orthogonal rows: ` +
        `their lines there are those of independent rows, upper estimates. Signs of the polynomial map are independent always.`,
      drawing: await comparisonPlot(rows),
      rows,
    };
  },
};

export const kernelBiasFigure: FigureMaker = {
  name: 'kernel-bias',
  async make(options): Promise<Figure> {
    const { found, draws, pairs } = await compareAll(options, closedFormCandidates, (dim) => [4 * dim]);
    const rows = found.flatMap(({ map, dim, rows: kind, features, predicted, measured }) => {
      const common = { map, dim: `dim ${dim}, ${features} features`, rows: `${kind} rows` };
      const parts = [
        { part: 'variance, closed form', error: predicted.variance },
        { part: 'variance, measured', error: measured.variance },
        { part: 'bias², closed form', error: predicted.squaredBias },
        // What draws cannot tell from zero is none.
        { part: 'bias², measured', error: predicted.squaredBias === 0 ? 0 : measured.squaredBias },
      ];
      return parts.filter(({ error }) => error > 1e-12).map((part) => ({ ...common, ...part }));
    });
    return {
      name: this.name,
      title: 'Bias beside variance of a kernel estimate, by closed form and measured',
      caption:
        `The two parts of the relative squared error of φ(q)·φ(k) with 4·dim features, over ${pairs} pairs of ${sizes}, and ${draws} draws. Maps without a mark of bias have none for the ` +
        `kernel that is theirs. Regularised rows have a bias that no number of features lowers; Taylor features have nothing but bias. ` +
        `For orthogonal rows the closed forms of sderf, relu and step are those of independent rows, upper estimates.`,
      drawing: await barPlot({
        rows,
        name: { field: 'map', title: '' },
        x: { field: 'error', title: 'relative squared error', isLog: true },
        series: { field: 'part', title: '' },
        ...panels,
        width: 320,
      }),
      rows,
    };
  },
};

export const attentionErrorFigure: FigureMaker = {
  name: 'attention-error',
  async make({ engine, seed, isQuick, note }): Promise<Figure> {
    const [length, draws] = isQuick ? [64, 2] : [256, 16];
    const maps: readonly PredictableMap[] = ['positive', 'hyperbolic', 'trigonometric', 'oprf', 'sderf', 'aderf'];
    const rows: { readonly dim: string; readonly rows: string }[] = [];
    for (const dim of dims) {
      const samples = await samplesOf(engine, length, dim, seed);
      const given = { ...samples.rows, isCausal: false };
      const counts = isQuick ? [dim, 4 * dim] : [dim, 2 * dim, 4 * dim, 8 * dim];
      for (const projectionKind of kinds) {
        for (const name of maps) {
          const shape = await samples.shapeOf({ name });
          const predicted = predictAttentionError(given, { name, projectionKind, ...shape }, counts);
          for (const [at, count] of counts.entries()) {
            const options = optionsFor({ label: name, options: { name, projectionKind, rowNorm: 'chi' } }, dim, count);
            const measured = await measureAttentionError(engine, given, options, { draws, seed, ...shape });
            const place = { map: name, dim: `dim ${dim}`, rows: `${projectionKind} rows`, features: count };
            const row = { ...place, predicted: predicted[at]! ** 2, measured: measured ** 2 };
            rows.push(row);
          }
        }
        note(`dim ${dim}, ${projectionKind} rows`);
      }
    }
    return {
      name: this.name,
      title: 'The error of attention: predicted from samples, and measured',
      caption:
        `The squared error of the attention output relative to its mean square, L = ${length}, ${sizes}. Lines are what ` +
        `predictAttentionError says of samples before anything is drawn, points are means over ${draws} draws.`,
      drawing: await comparisonPlot(rows),
      rows,
    };
  },
};
