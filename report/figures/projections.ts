/** Ways to draw the rows of a projection, for SM+. */
import { projectionCandidates } from '../candidates.js';
import type { Figure, FigureMaker } from '../figure.js';
import { approximateOutputs, drawRows, errorParts, exactOutput, optionsFor } from '../measure.js';
import { linePlot } from '../plot.js';

export const projectionsFigure: FigureMaker = {
  name: 'projections',
  async make({ engine, seed, isQuick, note }): Promise<Figure> {
    const length = isQuick ? 128 : 512;
    const draws = isQuick ? 4 : 60;
    const rows: object[] = [];
    for (const std of [0.5, 1]) {
      for (const dim of [16, 64]) {
        const drawn = drawRows({ length, dim, std, seed });
        const reference = await exactOutput(engine, drawn);
        for (const candidate of projectionCandidates) {
          for (const count of isQuick ? [dim] : [dim, 2 * dim, 4 * dim, 8 * dim]) {
            const outputs = await approximateOutputs(engine, drawn, optionsFor(candidate, dim, count), { draws, seed });
            const { meanSquaredError } = errorParts(outputs, reference);
            rows.push({
              projection: candidate.label,
              features: count,
              dim: `dim ${dim}`,
              norm: `std ${std}`,
              meanSquaredError,
            });
          }
        }
        note(`dim ${dim}, std ${std}`);
      }
    }
    return {
      name: this.name,
      title: 'Projections of positive features',
      caption: `The relative mean squared error of the attention output for ${projectionCandidates.length} ways to draw the rows ω, L = ${length}, ${draws} draws.`,
      drawing: await linePlot({
        rows,
        x: { field: 'features', title: 'features', isLog: true },
        y: { field: 'meanSquaredError', title: 'relative mean squared error', isLog: true },
        series: { field: 'projection', title: 'rows' },
        row: { field: 'norm', title: '' },
        column: { field: 'dim', title: '' },
        width: 300,
        height: 220,
      }),
      rows,
    };
  },
};
