/** `performer train`, `evaluate` and `generate` on pairs of texts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { performer } from './support.js';

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-pairs-'));
  const rows = Array.from({ length: 40 }, (_, index) => `word ${index},${index % 7} words`);
  await writeFile(at('pairs.csv'), ['from,to', ...rows].join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const small = '--dim 16 --depth 1 --heads 2 --head-dim 8 --feature-count 16 --batch 4 --window 24 --steps 4'.split(' ');

it('trains on the columns of a table, is evaluated on them, and writes of a source or a prompt', async () => {
  const words = ['train', at('pairs.csv'), '--out', at('run'), '--task', 'sequence-to-sequence', ...small];
  const trained = await performer([...words, '--source', 'from', '--target', 'to']);
  expect(trained.code, trained.err).toBe(0);
  expect(trained.out).toMatch(/38 pairs to train on, 2 held out/);
  expect(trained.out).toMatch(/exactMatch 0\.\d+/);
  const evaluated = await performer(['evaluate', at('run'), at('pairs.csv'), '--json']);
  expect(evaluated.code, evaluated.err).toBe(0);
  const { pairs, measures } = JSON.parse(evaluated.out);
  expect(pairs).toBe(40);
  expect(Object.keys(measures)).toEqual(['loss', 'perplexity', 'accuracy', 'exactMatch']);
  expect(measures.perplexity).toBeCloseTo(Math.exp(measures.loss), 6);
  const options = ['--max-tokens', '12', '--temperature', '0', '--seed', '1'];
  const bySource = await performer(['generate', at('run'), '--source', 'word 3', ...options]);
  const byPrompt = await performer(['generate', at('run'), '--prompt', 'word 3', ...options]);
  const nothing = await performer(['generate', at('run'), ...options], { stdin: '', isPiped: true });
  expect(nothing).toMatchObject({
    code: 2,
    err: expect.stringContaining('expected a text to answer, got an empty one'),
  });
  expect(bySource.code, bySource.err).toBe(0);
  expect(byPrompt.out).toBe(bySource.out);
  expect(byPrompt.out).not.toContain('word 3');
});

it('refuses columns of other tasks', async () => {
  const words = ['train', at('pairs.csv'), '--out', at('other'), '--task', 'sequence-to-sequence', ...small];
  const refused = await performer([...words, '--label', 'to']);
  expect(refused.code).toBe(2);
  expect(refused.err).toMatch(/--label: sequence-to-sequence does not have it/);
});
