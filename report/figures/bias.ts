/** Bias beside variance: where the error of each map comes from. */
import { softmaxCandidates } from '../candidates.js';
import type { Figure, FigureMaker } from '../figure.js';
import { approximateOutputs, drawRows, errorParts, exactOutput, optionsFor } from '../measure.js';
import { barPlot } from '../plot.js';

export const biasFigure: FigureMaker = {
  name: 'bias',
  async make({ engine, seed, isQuick, note }): Promise<Figure> {
    const length = isQuick ? 128 : 512;
    const draws = isQuick ? 8 : 200;
    const rows: object[] = [];
    for (const dim of [16, 64]) {
      for (const std of [0.5, 1, 2]) {
        const drawn = drawRows({ length, dim, std, seed });
        const reference = await exactOutput(engine, drawn);
        for (const candidate of softmaxCandidates) {
          const outputs = await approximateOutputs(engine, drawn, optionsFor(candidate, dim, 4 * dim), { draws, seed });
          const { squaredBias, variance } = errorParts(outputs, reference);
          const common = { map: candidate.label, dim: `dim ${dim}, ${4 * dim} features`, norm: `std ${std}` };
          rows.push({ ...common, part: 'variance', error: variance });
          if (squaredBias > 0) rows.push({ ...common, part: 'bias²', error: squaredBias });
        }
        note(`dim ${dim}, std ${std}`);
      }
    }
    return {
      name: this.name,
      title: 'Bias beside variance',
      caption:
        `The two parts of the relative squared error of the attention output, over ${draws} draws, L = ${length}. A ratio of ` +
        `two unbiased estimates is biased, so all maps have a bias, which falls faster with the number of features ` +
        `than the variance; √d norms trade variance for a bias that stays. A bias that the draws cannot tell from none has no mark.`,
      drawing: await barPlot({
        rows,
        name: { field: 'map', title: '' },
        x: { field: 'error', title: 'relative squared error', isLog: true },
        series: { field: 'part', title: '' },
        row: { field: 'dim', title: '' },
        column: { field: 'norm', title: '' },
        width: 210,
      }),
      rows,
    };
  },
};
