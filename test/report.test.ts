/** The report, made for a few figures in their quick form, as `npm run report -- --quick` makes it. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsWithTargets, scalingRows } from './support/bench-rows.js';

const run = promisify(execFile);
/** What `npm run report --` runs, once it is built. */
const report = (...words: readonly string[]) => run(process.execPath, ['dist-report/run.js', ...words]);
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

  it('has each figure a second time, for phones: no wider than their screen', () => {
    const narrow = [...page.matchAll(/<div class="narrow"><svg[^>]* width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    expect(narrow.length).toBe(names.length);
    for (const width of narrow) expect(width).toBeLessThanOrEqual(360);
  });

  it('has few lines in a panel, each of a colour of its own', async () => {
    for (const name of names) {
      const svg = await readFile(join(folder, `${name}.svg`), 'utf8');
      const colours = [...svg.matchAll(/role-legend-symbol[^>]*><path[^>]* stroke="([^"]+)"/g)].map(
        ([, stroke]) => stroke,
      );
      expect(colours.length).toBe(4);
      expect(new Set(colours).size).toBe(4);
    }
  });

  it('begins with what is to be seen, and claims of the lines no more than their numbers say', async () => {
    expect(page).toMatch(/<h1>.*<p>The attention of a Transformer.*<dt>features<\/dt>.*<nav>.*<figure/s);
    const rows = JSON.parse(await readFile(join(folder, 'approximation.json'), 'utf8')) as {
      [key: string]: number | string;
    }[];
    const less = rows.filter(
      ({ map, norm, features, meanSquaredError }) =>
        map === 'positive, orthogonal' &&
        rows.some(
          (row) =>
            row.map === 'positive, iid' &&
            row.norm === norm &&
            row.features === features &&
            row.meanSquaredError! > meanSquaredError!,
        ),
    );
    expect(page).toContain(`“positive, orthogonal” errs less than “positive, iid” in ${less.length} of 6 places`);
    expect(page).not.toMatch(/<h2>[^<]*\b(under|beat|win|better)\b/);
  });

  it('tells with --help what it draws, and ends with 2 and one line for an unknown flag', async () => {
    const { stdout } = await report('--help');
    for (const text of [...names, 'curves', '--compare FOLDER', '--quick']) expect(stdout).toContain(text);
    const failed = await report('--quik').catch((error: { code: number; stderr: string }) => error);
    expect(failed).toMatchObject({ code: 2 });
    const lines = failed.stderr.split('\n').filter((line) => /report: |^ +at /.test(line));
    expect(lines).toEqual(["report: Unknown option '--quik'. Try --help."]);
  });

  it('ends with 2 and one line for a figure that there is none of', async () => {
    const failed = await report('none-such', '--out', folder).catch((error: { code: number; stderr: string }) => error);
    expect(failed).toMatchObject({ code: 2 });
    expect(failed.stderr).toMatch(/report: expected approximation, .*got none-such\./);
  });
});

describe('npm run report -- --bench', () => {
  let own: string;
  beforeAll(async () => {
    own = await mkdtemp(join(tmpdir(), 'report-bench-'));
  });
  afterAll(() => rm(own, { recursive: true, force: true }));
  async function fileOf(rows: unknown): Promise<string> {
    const file = join(own, 'bench.json');
    await writeFile(file, JSON.stringify(rows));
    return file;
  }

  it('draws the figures with their tables', async () => {
    const file = await fileOf([...scalingRows, ...rowsWithTargets]);
    await report('scaling', 'targets', '--bench', file, '--out', own);
    const page = await readFile(join(own, 'index.html'), 'utf8');
    for (const name of ['scaling', 'targets']) expect(page).toContain(`npm run report -- ${name} --bench ${file}`);
    expect(page).toContain('<td>FAVOR+</td><td>2.50 (1.25×)</td>');
    const svg = await readFile(join(own, 'scaling.svg'), 'utf8');
    for (const text of ['forward', 'training step', 'seconds', 'gigabytes', 'length (tokens)', 'exact, fused']) {
      expect(svg).toContain(text);
    }
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const numbers = JSON.parse(await readFile(join(own, 'scaling.json'), 'utf8')) as object[];
    expect(numbers).toHaveLength(7);
    expect(await readFile(join(own, 'targets.svg'), 'utf8')).toContain('times better than the target');
  });

  it.each([
    ['is of another kind', { rows: [] }, /expected .*bench\.json to be what npm run bench/],
    ['has no such rows', rowsWithTargets, /expected --bench FILE of npm run bench -- scaling --json FILE, got no rows/],
  ])('ends with 2 and one line for a file that %s', async (_, content, message) => {
    const file = await fileOf(content);
    const failed = await report('scaling', '--bench', file, '--out', own).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed).toMatchObject({ code: 2 });
    const lines = failed.stderr.split('\n').filter((line) => line.startsWith('report: '));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
  });
});
