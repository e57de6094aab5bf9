/** The paper's figure of the approximation error (Choromanski et al. 2021, section 4.2), from our own runs. */
import { paperCandidates, softmaxCandidates } from '../candidates.js';
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
    const { isQuick, seed } = options;
    const length = isQuick ? 256 : 4096;
    const draws = isQuick ? 3 : 15;
    const rows = await sweep(
      {
        candidates: paperCandidates,
        samples: [{ length, dim: 16, std: 1, seed }],
        counts: () => (isQuick ? [16, 64] : [8, 16, 32, 64, 128, 256]),
        draws,
      },
      options,
    );
    return {
      name: this.name,
      title: 'Approximation error of attention: orthogonal under iid, positive under trigonometric',
      caption:
        `The mean squared error of the attention output against exact softmax attention, relative to its mean square, ` +
        `for L = ${length}, d = 16, queries, keys and values of independent standard normal entries; ${draws} draws of ` +
        `the features for each point. This is the setting of the paper's figure of the approximation error.`,
      svg: await linePlot({
        rows,
        x: features,
        y: error,
        series: { field: 'map', title: 'features' },
        width: 460,
        height: 320,
      }),
      rows,
    };
  },
};

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
        `As above, L = ${length}, with ${draws} draws, for entries of queries and keys of standard deviation 0.5, 1 and 2. ` +
        `An error of 1 is that of an output of zeros. The shaped maps (oprf, sderf, aderf) know the moments of these ` +
        `queries and keys.`,
      svg: await linePlot({
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
