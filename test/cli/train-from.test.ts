/** `performer train --from`: a training goes on from a model, ours or a pretrained one, for any task that it can begin. */
import { existsSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { HostTensor } from '../../src/base/index.js';
import { leavesOf } from '../../src/base/tree.js';
import { targetsOf } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';
import { wordPieceFile } from '../support/tokenizer-files.js';
import { performer, temporaryFolder } from './support.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const flags = [
  '--batch',
  '4',
  '--window',
  '16',
  '--evaluation-interval',
  '20',
  '--threads',
  '1',
  '--learning-rate',
  '3e-3',
];

/** A pretrained folder with a tokenizer, and files to learn from. */
async function pretrained(name: string) {
  const folder = await temporaryFolder();
  const place = (file: string) => join(folder, file);
  await cp(join(golden, name), place('model'), { recursive: true });
  await writeFile(place('model/tokenizer.json'), JSON.stringify(wordPieceFile()));
  await writeFile(place('text.txt'), 'the cat sat on the mat, the dog sat by the cat. '.repeat(60));
  const rows = Array.from({ length: 60 }, (_, at) => {
    const label = at % 2 === 0 ? 'cat' : 'dog';
    return JSON.stringify({ text: `the ${label} sat${' on the mat'.repeat(at % 3)}`, label });
  });
  await writeFile(place('rows.jsonl'), rows.join('\n'));
  return { place, model: place('model'), run: place('run') };
}

const losses = async (run: string) =>
  (await readFile(join(run, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { loss?: number }).loss)
    .filter((loss) => loss !== undefined);

test('a language model goes on as one, with the tokens that end its texts, and is taken up again', async () => {
  const { place, model, run } = await pretrained('llama');
  const ran = await performer(['train', place('text.txt'), '--out', run, '--from', model, '--steps', '20', ...flags]);
  expect({ code: ran.code, err: ran.err }).toEqual({
    code: 0,
    err: expect.stringMatching(/^\S+tokenizer\.json: has 37 tokens, [^\n]*\n$/),
  });
  const [before, after] = [await loadModel(model), await loadModel(run)];
  expect(after.model.config).toEqual(before.model.config);
  const all = await losses(run);
  expect(all.at(-1)!).toBeLessThan(all[0]! * 0.8);
  const again = await performer(['train', '--out', run, '--resume', '--steps', '22', '--threads', '1']);
  expect({ code: again.code, err: again.err }).toEqual({ code: 0, err: '' });
  expect(await performer(['train', '--out', run, '--resume', '--from', model])).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--from: a run goes on with what it began with/),
  });
});

test('an encoder goes on guessing, and begins a classifier with a fresh head', async () => {
  const { place, model, run } = await pretrained('bert-mlm');
  const guess = ['--task', 'masked-language-modelling', '--from', model, '--steps', '20', ...flags];
  expect(await performer(['train', place('text.txt'), '--out', run, ...guess])).toMatchObject({ code: 0 });
  const other = place('classes');
  const classes = ['--task', 'classification', '--from', run, '--pooling', 'first', '--steps', '40', ...flags];
  const ran = await performer(['train', place('rows.jsonl'), '--out', other, ...classes]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
  const { model: found } = await loadModel(other);
  expect(found.config).toMatchObject({ model: 'classifier', framed: true, tokenTypes: 2, embeddingNorm: true });
  const told = await performer(['predict', other, place('rows.jsonl'), '--format', 'jsonl', '--threads', '1']);
  const said = told.out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { class: string }).class);
  expect(said.filter((label, at) => label === (at % 2 === 0 ? 'cat' : 'dog')).length).toBeGreaterThan(54);
  const more = ['--task', 'classification', '--from', other, '--steps', '1', ...flags, '--learning-rate', '1e-9'];
  expect(await performer(['train', place('rows.jsonl'), '--out', place('more'), ...more])).toMatchObject({ code: 0 });
  const { params } = await loadModel(place('more'));
  const known = new Map(leavesOf<object, HostTensor>((await loadModel(other)).params));
  for (const [path, { data }] of leavesOf<object, HostTensor>(params)) {
    const own = known.get(path)!.data;
    expect(
      data.every((value, at) => Math.abs(value - own[at]!) < 1e-6),
      path,
    ).toBe(true);
  }
});

test('a classifier goes on with classes of its own, or begins a new head for others', async () => {
  const { place, model, run } = await pretrained('bert-mlm');
  const classes = (from: string) => ['--task', 'classification', '--from', from, '--steps', '2', ...flags];
  expect(await performer(['train', place('rows.jsonl'), '--out', run, ...classes(model)])).toMatchObject({ code: 0 });
  const text = await readFile(place('rows.jsonl'), 'utf8');
  await writeFile(place('one.jsonl'), text.replaceAll('"label":"dog"', '"label":"cat"'));
  await writeFile(place('others.jsonl'), `${text}\n${JSON.stringify({ text: 'the mat', label: 'mat' })}`);
  const kept = await performer(['train', place('one.jsonl'), '--out', place('kept'), ...classes(run)]);
  expect({ code: kept.code, err: kept.err }).toEqual({ code: 0, err: '' });
  const anew = await performer(['train', place('others.jsonl'), '--out', place('anew'), ...classes(run)]);
  expect(anew).toMatchObject({
    code: 0,
    err: expect.stringMatching(/run: its head begins anew, as the files have other classes/),
  });
  const namesOf = async (name: string) => targetsOf((await loadModel(place(name))).model)!.names;
  expect([await namesOf('kept'), await namesOf('anew')]).toEqual([
    ['cat', 'dog'],
    ['cat', 'dog', 'mat'],
  ]);
});

