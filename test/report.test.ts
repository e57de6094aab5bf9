/** The report, made for a few figures in their quick form, as `npm run report -- --quick` makes it. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const names = ['approximation', 'attention-error'];
let folder: string;
let page: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-'));
  await run('npm', ['run', '--silent', 'report', '--', ...names, '--quick', '--out', folder], { shell: false });
  page = await readFile(join(folder, 'index.html'), 'utf8');
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the report', () => {
  it('is one page with each figure, its caption and the command that made it', async () => {
    expect((await readdir(folder)).sort()).toEqual(
      ['index.html', ...names.flatMap((name) => [`${name}.json`, `${name}.svg`])].sort(),
    );
    for (const name of names) {
      expect(page).toContain(`<figure id="${name}">`);
      expect(page).toContain(`npm run report -- ${name} --quick</code>`);
      expect(page).toContain(await readFile(join(folder, `${name}.svg`), 'utf8'));
    }
  });

  it('stands alone: it loads nothing from anywhere', () => {
    // Names of XML are addresses that nothing is loaded from.
    const others = page.replaceAll(/xmlns(:xlink)?="[^"]*"/g, '');
    expect(others).not.toMatch(/https?:|src=|<script|<link|@import|url\((?!#)/);
    for (const [, target] of others.matchAll(/href="([^"]*)"/g)) expect(target).toMatch(/^#/);
  });

  it('has titles on all axes, and a legend where there are several lines', async () => {
    for (const name of names) {
      const svg = await readFile(join(folder, `${name}.svg`), 'utf8');
      expect(svg).toMatch(/relative (mean )?squared error/);
      expect(svg).toContain('role-legend');
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    }
  });

  it('draws numbers that the runs gave: finite, and of predictions near their measurements', async () => {
    const rows = JSON.parse(await readFile(join(folder, 'attention-error.json'), 'utf8')) as {
      predicted: number;
      measured: number;
    }[];
    expect(rows.length).toBe(2 * 2 * 2 * 6); // dims, kinds of rows, counts, maps
    for (const { predicted, measured } of rows) expect(Math.abs(Math.log(predicted / measured))).toBeLessThan(1.5);
  });

  it('ends with 2 and one line for a figure that there is none of', async () => {
    const failed = await run('npm', ['run', '--silent', 'report', '--', 'none-such', '--out', folder]).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed).toMatchObject({ code: 2 });
    expect(failed.stderr).toMatch(/report: expected approximation, .*got none-such\./);
  });
});
