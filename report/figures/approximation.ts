/** The paper's figure of the approximation error (Choromanski et al. 2021, section 4.2), from our own runs. */
import { paperCandidates, softmaxCandidates } from '../candidates.js';
import { type MeasuredRow, winsOf } from '../claims.js';
import type { Figure, FigureMaker, FigureOptions } from '../figure.js';
import { approximateOutputs, drawRows, errorParts, exactOutput, optionsFor, type Sample } from '../measure.js';
import { linePlot } from '../plot.js';

interface Sweep {
  readonly candidates: typeof paperCandidates;
  readonly samples: readonly Sample[];
  readonly counts: (sample: Sample) => readonly number[];
  readonly draws: number;
}

/** The error of each candidate at each number of features, for each sample. */
async function sweep({ candidates, samples, counts, draws }: Sweep, { engine, seed, note }: FigureOptions) {
  const rows: object[] = [];
  for (const sample of samples) {
    const drawn = drawRows(sample);
    const reference = await exactOutput(engine, drawn);
    for (const candidate of candidates) {
      for (const count of counts(sample)) {
        const outputs = await approximateOutputs(engine, drawn, optionsFor(candidate, sample.dim, count), {
          draws,
          seed,
        });
        rows.push({ map: candidate.label, features: count, ...describe(sample), ...errorParts(outputs, reference) });
      }
      note(`${candidate.label}, dim ${sample.dim}, std ${sample.std}`);
    }
  }
  return rows;
}

function describe({ dim, std, length }: Sample) {
  return { dim: `dim ${dim}`, norm: `std ${std}`, length };
}

const features = { field: 'features', title: 'features', isLog: true } as const;
const error = { field: 'meanSquaredError', title: 'relative mean squared error', isLog: true } as const;

export const paperFigure: FigureMaker = {
  name: 'approximation',
  async make(options): Promise<Figure> {
    const { isQuick, seed, engine, note } = options;
    const length = isQuick ? 256 : 4096;
    const samples = isQuick ? 3 : 15;
    const counts = isQuick ? [16, 64] : [8, 16, 32, 64, 128, 256];
    const rows: MeasuredRow[] = [];
    for (const std of [0.6, 0.8, 1]) {
      const errors = new Map<string, number[]>();
      for (let index = 0; index < samples; index++) {
        const drawn = drawRows({ length, dim: 16, std, seed: seed + index });
        const reference = await exactOutput(engine, drawn);
        for (const candidate of paperCandidates) {
          for (const count of counts) {
            const chosen = optionsFor(candidate, 16, count);
            const outputs = await approximateOutputs(engine, drawn, chosen, { draws: 1, seed: seed + index });
            const key = JSON.stringify({ map: candidate.label, features: count });
            errors.set(key, [...(errors.get(key) ?? []), errorParts(outputs, reference).meanSquaredError]);
          }
        }
        note(`std ${std}, sample ${index + 1}/${samples}`);
      }
      for (const [key, values] of errors) {
        rows.push({
          ...(JSON.parse(key) as Pick<MeasuredRow, 'map' | 'features'>),
          norm: `std ${std}`,
          ...meanWithError(values),
        });
      }
    }
    return {
      name: this.name,
      title: 'The approximation error of attention, by feature map and by the size of queries and keys',
      caption:
        `The mean squared error of the attention output against exact softmax attention, relative to its mean square, ` +
        `for L = ${length}, d = 16, and queries and keys of independent normal entries of three sizes; means and standard ` +
        `errors over ${samples} samples of rows and features. This is the setting of the paper's figure. Features are counted in ` +
        `columns: a trigonometric map has a sine and a cosine for each ω. What the lines say: ` +
        [
          winsOf(rows, 'positive, orthogonal', 'positive, iid'),
          winsOf(rows, 'trigonometric, orthogonal', 'trigonometric, iid'),
          winsOf(rows, 'positive, orthogonal', 'trigonometric, orthogonal'),
        ].join('; ') +
        `. Positive features are made for small values of the kernel, which larger rows bring.`,
      drawing: await linePlot({
        rows,
        x: features,
        y: error,
        series: { field: 'map', title: 'features' },
        interval: { low: 'low', high: 'high' },
        column: { field: 'norm', title: '' },
        width: 250,
        height: 280,
      }),
      rows,
    };
  },
};

/** The mean and the ends of an error bar of one standard error. */
function meanWithError(values: readonly number[]) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / (values.length - 1);
  const error = Math.sqrt(variance / values.length);
  return { meanSquaredError: mean, low: Math.max(mean - error, mean / 10), high: mean + error };
}

export const mapsFigure: FigureMaker = {
  name: 'maps',
  async make(options): Promise<Figure> {
    const { isQuick, seed } = options;
    const length = isQuick ? 128 : 1024;
    const draws = isQuick ? 3 : 15;
    const samples = [16, 64].flatMap((dim) => [0.5, 1, 2].map((std): Sample => ({ length, dim, std, seed })));
    const rows = await sweep(
      {
        candidates: softmaxCandidates,
        samples,
        counts: ({ dim }) => (isQuick ? [2 * dim] : [dim, 2 * dim, 4 * dim, 8 * dim, 16 * dim]),
        draws,
      },
      options,
    );
    return {
      name: this.name,
      title: 'Every map of the softmax kernel, for small and large norms',
      caption:
        `The mean squared error of the attention output against exact softmax attention, relative to its mean square, over ${draws} draws, ` +
        `L = ${length}, for entries of queries and keys of standard deviation 0.5, 1 and 2. ` +
        `An error of 1 is that of an output of zeros. The shaped maps (oprf, sderf, aderf) know the moments of these ` +
        `queries and keys.`,
      drawing: await linePlot({
        rows,
        x: features,
        y: error,
        series: { field: 'map', title: 'map' },
        row: { field: 'dim', title: '' },
        column: { field: 'norm', title: '' },
        width: 230,
        height: 220,
      }),
      rows,
    };
  },
};
