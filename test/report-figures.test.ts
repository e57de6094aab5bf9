/** What the report says of its figures, and how it draws them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { extremesOf, type MeasuredRow, winsOf } from '../report/claims.js';
import type { FigureOptions } from '../report/figure.js';
import { curveMeans, curvesFigure, rankingOf } from '../report/figures/curves.js';
import { positionLosses, positionsFigure } from '../report/figures/positions.js';
import { atEqualTime, timeLosses, timesFigure } from '../report/figures/times.js';

const rows: readonly MeasuredRow[] = [
  ['a', 8, 'std 1', 3],
  ['a', 16, 'std 1', 1],
  ['b', 8, 'std 1', 2],
  ['b', 16, 'std 1', 2],
  ['a', 8, 'std 2', 5],
  ['b', 8, 'std 2', 6],
].map(([map, features, norm, meanSquaredError]) => ({ map, features, norm, meanSquaredError }) as MeasuredRow);

describe('claims', () => {
  it('count in how many places one map errs less than another', () => {
    expect(winsOf(rows, 'a', 'b')).toBe('“a” errs less than “b” in 2 of 3 places (1 of 2 at std 1, 1 of 1 at std 2)');
    expect(winsOf(rows, 'b', 'a')).toBe('“b” errs less than “a” in 1 of 3 places (1 of 2 at std 1, 0 of 1 at std 2)');
  });

  it('name the least and the largest errors where there are most features', () => {
    expect(extremesOf(rows.slice(0, 4), 1)).toBe(
      'At std 1 and 16 features the least errors are those of a, the largest those of b.',
    );
  });
});

const curves = (kernels: readonly string[], last: number) =>
  [
    'kernel,seed,kind,step,loss',
    ...kernels.flatMap((kernel) =>
      Array.from({ length: last }, (_, at) => `${kernel},0,train,${at + 1},${kernel.length}`),
    ),
    `${kernels[0]},0,held out,${last},9`,
  ].join('\n');

const ranking = [
  '| rank | kernel | loss |',
  '|-----:|--------|-----:|',
  '|    1 | relu   | 1.50 |',
  '|    2 | elu    | 1.60 |',
];

describe('learning curves', () => {
  it('end where the run ended', () => {
    expect(curveMeans(curves(['relu', 'elu'], 60))).toEqual(
      ['relu', 'elu'].flatMap((kernel) => [25, 50, 60].map((step) => ({ kernel, step, loss: kernel.length }))),
    );
  });

  it('have the ranking as a table', () => {
    expect(rankingOf(ranking.join('\n'))).toEqual({
      columns: ['kernel', 'rank', 'loss'],
      rows: [
        ['relu', '1', '1.50'],
        ['elu', '2', '1.60'],
      ],
    });
  });

  it('are drawn in several panels where there are many kernels, and are an error where there are none', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'report-curves-'));
    try {
      const make = () => curvesFigure(folder).make({} as FigureOptions);
      await expect(make()).rejects.toThrow(/--compare FOLDER of performer compare, got .* without curves\.csv/);
      const kernels = ['relu', 'elu', 'c', 'd', 'e', 'f', 'g', 'h'];
      await writeFile(join(folder, 'curves.csv'), curves(kernels, 30));
      await writeFile(join(folder, 'ranking.md'), ranking.join('\n'));
      const { drawing, caption } = await make();
      expect(caption).not.toContain('|');
      for (const svg of [drawing.svg, drawing.narrow]) {
        for (const text of ['ranks 1 to 6', 'ranks 7 to 8', ...kernels]) expect(svg).toContain(text);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('losses by position', () => {
  const csv = [
    'variant,seed,window,from,to,targets,loss',
    'exact,0,256,1,1,10,9',
    'exact,0,256,129,256,1000,2',
    'exact,1,256,129,256,3000,1',
    '"a, b",0,stream,129,256,500,1.5',
  ].join('\n');

  it('are means over seeds, weighed by their targets, where these are many', () => {
    expect(positionLosses(csv)).toEqual([
      { variant: 'exact', reading: 'in windows of 256', from: 129, to: 256, loss: 1.25 },
      { variant: 'a, b', reading: 'as one stream', from: 129, to: 256, loss: 1.5 },
    ]);
  });

  it('have a panel for each way of reading', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'report-positions-'));
    try {
      await writeFile(join(folder, 'positions.csv'), csv);
      const { drawing, table } = await positionsFigure(folder).make({} as FigureOptions);
      for (const text of ['in windows of 256', 'as one stream', 'a, b']) expect(drawing.svg).toContain(text);
      expect(table?.rows).toEqual([
        ['exact', '1.250 (from 129 on)', '–'],
        ['a, b', '–', '1.500 (from 129 on)'],
      ]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('losses by time', () => {
  const csv = [
    'variant,seed,kind,step,loss',
    'fast,0,train,1,9',
    'fast,0,held out,10,3',
    'fast,1,held out,10,5',
    'fast,0,held out,20,2',
    'fast,1,held out,20,2',
    'slow,0,held out,10,3',
    'slow,0,held out,20,1',
  ].join('\n');
  const rows = timeLosses(
    csv,
    new Map([
      ['fast', 0.5],
      ['slow', 0.75],
    ]),
  );

  it('are means over seeds, each after its steps of the median length', () => {
    expect(rows).toEqual([
      { variant: 'fast', step: 10, seconds: 5, loss: 4 },
      { variant: 'fast', step: 20, seconds: 10, loss: 2 },
      { variant: 'slow', step: 10, seconds: 7.5, loss: 3 },
      { variant: 'slow', step: 20, seconds: 15, loss: 1 },
    ]);
  });

  it('are told where the fastest ends, between two evaluations', () => {
    expect(atEqualTime(rows)).toEqual({
      columns: ['model', 'seconds a step', 'loss after 10 s', 'loss at the end'],
      rows: [
        ['fast', '0.500', '2.000', '2.000'],
        ['slow', '0.750', '2.333', '1.000'],
      ],
    });
  });

  it('are drawn from the folder of a comparison', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'report-times-'));
    try {
      const ranking = ['fast', 'slow'].map((variant) => ({ variant, stepSeconds: 1 }));
      await writeFile(join(folder, 'curves.csv'), csv);
      await writeFile(join(folder, 'results.json'), JSON.stringify({ ranking }));
      const { drawing } = await timesFigure(folder).make({} as FigureOptions);
      for (const text of ['fast', 'slow', 'seconds of training']) expect(drawing.svg).toContain(text);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
