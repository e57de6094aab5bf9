import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseNumber } from '../../src/base/number.js';
import { flagName, optionNames } from '../../src/base/options.js';
import { modelNames, optionFlags } from '../../src/cli/train-flags.js';
import { trainingSchema } from '../../src/training/config.js';
import { performer, small, temporaryFolder, textFile } from './support.js';

describe('help', () => {
  test('train --help names every option of the model and of the training, with its default', async () => {
    const { code, out, err } = await performer(['train', '--help']);
    expect(code).toBe(0);
    expect(err).toBe('');
    const fixed = ['model', 'version', 'tokenizer', 'endTokens', 'vectors']; // what models come with has no flag
    const top = [...modelNames, ...optionNames(trainingSchema)].filter((key) => !fixed.includes(key)).map(flagName);
    const nested = optionFlags.filter(({ path }) => path.length > 1).map(({ flag }) => flag);
    expect(nested).toEqual(expect.arrayContaining(['feature-map', 'feature-count', 'polynomial-degree', 'max-length']));
    for (const key of new Set([...top, ...nested])) {
      const rest = out.slice(out.search(new RegExp(`--(\\[no-\\])?${key}[ \\n]`)));
      const [line = ''] = rest.split(/\n {2}-/); // up to the next flag
      expect(line, key).toMatch(/^--/);
      expect(line.replaceAll(/\s+/g, ' '), key).toContain('(default: ');
    }
    for (const flag of ['--out', '--preset', '--config', '--resume', '--threads', '--provider', '--debug']) {
      expect(out).toContain(flag);
    }
  });

  test.each([['train'], ['compare'], ['kernel', 'fit'], ['completion']])('%s %s has --quiet too', async (...words) => {
    expect((await performer([...words, '--help'])).out).toContain('--quiet');
  });

  test.each([['generate'], ['evaluate'], ['features'], ['bench']])('%s --help ends well', async (command) => {
    const { code, out } = await performer([command, '--help']);
    expect(code).toBe(0);
    expect(out).toContain('Examples:');
  });

  test('no command at all is called wrongly', async () => {
    const { code, out, err } = await performer([]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Usage: performer');
  });
});

describe('numbers', () => {
  test.each([
    ['12', 12],
    ['-3', -3],
    ['.5', 0.5],
    ['5e-4', 5e-4],
    ['1.', 1],
  ])('%s is a number', (text, value) => expect(parseNumber(text)).toBe(value));

  test.each(['12x', '', ' 1', '0x10', 'Infinity', 'NaN', '1_000', '1,5', 'e5', '--'])('"%s" is none', (text) =>
    expect(parseNumber(text)).toBeUndefined(),
  );
});

describe('calling it wrongly ends with 2 and one line', () => {
  test.each<[string, string[], RegExp]>([
    ['a number with a letter', ['--dim', '12x'], /--dim <n>.*12x.*no number/],
    ['a number out of range', ['--dropout-that-is-not', '2'], /unknown option '--dropout-that-is-not'/],
    ['a misspelt flag', ['--stepz', '2'], /--stepz.*Did you mean --steps/],
    ['too small a number', ['--batch', '0'], /--batch.*>=1/],
    ['half a step', ['--steps', '1.5'], /--steps.*int/],
    ['a wrong choice', ['--schedule', 'square'], /--schedule.*cosine, linear, constant/],
    ['a wrong preset', ['--preset', 'huge'], /--preset.*tiny, small, base/],
    ['a wrong provider', ['--provider', 'abacus'], /--provider.*cpu, cuda, webgpu/],
    ['an odd head', ['--head-dim', '3'], /--head-dim: rotary positions need it even/],
    ['learned positions without a length', ['--positions', 'learned'], /--max-length: learned positions need it/],
    ['a window beyond them', ['--positions', 'learned', '--max-length', '8'], /--window: expected at most the 8/],
    [
      'a carried state of softmax',
      ['--attention', 'softmax', '--carry-state'],
      /--carry-state: expected attention whose state has one size/,
    ],
    ['a softmax that forgets', ['--attention', 'softmax', '--forgetting', 'decay'], /--forgetting: only favor\+/],
    [
      'an encoder that forgets',
      ['--task', 'masked-language-modelling', '--forgetting', 'gates'],
      /--forgetting: expected none where tokens see those after them too, got gates/,
    ],
    [
      'clustered attention of a language model',
      ['--attention', 'clustered'],
      /--attention: expected attention that has a causal order, got clustered/,
    ],
    [
      'features of softmax',
      ['--attention', 'softmax'],
      /--feature-count: only favor\+, hybrid, local-heads, routing-hybrid attention has it/,
    ],
    [
      'a map of no attention',
      ['--attention', 'none', '--feature-map', 'relu', '--redraw-interval', '5', '--projection-kind', 'iid'],
      /--feature-map: only favor\+.*--projection-kind: only favor\+.*--redraw-interval: only random projections/,
    ],
    ['an option of another map', ['--polynomial-degree', '3'], /--polynomial-degree: only polynomial features have it/],
    [
      'a longest text of rotary positions',
      ['--max-length', '64'],
      /--max-length: only learned, axial positions have it/,
    ],
    [
      'post-norm with ReZero',
      ['--norm', 'rezero', '--norm-placement', 'post'],
      /placement: rezero norm does not have it/,
    ],
    [
      'a base of learned positions',
      ['--positions', 'learned', '--rotary-base', '9'],
      /base: only rotary positions have/,
    ],
    [
      'axial positions that do not multiply',
      ['--positions', 'axial', '--max-length', '1000'],
      /--axial-columns: expected a divisor of maxLength, 1000, got 64/,
    ],
    ['rows of Taylor features', ['--feature-map', 'taylor', '--projection-kind', 'iid'], /--projection-kind: taylor/],
    [
      'a last part of a constant rate',
      ['--schedule', 'constant', '--final-fraction', '0.1'],
      /--final-fraction: only schedules that fall have it/,
    ],
    [
      'other tokens than bytes',
      ['--vocabulary-size', '300'],
      /--vocabulary-size: expected 256, which the tokenizer bytes needs/,
    ],
    ['a flag without its value', ['--seed'], /--seed <n>' argument missing/],
  ])('%s', async (_, words, message) => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const { code, out, err } = await performer(['train', text, '--out', join(folder, 'run'), ...small, ...words]);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test.each<[string, string[], RegExp]>([
    ['an unknown command', ['tarin'], /unknown command 'tarin'.*Did you mean train/],
    ['training without files', ['train', '--out', 'x'], /expected files/],
    ['training without a folder', ['train', 'x.txt'], /expected --out/],
    ['generating without a folder', ['generate'], /missing required argument 'folder'/],
    ['two prompts', ['generate', 'x', '--prompt', 'a', '--prompt-file', 'b'], /got both/],
    ['a top-p above 1', ['generate', 'x', '--top-p', '1.5'], /--top-p.*<=1/],
    ['an empty stop', ['generate', 'x', '--stop', ''], /--stop/],
    ['too many arguments', ['generate', 'x', 'y'], /too many arguments/],
    ['training on standard input', ['train', '-', '--out', 'x'], /train: expected files, got - .*Write it to a file/],
    ['comparing on standard input', ['compare', '-', '--out', 'x'], /compare: expected files, got - /],
    ['an unknown shell', ['completion', 'tcsh'], /tcsh.*bash, zsh, fish/],
    ['evaluating without files', ['evaluate', 'x'], /missing required argument 'files'/],
    ['a config file that is not there', ['train', 'x', '--out', 'y', '--config', 'none.json'], /none\.json.*ENOENT/],
  ])('%s', async (_, words, message) => {
    const { code, err } = await performer(words);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect(code).toBe(2);
  });

  test.each<[string, string, RegExp]>([
    ['no JSON', '{', /expected a file of JSON/],
    ['a list', '[]', /expected one JSON object, got a list/],
    ['unknown keys', '{"dim": 8, "dept": 2}', /got dept/],
    ['a wrong value', '{"dim": "wide"}', /config\.json: dim: .*expected number/],
    ['unknown keys within', '{"attention": {"colour": 8}}', /expected options of train, got attention\.colour/],
    ['a kind that there is none of', '{"attention": "sofmax"}', /config\.json: attention\.kind: .*favor\+, softmax/],
    [
      'an option of another map',
      '{"attention": {"features": {"name": "relu", "degree": 3}}}',
      /config\.json: attention\.features\.degree: only polynomial features have it/,
    ],
    ['options of version 1', '{"version": 1}', /config\.json: version: .*expected 2/],
    ['a wrong preset', '{"preset": "huge"}', /expected a preset, got "huge"/],
  ])('a config file with %s', async (_, content, message) => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const config = join(folder, 'config.json');
    await writeFile(config, content);
    const { code, err } = await performer(['train', text, '--out', join(folder, 'run'), '--config', config]);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });
});

test.each([
  ['import', ['model']],
  ['convert', ['model', 'text', '--attention', 'favor+']],
])('%s without --out says that it is missing', async (command, words) => {
  const { code, err } = await performer([command, ...words]);
  expect({ code, err }).toEqual({
    code: 2,
    err: `performer: ${command}: expected --out, got none. See performer ${command} --help.\n`,
  });
});