test.each([
  [[], 5e-5],
  [['--lora-rank', '2'], 5e-4],
  [['--learning-rate', '1e-3'], 1e-3],
  [['--preset', 'tiny'], 6e-3],
])('the rate suits a model to go on from, unless it or a preset is asked for: %j', async (words, rate) => {
  const { place, model, run } = await pretrained('bert-mlm');
  const asked = [
    '--task',
    'classification',
    '--from',
    model,
    '--steps',
    '1',
    '--batch',
    '2',
    '--window',
    '16',
    ...words,
  ];
  expect(await performer(['train', place('rows.jsonl'), '--out', run, ...asked, '--threads', '1'])).toMatchObject({
    code: 0,
  });
  const [first] = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).split('\n');
  expect(JSON.parse(first!)).toMatchObject({ step: 1, learningRate: expect.closeTo(rate, 9) });
});

test('by adapters blocks keep their weights but for changes of a low rank, a new head learns, and a stopped run goes on', async () => {
  const { place, model, run } = await pretrained('bert-mlm');
  const words = ['--task', 'classification', '--from', model, '--steps', '20', ...flags, '--lora-rank', '2'];
  const train = (out: string, options: object = {}) =>
    performer(['train', place('rows.jsonl'), '--out', out, ...words], options);
  const ran = await train(run);
  expect(ran.code).toBe(0);
  expect(ran.out).toMatch(/^1,794 parameters learned beside the 19,250 of the model, /);
  const known = new Map(leavesOf<object, HostTensor>((await loadModel(model)).params));
  const changed = leavesOf<object, HostTensor>((await loadModel(run)).params).filter(
    ([path, { data }]) => !known.get(path)?.data.every((value, at) => value === data[at]),
  );
  expect(changed.map(([path]) => path.replace(/^blocks\.\d+/, '')).filter((path) => !path.startsWith('head'))).toEqual(
    [0, 1].flatMap(() => [
      ...['query', 'key', 'value', 'output'].map((name) => `.attention.${name}.weight`),
      ...['expand', 'contract'].map((name) => `.feedForward.${name}.weight`),
    ]),
  );
  expect(await performer(['predict', run, place('rows.jsonl'), '--threads', '1'])).toMatchObject({ code: 0 });
  const broken = place('broken');
  expect((await train(broken, { stopAt: /step 1\/20/, isTTY: false })).out).toContain('Go on with');
  const other = await performer(['train', '--out', broken, '--resume', '--lora-rank', '4']);
  expect(other).toMatchObject({ code: 2, err: expect.stringMatching(/--lora-rank: expected 2, with which the run/) });
  expect(await performer(['train', '--out', broken, '--resume', '--threads', '1'])).toMatchObject({ code: 0, err: '' });
  const weights = await Promise.all([run, broken].map((out) => readFile(join(out, 'model.safetensors'))));
  expect(weights[0]!.equals(weights[1]!)).toBe(true);
});

test('adapters of no model, of too high a rank, of rank 0, and alpha without a rank are called wrong', async () => {
  const { place, model, run } = await pretrained('llama');
  const tried = (...words: string[]) =>
    performer(['train', place('text.txt'), '--out', run, ...words, '--threads', '1']);
  const from = ['--from', model, '--window', '16', '--steps', '2'];
  for (const [words, message] of [
    [['--lora-rank', '2'], /--lora-rank: expected a trained model to change, got none\. Add --from to train/],
    [
      [...from, '--lora-rank', '999'],
      /--lora-rank: expected at most \d+, the rank of blocks\.0\.\S+ \[\d+, \d+\], got 999/,
    ],
    [[...from, '--lora-rank', '0'], /--lora-rank <n>' argument '0' is invalid\. Too small: expected number to be >=1/],
    [[...from, '--lora-alpha', '8'], /loraAlpha: only a training with a loraRank has it/],
  ] as const) {
    expect(await tried(...words)).toMatchObject({ code: 2, err: expect.stringMatching(message) });
  }
  expect(existsSync(run)).toBe(false);
});

test('what the model decides, a task that it cannot begin, and a model without a tokenizer are called wrong', async () => {
  const { place, model, run } = await pretrained('llama');
  const tried = (...words: string[]) => performer(['train', place('text.txt'), '--out', run, ...words, ...flags]);
  expect(await tried('--from', model, '--dim', '64')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--dim: the model of --from decides it\. Leave it out/),
  });
  expect(await tried('--from', model, '--task', 'masked-language-modelling')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--from: expected a model that begins encoders, got a causal-language-model/),
  });
  expect(await tried('--from', join(golden, 'llama'))).toMatchObject({
    code: 2,
    err: expect.stringMatching(/got none, as its folder had no tokenizer\.json/),
  });
});
