/**
 * npm run report [-- name…] [-- --out FOLDER --seed N --quick --compare FOLDER --bench FILE]: one HTML page that stands
 * alone, and an SVG and a JSON file for each figure.
 */
import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, PerformerError } from '../src/base/errors.js';
import { nodeEngine } from '../src/engine/node.js';
import { writeFileAtomic } from '../src/interop/node.js';
import { readBenchRows, scalingPoints } from './bench-rows.js';
import type { Figure, FigureMaker } from './figure.js';
import { mapsFigure, paperFigure } from './figures/approximation.js';
import { biasFigure } from './figures/bias.js';
import { curvesFigure } from './figures/curves.js';
import { distanceFigure, kernelsFigure } from './figures/kernels.js';
import { positionsFigure } from './figures/positions.js';
import { attentionErrorFigure, kernelBiasFigure, kernelErrorFigure } from './figures/predictions.js';
import { projectionsFigure } from './figures/projections.js';
import { scalingFigure } from './figures/scaling.js';
import { targetRows, targetsFigure } from './figures/targets.js';
import { timesFigure } from './figures/times.js';
import { reportPage } from './page.js';

const ownFigures: readonly FigureMaker[] = [
  paperFigure,
  mapsFigure,
  biasFigure,
  projectionsFigure,
  kernelErrorFigure,
  kernelBiasFigure,
  attentionErrorFigure,
  kernelsFigure,
  distanceFigure,
];

/** Figures of what others wrote. */
const sources: Readonly<Record<string, string>> = {
  curves: '--compare FOLDER of performer compare',
  positions: '--compare FOLDER of performer compare',
  times: '--compare FOLDER of performer compare',
  scaling: '--bench FILE of npm run bench -- scaling --json FILE',
  targets: '--bench FILE of npm run bench -- --json FILE',
};

const help = `Usage: npm run report -- [figure…] [options]

Draws the named figures, or all, as one HTML page that stands alone, with an SVG and a JSON file for each.

Figures:
  ${ownFigures.map(({ name }) => name).join(', ')}
${Object.entries(sources)
  .map(([name, source]) => `  ${name.padEnd(9)} needs ${source}`)
  .join('\n')}

Options:
  --out FOLDER      where the page goes (default: runs/report)
  --seed N          of all that is random (default: 1)
  --quick           smaller and faster, to see that it works
  --compare FOLDER  adds the figures curves, positions and times
  --bench FILE      adds the figures scaling and targets, as far as the file has rows for them
  --help            print this help
`;

function refuse(message: string): never {
  console.error(`report: ${message}`);
  process.exit(2);
}

function readWords() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        out: { type: 'string', default: 'runs/report' },
        seed: { type: 'string', default: '1' },
        quick: { type: 'boolean', default: false },
        compare: { type: 'string' },
        bench: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (cause) {
    return refuse(`${messageOf(cause).replace(/\.? To specify.*/s, '')}. Try --help.`);
  }
}

const { values, positionals } = readWords();
if (values.help) {
  console.log(help);
  process.exit(0);
}

const comparedFigures = [curvesFigure, positionsFigure, timesFigure];

const makers: readonly FigureMaker[] = [
  ...ownFigures,
  ...(values.compare === undefined ? [] : comparedFigures.map((figure) => figure(values.compare!))),
  ...(values.bench === undefined ? [] : await benchFigures(values.bench)),
];

/** The figures that a file of the benchmarks has rows for. */
async function benchFigures(file: string): Promise<readonly FigureMaker[]> {
  try {
    const rows = await readBenchRows(file);
    const [points, targets] = [scalingPoints(rows), targetRows(rows)];
    return [
      ...(points.length === 0 ? [] : [scalingFigure(points)]),
      ...(targets.length === 0 ? [] : [targetsFigure(targets)]),
    ];
  } catch (cause) {
    if (!(cause instanceof PerformerError)) throw cause;
    return refuse(cause.message);
  }
}

const unknown = positionals.find((name) => !makers.some((maker) => maker.name === name));
const seed = Number(values.seed);
if (unknown !== undefined) {
  const expected = sources[unknown] ?? makers.map(({ name }) => name).join(', ');
  refuse(`expected ${expected}, got ${sources[unknown] === undefined ? unknown : `no rows for ${unknown}`}.`);
}
if (!Number.isSafeInteger(seed) || seed < 0) refuse(`expected --seed to be an integer from 0, got ${values.seed}.`);

const wanted = positionals.length === 0 ? makers : makers.filter(({ name }) => positionals.includes(name));
await mkdir(values.out, { recursive: true });
const engine = nodeEngine();
const figures: Figure[] = [];
for (const [index, maker] of wanted.entries()) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(0)} s`;
  const note = (line: string) =>
    console.log(`figure ${index + 1}/${wanted.length}, ${maker.name}: ${line} (${seconds()})`);
  const figure = await maker.make({ engine, seed, isQuick: values.quick, note }).catch((cause: unknown) => {
    if (!(cause instanceof PerformerError && cause.code === 'DATA')) throw cause;
    return refuse(cause.message);
  });
  figures.push(figure);
  await writeFileAtomic(join(values.out, `${figure.name}.svg`), [figure.drawing.svg]);
  await writeFileAtomic(join(values.out, `${figure.name}.json`), [`${JSON.stringify(figure.rows, undefined, 1)}\n`]);
}

/** What is to be typed for one figure as it stands in this page. */
function command({ name }: Figure): string {
  const flags = [
    values.seed === '1' ? '' : ` --seed ${seed}`,
    values.quick ? ' --quick' : '',
    sources[name]?.startsWith('--compare') ? ` --compare ${values.compare}` : '',
    sources[name]?.startsWith('--bench') ? ` --bench ${values.bench}` : '',
  ].join('');
  return `npm run report -- ${name}${flags}`;
}

const page = join(values.out, 'index.html');
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`;
await writeFileAtomic(page, [reportPage(figures, { command, machine, date: new Date().toISOString().slice(0, 10) })]);
console.log(`${figures.length} figures in ${page}`);
