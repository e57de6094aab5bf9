/** `performer bench`: rows and figures of a trained model and of a preset, a profile, being stopped, and called wrongly. */
import { readdir, readFile, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { type HostTensor, Random } from '../../src/base/index.js';
import { drawBuffers, initialize } from '../../src/base/layout.js';
import { leavesOf } from '../../src/base/tree.js';
import { type Part, prepareReading, prepareTraining, readingOf } from '../../src/cli/bench-parts.js';
import type { Engine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { profileJson, profileText } from '../../src/measure/index.js';
import { type LanguageModelOptions, languageModelConfig, modelOf } from '../../src/models/index.js';
import { performer, small, temporaryFolder, textFile, trainedModel } from './support.js';

/** The large products take most of a short bench: one of the tests has them, in the others they take a millisecond. */
const reference = vi.hoisted(() => ({ isLarge: true }));
vi.mock('../../src/engine/chained-products.js', async (load) => {
  const { compileChainedProducts } = await load<typeof import('../../src/engine/chained-products.js')>();
  const instead = { run: () => setTimeout(1), dispose: async () => undefined, operations: 1e6 };
  return { compileChainedProducts: (engine: Engine) => (reference.isLarge ? compileChainedProducts(engine) : instead) };
});
afterEach(() => {
  reference.isLarge = true;
});

const positive = z.number().positive();
const timing = z.strictObject({ median: positive, fastest: positive, slowest: positive, runs: z.literal(1) });
const measured = {
  milliseconds: timing,
  tokens: z.int().positive(),
  tokensPerSecond: positive,
  creationMilliseconds: positive,
};
const computed = { ...measured, gigaflops: positive, share: positive };
const table = z
  .array(
    z.strictObject({ name: z.string().min(1), milliseconds: z.number().min(0), share: z.number(), count: positive }),
  )
  .min(1)
  .refine((rows) => Math.abs(rows.reduce((total, { share }) => total + share, 0) - 1) < 1e-9, 'shares add up to 1');
const profile = z.strictObject({ runs: positive, milliseconds: positive, byOp: table, byPath: table, byPlace: table });
const report = z.strictObject({
  model: z.string(),
  parameters: z.int().positive(),
  length: z.int(),
  batch: z.int(),
  machine: z.strictObject({
    processor: z.string(),
    cores: z.int(),
    threads: z.literal(2),
    node: z.string(),
    provider: z.literal('cpu'),
  }),
  reference: z.strictObject({ milliseconds: timing, gigaflops: positive }),
  training: z.strictObject({ ...computed, peakBytes: positive }),
  prompt: z.strictObject(computed),
  decoding: z.strictObject({ ...measured, bytesPerToken: positive, gigabytesPerSecond: positive }),
  profile: z.strictObject({ training: profile, prompt: profile, decoding: profile }).optional(),
});

const quick = ['--rounds', '1', '--threads', '2'];
const rows = [
  /^ +time \(fastest–slowest\) +speed +rate$/m,
  /^reference, large products +[\d.,]+ ms \(.+–.+\) +[\d.,]+ GFLOP\/s$/m,
  /^training step, 2 × 16 tokens +[\d.,]+ ms .* tokens\/s +[\d.,]+ GFLOP\/s, \d+ % of the reference$/m,
  /^prompt of 16 tokens +[\d.,]+ ms .* tokens\/s +[\d.,]+ GFLOP\/s, \d+ % of the reference$/m,
  /^decoding, one token +[\d.,]+ ms .* tokens\/s +[\d.,]+ GB\/s of weights and state$/m,
  /^peak memory of training: [\d.]+ [MG]B$/m,
  /^session creation: training [\d.]+ s, prompt [\d.]+ s, decoding [\d.]+ s$/m,
];

const profileFolders = async () => (await readdir(tmpdir())).filter((name) => /^performer-profile-\w{6}$/.test(name));

const modelFolder = trainedModel();

describe('bench', () => {
  test('of a trained model at the window of its training: every row, and with --profile where the time goes', async () => {
    const folder = await modelFolder();
    const json = join(folder, 'bench.json');
    const before = await profileFolders();
    const { code, out, err } = await performer(
      ['bench', folder, '--batch', '2', '--profile', '--out', json, ...quick],
      { isTTY: true },
    );
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^${folder}: [\\d,]+ parameters\n.*, 2 threads, Node v.*, cpu\n`));
    for (const row of rows) expect(out).toMatch(row);
    for (const title of ['Training', 'The prompt', 'Decoding']) {
      expect(out).toMatch(new RegExp(`^${title}: profile of \\d+ runs: [\\d.]+ ms in nodes\nby op\n`, 'm'));
    }
    expect(out.match(/^ +[\d.]+ % .* blocks\.\*\.attention$/gm)).toHaveLength(3);
    // Single tokens need no loop, and a prompt of 16 is read as such.
    expect(out.match(/^ +[\d.]+ % .* bodies of loops \(Scan\)$/gm)).toHaveLength(1);
    expect(err).toMatch(/measuring: \d+ of 14 runs/);
    const found = report.parse(JSON.parse(await readFile(json, 'utf8')));
    expect(found).toMatchObject({ model: folder, length: 16, batch: 2, training: { tokens: 32 } });
    expect(found.prompt.tokens).toBe(16);
    expect(found.profile?.training.runs).toBe(2); // three, of which the first is not counted
    expect((await profileFolders()).filter((name) => !before.includes(name))).toEqual([]);
  });

  test('of a preset, stopped while it is profiled, ends well with the figures alone', async () => {
    reference.isLarge = false;
    const folder = await temporaryFolder();
    const json = join(folder, 'bench.json');
    const words = ['bench', '--preset', 'tiny', '--length', '32', '--profile', '--out', json, ...quick];
    const { code, out } = await performer(words, { stopAt: /session creation/ });
    expect(code).toBe(130);
    expect(out).toMatch(/^preset tiny: 1\.4 M parameters\n/);
    expect(out).not.toContain('profile of');
    const found = report.parse(JSON.parse(await readFile(json, 'utf8')));
    expect(found).toMatchObject({ model: 'preset tiny', length: 32, batch: 1 });
    expect(found).not.toHaveProperty('profile');
    expect(await readdir(folder)).toEqual(['bench.json']);
  });

  test('prints the figures as JSON in place of the table, and to the file as well', async () => {
    reference.isLarge = false;
    const folder = await temporaryFolder();
    const file = join(folder, 'bench.json');
    const words = ['bench', '--preset', 'tiny', '--length', '32', '--json', '--out', file, '--quiet', ...quick];
    const { code, out, err } = await performer(words);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(report.parse(JSON.parse(out))).toMatchObject({ model: 'preset tiny', length: 32 });
    expect(await readFile(file, 'utf8')).toBe(out);
  });

  test('says before it measures that a file could not be written', async () => {
    const json = join(await temporaryFolder(), 'missing', 'bench.json');
    const { code, out, err } = await performer(['bench', '--out', json, ...quick]);
    expect(err).toMatch(/^performer: --out: expected the folder .*missing for .*bench\.json, got none\.\n$/);
    expect({ code, out }).toEqual({ code: 1, out: '' });
  });

  test('of a folder that is no model, or no whole one, ends with 1 and one line', async () => {
    const empty = await performer(['bench', await temporaryFolder(), ...quick]);
    expect(empty.err).toMatch(/^performer: .*expected a folder with a model, got one without config\.json\..*\n$/);
    expect(empty).toMatchObject({ code: 1, out: '' });
    const folder = await modelFolder();
    await truncate(join(folder, 'model.safetensors'), 5000);
    const cut = await performer(['bench', folder, ...quick]);
    expect(cut.err).toMatch(/^performer: .*by its header, got one of 5000.*\n$/);
    expect(cut).toMatchObject({ code: 1, out: '' });
  });

  test.each<[string, string[], RegExp]>([
    ['a folder and a preset', ['run', '--preset', 'tiny'], /expected a folder with a model, or --preset, got both/],
    ['an unknown preset', ['--preset', 'huge'], /--preset.*tiny, small, base/],
    ['an unknown provider', ['--provider', 'abacus'], /--provider.*cpu, cuda, webgpu/],
    ['an unknown flag', ['--device', 'cpu'], /unknown option '--device'/],
    ['a length of 0', ['--length', '0'], /--length.*>=1/],
    ['half a batch', ['--batch', '1.5'], /--batch.*int/],
    ['no rounds', ['--rounds', '0'], /--rounds.*>=1/],
    ['two folders', ['a', 'b'], /too many arguments/],
    ['a file without a name', ['--out', ''], /--out/],
  ])('called with %s ends with 2 and one line', async (_, words, message) => {
    const { code, out, err } = await performer(['bench', ...words]);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test('refuses a window beyond what a model with learned positions reads', async () => {
    const folder = await temporaryFolder();
    const run = join(folder, 'run');
    const learned = ['--positions', 'learned', '--max-length', '24'];
    await performer(['train', await textFile(folder), '--out', run, ...small, ...learned]);
    const { code, out, err } = await performer(['bench', run, '--length', '25', ...quick]);
    expect(err).toMatch(/--length: expected at most the 24 tokens that the model can read, got 25\./);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

describe('the parts of a bench run again and again', () => {
  const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8 };
  test.each<[string, Partial<LanguageModelOptions>]>([
    ['FAVOR+', {}],
    ['exact attention with learned positions', { attention: 'softmax', positions: { kind: 'learned', maxLength: 24 } }],
    ['no attention and a tied embedding', { attention: 'none', tiedEmbedding: true }],
    ['features that are shaped', { attention: { features: 'oprf' } }],
    ['features that learn', { attention: { features: 'hedgehog' } }],
    ['few tokens that there are', { vocabularySize: 7 }],
  ])('for %s', async (_, options) => {
    const model = modelOf(languageModelConfig({ ...sizes, ...options }));
    const random = Random.fromSeed(1);
    const loaded = {
      model,
      params: initialize(model.params, random.split('parameters')) as object,
      buffers: drawBuffers(model.buffers, random.split('projections')) as object,
    };
    const engine = nodeEngine({ threads: 1 });
    const work = { loaded, length: 24, batch: 2 };
    const weight = () =>
      Object.fromEntries(leavesOf(loaded.params))['blocks.0.attention.query.weight'] as unknown as HostTensor;
    const before = weight().data.slice();
    const { prompt, decoding } = await prepareReading({ prompt: engine, decoding: engine }, work);
    const parts: Part[] = [await prepareTraining(engine, work), prompt, decoding];
    for (const part of parts) {
      await part.run();
      await part.run();
      expect(part.creation()).toBeGreaterThan(0);
      await part.dispose();
    }
    expect(weight().data).toEqual(before); // training leaves it as it was
  });

  test('a prompt leaves room for the tokens after it', () => {
    const learned = modelOf(languageModelConfig({ ...sizes, positions: { kind: 'learned', maxLength: 40 } }));
    expect(readingOf(learned, 40)).toEqual({ prompt: 20, decoded: 20 });
    expect(readingOf(learned, 8)).toEqual({ prompt: 8, decoded: 20 });
    expect(readingOf(modelOf(languageModelConfig(sizes)), 1000)).toEqual({ prompt: 1000, decoded: 32 });
  });
});

test('a table of many rows sums the last ones, and its shares add up to 100 % but for rounding', () => {
  const entries = Array.from(
    { length: 30 },
    (_, at) => [`Op${at}`, { microseconds: (at + 1) ** 2 * 7, count: at + 1 }] as const,
  );
  const microseconds = entries.reduce((total, [, entry]) => total + entry.microseconds, 0);
  const whole = new Map([['graph', { microseconds, count: 465 }]] as const);
  const synthetic = { runs: 1, microseconds, byOp: new Map(entries), byPath: new Map(entries), byPlace: whole };
  const { byOp } = profileJson(synthetic);
  expect(byOp[0]).toEqual({ name: 'Op29', milliseconds: 6.3, share: 6300 / microseconds, count: 30 });
  const [, first = '', , third = ''] = profileText(synthetic).split(/^by .*$/m);
  expect(first).toMatch(/105 × {2}14 others/);
  const shares = [...first.matchAll(/([\d.]+) %/g)].map(([, share]) => Number(share));
  expect(shares).toHaveLength(17);
  expect(Math.abs(shares.reduce((a, b) => a + b) - 100)).toBeLessThan(17 * 0.05);
  expect(third).toMatch(/100\.0 % .* the graph itself/);
  expect(profileText({ ...synthetic, byOp: new Map(), runs: 0, microseconds: 0 })).toBe('no run was profiled');
});
