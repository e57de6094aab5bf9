/**
 * npm run report [-- name…] [-- --out FOLDER --seed N --quick --compare FOLDER]: one HTML page that stands alone, and an SVG
 * and a JSON file for each figure.
 */
import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeEngine } from '../src/engine/node.js';
import { writeFileAtomic } from '../src/interop/node.js';
import type { Figure, FigureMaker } from './figure.js';
import { mapsFigure, paperFigure } from './figures/approximation.js';
import { biasFigure } from './figures/bias.js';
import { curvesFigure } from './figures/curves.js';
import { distanceFigure, kernelsFigure } from './figures/kernels.js';
import { attentionErrorFigure, kernelBiasFigure, kernelErrorFigure } from './figures/predictions.js';
import { projectionsFigure } from './figures/projections.js';
import { reportPage } from './page.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: 'runs/report' },
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    compare: { type: 'string' },
  },
});

const makers: readonly FigureMaker[] = [
  paperFigure,
  mapsFigure,
  biasFigure,
  projectionsFigure,
  kernelErrorFigure,
  kernelBiasFigure,
  attentionErrorFigure,
  kernelsFigure,
  distanceFigure,
  ...(values.compare === undefined ? [] : [curvesFigure(values.compare)]),
];

const unknown = positionals.find((name) => !makers.some((maker) => maker.name === name));
const seed = Number(values.seed);
if (unknown !== undefined || !Number.isSafeInteger(seed) || seed < 0) {
  const names = makers.map(({ name }) => name).join(', ');
  console.error(
    unknown === undefined
      ? `report: expected --seed to be an integer from 0, got ${values.seed}.`
      : `report: expected ${names}, got ${unknown}.`,
  );
  process.exit(2);
}

const wanted = positionals.length === 0 ? makers : makers.filter(({ name }) => positionals.includes(name));
await mkdir(values.out, { recursive: true });
const engine = nodeEngine();
const figures: Figure[] = [];
for (const [index, maker] of wanted.entries()) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(0)} s`;
  const figure = await maker.make({
    engine,
    seed,
    isQuick: values.quick,
    note: (line) => console.log(`figure ${index + 1}/${wanted.length}, ${maker.name}: ${line} (${seconds()})`),
  });
  figures.push(figure);
  await writeFileAtomic(join(values.out, `${figure.name}.svg`), [figure.svg]);
  await writeFileAtomic(join(values.out, `${figure.name}.json`), [`${JSON.stringify(figure.rows, undefined, 1)}\n`]);
}

/** What is to be typed for one figure as it stands in this page. */
function command({ name }: Figure): string {
  const flags = [
    values.seed === '1' ? '' : ` --seed ${seed}`,
    values.quick ? ' --quick' : '',
    name === 'curves' ? ` --compare ${values.compare}` : '',
  ].join('');
  return `npm run report -- ${name}${flags}`;
}

const page = join(values.out, 'index.html');
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`;
await writeFileAtomic(page, [reportPage(figures, { command, machine, date: new Date().toISOString().slice(0, 10) })]);
console.log(`${figures.length} figures in ${page}`);
