/** What the report makes of the benchmarks' JSON: how it is read and checked, and its tables. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bound, boundOf, figure, jsonRow } from '../bench/report.js';
import { readBenchRows, scalingPoints } from '../report/bench-rows.js';
import { stepTable } from '../report/figures/scaling.js';
import { marginOf, targetRows } from '../report/figures/targets.js';
import { rowsWithTargets, scalingRows } from './support/bench-rows.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-bench-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(name: string, content: unknown): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

describe('a file of the benchmarks', () => {
  it('is read as it was written', async () => {
    const rows = [...scalingRows, ...rowsWithTargets];
    expect(await readBenchRows(await fileOf('rows.json', rows))).toEqual(rows);
  });

  it.each([
    ['of text', 'length 512: 3 ms', /to be what npm run bench -- --json writes, got .*JSON/],
    ['of another object', { rows: [] }, /got Invalid input: expected array/],
    ['of rows of another kind', [{ benchmark: 'scaling', value: 3 }], /got 0\.parameters: /],
    ['of rows with more than is known', [{ ...scalingRows[0], speed: 3 }], /got 0: .*speed/],
  ])('%s is refused', async (_, content, message) => {
    await expect(readBenchRows(await fileOf('other.json', content))).rejects.toThrow(message);
  });

  it('that is not there is refused', async () => {
    await expect(readBenchRows(join(folder, 'none.json'))).rejects.toThrow(/none\.json .*ENOENT/);
  });

  it('gives the points that were measured, and none where there are none', () => {
    expect(scalingPoints([...rowsWithTargets, ...scalingRows])).toHaveLength(7);
    expect(scalingPoints(scalingRows)[0]).toEqual({
      ...{ mode: 'forward', form: 'favor+', length: 1024 },
      ...{ milliseconds: 100, gigabytes: 0.5 },
    });
    expect(scalingPoints(rowsWithTargets)).toEqual([]);
  });
});

describe('the table of training steps', () => {
  it('has steps per second, their ratio to the exact twin where that fits, and memory', () => {
    const { columns, rows } = stepTable(scalingPoints(scalingRows));
    expect(columns).toHaveLength(9);
    expect(rows).toEqual([
      ['exact softmax', '2.00 (1.00×)', '0.500 (1.00×)', '–', '–', '1.50', '2.50', '–', '–'],
      ['FAVOR+', '2.50 (1.25×)', '1.25 (2.50×)', '–', '0.625', '1.25', '1.75', '–', '2.75'],
    ]);
  });
});

describe('targets', () => {
  it.each<Bound>([
    { atLeast: 2.5, kind: 'required' },
    { atMost: 0.05, kind: 'stretch' },
    { atLeast: 0.85, atMost: 1.15, kind: 'required' },
  ])('%o are read from their text', (bound) => {
    const { target } = jsonRow('speed', figure('size', 1, 'GB', bound));
    expect(boundOf(target!)).toEqual(bound);
  });

  it('are not read from other text', () => {
    for (const text of ['', '2', '≥ many', '1 – 2 – 3', 'as fast']) expect(boundOf(text)).toBeUndefined();
  });

  it('are exceeded by a factor: of a lower bound, under an upper one, and of the nearer of two', () => {
    expect(marginOf(3, { atLeast: 2 })).toBe(1.5);
    expect(marginOf(3, { atMost: 2 })).toBeCloseTo(2 / 3);
    expect(marginOf(1, { atLeast: 0.5, atMost: 1.25 })).toBe(1.25);
  });

  it('are shown for the rows that have one, of the ratio or of the figure itself', () => {
    const shown = targetRows(rowsWithTargets).map(({ name, margin, result }) => [name, margin, result]);
    expect(shown).toEqual([
      ['speed: length 4,096', 1.5, 'met'],
      ['speed: length 4,096', 0.75, 'stretch goal not met'],
      ['speed: peak memory', 2 / 3, 'not met'],
    ]);
  });
});
