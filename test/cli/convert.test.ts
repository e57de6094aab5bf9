/** performer convert: the table of what it brought, going on after a stop, and being called wrongly. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { HostTensor } from '../../src/base/index.js';
import { leavesOf } from '../../src/base/tree.js';
import { loadModel } from '../../src/models/node.js';
import { performer, small as smallFavor, temporaryFolder, textFile } from './support.js';

const small = smallFavor.filter((_, at) => !smallFavor.slice(Math.max(0, at - 1), at + 1).includes('--feature-count'));
const quick = ['--threads', '1', '--transfer-steps', '6', '--steps', '6', '--window', '32', '--batch', '2'];
const other = ['--attention', 'favor+', '--feature-count', '16'];

/** A trained model with exact attention, and the text that it learned. */
async function exactModel() {
  const folder = await temporaryFolder();
  const text = await textFile(folder);
  const model = join(folder, 'exact');
  const { code, err } = await performer(['train', text, '--out', model, ...small, '--attention', 'softmax']);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return { folder, text, model };
}

describe('convert', () => {
  test('replaces attention, teaches the model in two parts, and tells what each brought', async () => {
    const { folder, text, model } = await exactModel();
    const out = join(folder, 'linear');
    const { code, out: told, err } = await performer(['convert', model, text, '--out', out, ...other, ...quick]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const rows = told.split('\n').filter((line) => /^(exact|replaced|blocks learned|whole learned) /.test(line));
    expect(rows).toHaveLength(4);
    const number = (row: number, column: number) => Number(rows[row]!.split(/ {2,}/)[column]);
    expect(number(0, 2)).toBe(0);
    expect(number(1, 2)).toBeGreaterThan(0);
    expect(number(2, 3)).toBeLessThan(number(1, 3)); // the error of the block
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(config.attention.kind).toBe('favor+');
    expect((await performer(['generate', out, '--prompt', 'the', '--max-tokens', '4', '--threads', '1'])).code).toBe(0);
    const trained = await performer(['train', '--out', out, '--resume']);
    expect(trained).toMatchObject({ code: 2, err: expect.stringContaining('Use performer convert --resume') });
    const again = await performer(['convert', model, text, '--out', out, ...other, ...quick]);
    expect(again).toMatchObject({ code: 2, err: expect.stringMatching(/holds a (run|conversion) already/) });
  });

  test('keeps what it began with where no step makes it better', async () => {
    const { folder, text, model } = await exactModel();
    const words = ['convert', model, text, '--out', join(folder, 'linear'), ...other, ...quick];
    const { code, out } = await performer([...words, '--learning-rate', '2']);
    expect(code).toBe(0);
    const rows = out.split('\n').filter((line) => /^(replaced|blocks learned|whole learned) /.test(line));
    const [replaced, blocks, whole] = rows.map((line) => line.split(/ {2,}/).slice(1));
    expect([blocks, whole]).toEqual([replaced, replaced]);
  });

  test.each(['each block by itself', 'the whole'])(
    'stopped while %s learns, it ends as one that never stopped',
    async (part) => {
      const { folder, text, model } = await exactModel();
      const words = ['convert', model, text, ...other, ...quick];
      const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
      expect((await performer([...words, '--out', whole])).code).toBe(0);
      const stopped = await performer([...words, '--out', broken], {
        stopAt: new RegExp(`${part} learns[^]*step 1/6`),
        isTTY: false,
      });
      expect(stopped.out).toContain('convert --out');
      const { code, err } = await performer(['convert', '--out', broken, '--resume', '--threads', '1']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const weights = await Promise.all([whole, broken].map((out) => readFile(join(out, 'model.safetensors'))));
      expect(weights[0]!.equals(weights[1]!)).toBe(true);
    },
  );

  test('does not go on with another teacher than it began with', async () => {
    const { folder, text, model } = await exactModel();
    const out = join(folder, 'linear');
    await performer(['convert', model, text, '--out', out, ...other, ...quick]);
    await performer(['train', text, '--out', join(folder, 'other'), ...small, '--attention', 'softmax', '--seed', '5']);
    for (const name of ['model.safetensors', 'config.json']) {
      await writeFile(join(model, name), await readFile(join(folder, 'other', name)));
    }
    const { code, err } = await performer(['convert', '--out', out, '--resume']);
    expect({ code, err }).toMatchObject({
      code: 1,
      err: expect.stringContaining('the weights that the conversion began with'),
    });
  });
});

test('convert chooses the features of each layer by the error that is tolerated, and goes on with them', async () => {
  const { folder, text, model } = await exactModel();
  const out = join(folder, 'linear');
  const words = ['convert', model, text, ...quick, '--attention', 'favor+', '--tolerance'];
  const stopped = await performer([...words, '0.9', '--out', out], { stopAt: /step 1\/6/ });
  expect(stopped.out).toMatch(/block 1: \w+ features, \d+, attention's error 0\.\d+\n/);
  const [, name, count] = /block 1: (\w+) features, (\d+)/.exec(stopped.out)!;
  expect((await performer(['convert', '--out', out, '--resume', '--threads', '1'])).code).toBe(0);
  const { attention } = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
  expect(attention[0].features).toMatchObject({ name, ...(name !== 'taylor' && { featureCount: Number(count) }) });
  const least = await performer([...words, '1e-9', '--out', join(folder, 'least')], { stopAt: /step 1\/6/ });
  expect(least.out).toContain('the least of all: none is within 1e-9');
  const both = await performer([...words, '0.9', '--out', join(folder, 'both'), '--feature-count', '16']);
  expect(both).toMatchObject({ code: 2, err: expect.stringContaining('got --feature-count too') });
});

test('convert repeats learned positions, of the model to learn from too, and goes on so', async () => {
  const { folder, text } = await exactModel();
  const model = join(folder, 'learned');
  const positions = ['--positions', 'learned', '--max-length', '32'];
  const exact = [...small, '--attention', 'softmax', ...positions, '--window', '32'];
  expect((await performer(['train', text, '--out', model, ...exact])).code).toBe(0);
  const longer = [...quick.map((word) => (word === '32' ? '48' : word)), '--max-length', '64'];
  const words = ['convert', model, text, ...other, ...longer];
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
  const { code, err } = await performer([...words, '--out', whole]);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const config = JSON.parse(await readFile(join(whole, 'config.json'), 'utf8'));
  expect(config.positions).toEqual({ kind: 'learned', maxLength: 64 });
  await performer([...words, '--out', broken], { stopAt: /step 1\/6/ });
  expect((await performer(['convert', '--out', broken, '--resume', '--threads', '1'])).code).toBe(0);
  const weights = await Promise.all([whole, broken].map((out) => readFile(join(out, 'model.safetensors'))));
  expect(weights[0]!.equals(weights[1]!)).toBe(true);
});

test('convert lets the whole learn by adapters, goes on so, and is told of a rank that is too high', async () => {
  const { folder, text, model } = await exactModel();
  const words = ['convert', model, text, ...other, ...quick, '--learning-rate', '1e-2', '--lora-rank'];
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
  const { code, err } = await performer([...words, '2', '--out', whole]);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [blocks, all] = [await loadModel(join(whole, 'transfer')), await loadModel(whole)];
  const known = new Map(leavesOf<object, HostTensor>(blocks.params));
  const changed = leavesOf<object, HostTensor>(all.params).filter(
    ([path, { data }]) => !known.get(path)!.data.every((value, at) => value === data[at]),
  );
  expect(changed.length).toBeGreaterThan(0);
  expect(changed.every(([path, { shape }]) => path.startsWith('blocks.') && shape.length === 2)).toBe(true);
  await performer([...words, '2', '--out', broken], { stopAt: /the whole learns[\s\S]*step 1\/6/, isTTY: false });
  expect((await performer(['convert', '--out', broken, '--resume', '--threads', '1'])).code).toBe(0);
  const weights = await Promise.all([whole, broken].map((out) => readFile(join(out, 'model.safetensors'))));
  expect(weights[0]!.equals(weights[1]!)).toBe(true);
  const high = await performer([...words, '99', '--out', join(folder, 'high')]);
  expect(high).toMatchObject({ code: 2, err: expect.stringMatching(/--lora-rank: expected at most \d+, the rank of/) });
});

test('convert is told of an option of other attention before anything is written', async () => {
  const { folder, text, model } = await exactModel();
  const out = join(folder, 'nothing');
  const words = ['convert', model, text, '--out', out, '--attention', 'softmax', '--feature-count', '8'];
  const { code, err } = await performer(words);
  expect({ code, err }).toMatchObject({ code: 2, err: expect.stringMatching(/attention.*features/) });
  expect(existsSync(out)).toBe(false);
});

test.each<[string, string[], RegExp]>([
  ['no model', [], /expected the folder of a model, got none/],
  ['no text', ['run', ...other], /expected files to learn from, got none/],
  ['no attention', ['run', 'text'], /expected the attention that the new model has, got none/],
  ['to resume nothing', ['--resume'], /expected a conversion to resume, got a folder without one/],
  ['to resume with other options', ['--resume', '--steps', '9'], /goes on with what it began with, got --steps/],
  ['to resume with other attention', ['--resume', ...other], /goes on with what it began with, got --attention/],
  ['to resume with other steps of blocks', ['--resume', '--transfer-steps', '9'], /got --transfer-steps/],
])('convert is told %s', async (_, words, message) => {
  const out = join(await temporaryFolder(), 'nothing');
  const { code, err } = await performer(['convert', '--out', out, ...words]);
  expect({ code, err }).toMatchObject({ code: 2, err: expect.stringMatching(message) });
});

test('convert tells that attention and positions stay those of the model unless they are given', async () => {
  const { out } = await performer(['convert', '--help']);
  const told = out.replaceAll(/\s+/g, ' ');
  expect(told).toMatch(/--positions <name> how positions enter \(default: that of the model\)/);
  expect(told).toMatch(/--attention <name> [^-]*(\([^)]*\))? \(default: that of the model\)/);
});
