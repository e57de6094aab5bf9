/** README, CHANGELOG and docs: what they link to and the files that they name exist, and what a Performer is runs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { causalAttention } from '../src/attention/index.js';
import { float32, optionFields, Random } from '../src/base/index.js';
import { nodeEngine } from '../src/engine/node.js';
import { drawProjection, positiveFeatures } from '../src/features/index.js';
import { modelFamily, modelNames } from '../src/models/index.js';
import { trainingSchema } from '../src/training/index.js';
import { runOnce } from './support/attention-run.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
];
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');
const withoutBlocks = (text: string) => text.replaceAll(/^```.*?^```$/gms, '');

/** The anchors that GitHub gives to the headings of a document. */
function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>();
  return [...withoutBlocks(text).matchAll(/^#+ +(.*?) *$/gm)].map(([, heading]) => {
    const slug = heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}

/** What is wrong with the relative links of a document. */
function deadLinks(path: string, text: string): string[] {
  const links = withoutBlocks(text)
    .replaceAll(/`[^`]*`/g, '')
    .matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g);
  return [...links].flatMap(([, inText, inTag]) => {
    const target = (inText ?? inTag)!;
    if (/^(https?|mailto):/.test(target)) return [];
    const [file, anchor] = target.split('#') as [string, string?];
    const place = file === '' ? path : normalize(join(dirname(path), file));
    if (!existsSync(join(root, place))) return [`${path}: ${target} leads to no file`];
    const anchors = place === path ? anchorsOf(text) : place.endsWith('.md') ? anchorsOf(textOf(place)) : [];
    return anchor === undefined || anchors.includes(anchor) ? [] : [`${path}: ${target} leads to no heading`];
  });
}

/** Files of the repository that a document names, as they stand in its root or in src, and that do not exist. */
function missingFiles(path: string, text: string): string[] {
  const folders = [...readdirSync(join(root, 'src')), 'src', 'test', 'bench', 'report', 'examples', 'docs'];
  const named = new RegExp(`(?<![\\w./-])(?:${folders.join('|')})/[\\w./-]+\\.(?:ts|mjs|py|md|svg)\\b`, 'g');
  return (text.match(named) ?? []).flatMap((name) =>
    existsSync(join(root, name)) || existsSync(join(root, 'src', name)) ? [] : [`${path}: there is no ${name}`],
  );
}

describe.each(documents)('%s', (path) => {
  test('its relative links lead to files and headings that exist', () => {
    expect(deadLinks(path, textOf(path))).toEqual([]);
  });

  test('the files that it names exist', () => {
    expect(missingFiles(path, textOf(path))).toEqual([]);
  });
});

test('links to what is not there are found', () => {
  const text =
    '## What it is\n[a](#what-it-is) [b](#nothing) [c](docs/none.md) [d](docs/speed.md#speed) [e](docs/speed.md#no)\n';
  expect(deadLinks('README.md', text)).toEqual([
    'README.md: #nothing leads to no heading',
    'README.md: docs/none.md leads to no file',
    'README.md: docs/speed.md#no leads to no heading',
  ]);
  expect(missingFiles('README.md', '`graph/trace.ts`, `src/graph/none.ts`')).toEqual([
    'README.md: there is no src/graph/none.ts',
  ]);
});

test('every page of docs is linked from README or from another page that is', () => {
  const reached = new Set(['README.md']);
  for (const path of reached) {
    for (const [, target] of withoutBlocks(textOf(path)).matchAll(/\]\((?!https?:)([\w./-]+\.md)/g)) {
      reached.add(normalize(join(dirname(path), target!)));
    }
  }
  expect(documents.filter((path) => path !== 'CHANGELOG.md' && !reached.has(path))).toEqual([]);
});

test('the tables of options.md have every family, and every option of models and of trainings by its flag', () => {
  const tables = textOf('docs/options.md')
    .match(/^\|.*$/gm)!
    .join('\n');
  const schemas = [...modelNames().map((name) => modelFamily(name).schema), trainingSchema];
  const fields = schemas.flatMap((schema) => optionFields(schema));
  const isTold = new RegExp(String.raw`--(?:no-)?(${fields.map(({ flag }) => flag).join('|')})(?![\w-])`, 'g');
  const told = new Set([...tables.matchAll(isTold)].map(([, flag]) => flag));
  const inCode = ['is-causal']; // of plain Performers, which no command trains
  expect(new Set(fields.map(({ flag }) => flag).filter((flag) => !told.has(flag)))).toEqual(new Set(inCode));
  expect(tables).toContain('`isCausal: true`');
  expect(modelNames().filter((name) => !tables.includes(`| \`${name}\` |`))).toEqual([]);
});

test('what-is-a-performer.md: its code gives what causalAttention gives', async () => {
  const [length, dim, count] = [24, 8, 32];
  const [, code] = /```ts\n(.*?)```/s.exec(textOf('docs/what-is-a-performer.md'))!;
  const { outputText } = ts.transpileModule(code!, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  type Rows = number[][];
  const { attendNext } = (await import(`data:text/javascript,${encodeURIComponent(outputText)}`)) as {
    attendNext: (
      state: Rows,
      directions: Rows,
      ...token: [query: number[], key: number[], value: number[]]
    ) => number[];
  };

  const random = Random.fromSeed(7);
  const projection = drawProjection(random.split('projection'), count, dim);
  const draw = (name: string) => float32([1, length, 1, dim], random.split(name).normals(length * dim));
  const inputs = { query: draw('query'), key: draw('key'), value: draw('value') };
  const { output } = await runOnce(
    nodeEngine(),
    ({ rows, ...tokens }) => ({ output: causalAttention(tokens, positiveFeatures(rows)).output }),
    { ...inputs, rows: projection },
  );

  const rowsOf = ({ data }: { data: ArrayLike<number> }, scale = 1): Rows =>
    Array.from({ length: data.length / dim }, (_, row) =>
      Array.from({ length: dim }, (__, column) => data[row * dim + column]! * scale),
    );
  const directions = rowsOf(projection as { data: Float32Array });
  const [queries, keys] = [rowsOf(inputs.query, dim ** -0.25), rowsOf(inputs.key, dim ** -0.25)];
  const values = rowsOf(inputs.value);
  const state: Rows = directions.map(() => Array(dim + 1).fill(0));
  const found = queries.flatMap((query, at) => attendNext(state, directions, query, keys[at]!, values[at]!));
  const expected = Array.from(output.data as Float32Array);
  const error = Math.max(...found.map((value, at) => Math.abs(value - expected[at]!)));
  expect(found).toHaveLength(length * dim);
  expect(error).toBeLessThan(1e-5);
});
