/** Kernels other than softmax's: the error of their random features, and how far their attention is from softmax's. */
import { fixedCandidates, otherCandidates } from '../candidates.js';
import { extremesOf, type MeasuredRow } from '../claims.js';
import type { Figure, FigureMaker } from '../figure.js';
import { approximateOutputs, drawRows, errorParts, exactOutput, meanOutput, optionsFor } from '../measure.js';
import { barPlot, linePlot } from '../plot.js';

const dim = 16;

export const kernelsFigure: FigureMaker = {
  name: 'kernels',
  async make({ engine, seed, isQuick, note }): Promise<Figure> {
    const length = isQuick ? 64 : 512;
    const draws = isQuick ? 2 : 15;
    const [manyFeatures, manyDraws] = isQuick ? [256, 2] : [4096, 16];
    const rows: MeasuredRow[] = [];
    for (const std of [1, 2]) {
      const drawn = drawRows({ length, dim, std, seed });
      for (const candidate of otherCandidates) {
        const many = optionsFor(candidate, dim, manyFeatures);
        // Seeds of their own, so that the reference shares no draw with what is held against it.
        const reference = meanOutput(
          await approximateOutputs(engine, drawn, many, { draws: manyDraws, seed: seed + 1000 }),
        );
        for (const count of isQuick ? [16, 64] : [16, 32, 64, 128, 256]) {
          const outputs = await approximateOutputs(engine, drawn, optionsFor(candidate, dim, count), { draws, seed });
          const { meanSquaredError } = errorParts(outputs, reference);
          rows.push({ map: candidate.label, features: count, norm: `std ${std}`, meanSquaredError });
        }
        note(`${candidate.label}, std ${std}`);
      }
    }
    return {
      name: this.name,
      title: 'Random features of other kernels',
      caption:
        `The relative mean squared error of the attention output against the same kernel with ${manyFeatures} features and ` +
        `${manyDraws} draws averaged, d = ${dim}, L = ${length}, ${draws} draws a point. ${extremesOf(rows, 3)} Signed kernels (tanh, ` +
        `cos, identity, polynomial) have denominators that may come near zero.`,
      drawing: await linePlot({
        rows,
        x: { field: 'features', title: 'features', isLog: true },
        y: { field: 'meanSquaredError', title: 'relative mean squared error', isLog: true },
        series: { field: 'norm', title: 'queries and keys' },
        wrap: { field: 'map', columns: 4 },
        width: 165,
        height: 150,
      }),
      rows,
    };
  },
};

export const distanceFigure: FigureMaker = {
  name: 'distance',
  async make({ engine, seed, isQuick, note }): Promise<Figure> {
    const length = isQuick ? 64 : 512;
    const [count, draws] = isQuick ? [128, 2] : [4096, 16];
    const rows: object[] = [];
    for (const std of [0.5, 1, 2]) {
      const drawn = drawRows({ length, dim, std, seed });
      const softmax = await exactOutput(engine, drawn);
      for (const candidate of [...otherCandidates, ...fixedCandidates(length)]) {
        const isFixed = !otherCandidates.includes(candidate);
        const options = optionsFor(candidate, dim, count);
        const outputs = await approximateOutputs(engine, drawn, options, { draws: isFixed ? 1 : draws, seed });
        const { squaredBias } = errorParts([Float32Array.from(meanOutput(outputs))], softmax);
        rows.push({ map: candidate.label, norm: `std ${std}`, distance: squaredBias });
      }
      note(`std ${std}`);
    }
    return {
      name: this.name,
      title: 'How far other kernels are from softmax',
      caption:
        `The squared distance of each kernel's attention output from exact softmax attention, relative to the latter's mean ` +
        `square (d = ${dim}, L = ${length}; random maps with ${count} features, ${draws} draws averaged). Such kernels do not estimate ` +
        `softmax: a model has to be trained with them.`,
      drawing: await barPlot({
        rows,
        name: { field: 'map', title: '' },
        x: { field: 'distance', title: 'relative squared distance', isLog: true },
        column: { field: 'norm', title: '' },
        width: 210,
      }),
      rows,
    };
  },
};
