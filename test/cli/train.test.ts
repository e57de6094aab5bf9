import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, small, temporaryFolder, textFile } from './support.js';

interface Line {
  readonly kind: string;
  readonly step: number;
  readonly [key: string]: unknown;
}

async function metricsOf(folder: string): Promise<Line[]> {
  const text = await readFile(join(folder, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

const lossesOf = (lines: Line[]) =>
  lines.map(({ kind, step, loss, gradientNorm, learningRate }) => ({ kind, step, loss, gradientNorm, learningRate }));

async function weightsOf(folder: string, step: number): Promise<Buffer> {
  const name = `step-${String(step).padStart(8, '0')}`;
  return readFile(join(folder, 'checkpoints', name, 'training.safetensors'));
}

describe('training', () => {
  test('leaves a model, a line for each step and a curve, and no control codes without a terminal', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const out = join(folder, 'run');
    const ran = await performer(['train', text, '--out', out, ...small]);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
    expect(ran.out).toMatch(
      /step 1\/6 {2}loss [\d.]+ {2}[\d.]+ bits\/byte {2}[\d,]+ tokens\/s {2}(\d+ MB|[\d.]+ GB) {2}\d:\d\d left/,
    );
    expect(ran.out).toContain('* training  o held out');
    expect(ran.out).toContain(`performer generate ${out}`);
    expect(await readdir(out)).toEqual([
      'checkpoints',
      'config.json',
      'context.json',
      'generation_config.json',
      'metrics.jsonl',
      'model.safetensors',
      'run.json',
      'tokenizer.json',
    ]);
    const lines = await metricsOf(out);
    const steps = lines.filter(({ kind }) => kind === 'step');
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const key of ['loss', 'bitsPerByte', 'gradientNorm', 'learningRate', 'tokensPerSecond', 'memory', 'seconds']) {
      for (const line of steps) expect(line[key], key).toEqual(expect.any(Number));
    }
    for (const { loss, bitsPerByte } of lines) expect(bitsPerByte).toBeCloseTo((loss as number) / Math.LN2, 12);
    expect(lines.some(({ kind }) => kind === 'evaluation')).toBe(true);
  });

  test('shows a bar on a terminal', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const ran = await performer(['train', text, '--out', join(folder, 'run'), ...small], { isTTY: true });
    expect(ran.code).toBe(0);
    expect(ran.out).toContain('#### 6/6');
    expect(ran.out).toContain('held out: loss');
    expect(ran.out).not.toContain('\x1b[?'); // no mode of the terminal that a killed process would leave behind
  });

  test('the flags override the config file, which overrides the preset', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const out = join(folder, 'run');
    const config = join(folder, 'options.json');
    const options = { dim: 24, depth: 1, heads: 2, headDim: 8, window: 16, steps: 2, seed: 5, tokenShift: 0 };
    await writeFile(config, JSON.stringify(options));
    const flags = ['--heads', '1', '--token-shift', '2', '--threads', '1'];
    expect(await performer(['train', text, '--out', out, '--config', config, ...flags])).toMatchObject({
      code: 0,
      err: '',
    });
    const model = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(model).toMatchObject({ dim: 24, depth: 1, heads: 1, headDim: 8, tokenShift: 2 });
    expect(model.attention).toMatchObject({ kind: 'hybrid', features: { name: 'positive', featureCount: 96 } });
    const training = JSON.parse(await readFile(join(out, 'checkpoints', 'step-00000002', 'training.json'), 'utf8'));
    expect(training.options).toMatchObject({ seed: 5, steps: 2, window: 16, batch: 4, warmup: 1 });
  });
});

/** How the presets of language models attend. */
const recipe = { kind: 'hybrid', window: 64, forgetting: 'gates' };

test.each([
  ['a bare name', 'softmax', { kind: 'softmax' }],
  ['a nested name', { features: 'taylor' }, { ...recipe, features: { name: 'taylor' } }],
  [
    'another kind',
    { kind: 'favor+', features: { name: 'positive' } },
    {
      kind: 'favor+',
      features: { name: 'positive', projectionKind: 'orthogonal', rowNorm: 'chi', featureCount: 96 },
      forgetting: 'none',
    },
  ],
  [
    'nested options',
    { features: { name: 'relu', projectionKind: 'none' } },
    { ...recipe, features: { name: 'relu', projectionKind: 'none', rowNorm: 'chi', featureCount: 8 } },
  ],
])('a config file chooses attention by %s, without the options of the preset that it cannot have', async (...given) => {
  const [, attention, saved] = given;
  const folder = await temporaryFolder();
  const [config, out] = [join(folder, 'options.json'), join(folder, 'run')];
  const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8, window: 16, batch: 2, steps: 1 };
  await writeFile(config, JSON.stringify({ preset: 'tiny', ...sizes, attention }));
  const words = ['train', await textFile(folder), '--out', out, '--config', config, '--threads', '1'];
  expect(await performer(words)).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(await readFile(join(out, 'config.json'), 'utf8')).attention).toEqual(saved);
  const again = await performer([...words.slice(0, 1), ...words.slice(2), '--resume', '--steps', '2']);
  expect(again).toMatchObject({ code: 0, err: '' });
});

test.each([
  ['flags', ['--attention', 'softmax,favor+', '--feature-map', 'relu'], undefined],
  ['a config file', [], ['softmax', { features: 'relu' }]],
])('layers take turns by %s, and a run goes on with the same', async (_, flags, attention) => {
  const folder = await temporaryFolder();
  const [config, out] = [join(folder, 'options.json'), join(folder, 'run')];
  const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8, window: 16, batch: 2, steps: 1 };
  await writeFile(config, JSON.stringify({ preset: 'tiny', ...sizes, attention }));
  const words = ['train', await textFile(folder), '--out', out, '--config', config, ...flags, '--threads', '1'];
  expect(await performer(words)).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(await readFile(join(out, 'config.json'), 'utf8')).attention).toMatchObject([
    { kind: 'softmax' },
    { kind: 'favor+', features: { name: 'relu' } },
  ]);
  const resume = [...words.slice(0, 1), ...words.slice(2), '--resume', '--steps', '2'];
  expect(await performer(resume)).toMatchObject({ code: 0, err: '' });
  const other = await performer([...resume, '--attention', 'favor+,softmax']);
  expect(other).toMatchObject({ code: 2 });
  expect(other.err).toMatch(/--attention: expected .*softmax.*favor\+.*, with which the run/);
});

test('says so where the feature map passes no gradient', async () => {
  const folder = await temporaryFolder();
  const text = await textFile(folder);
  const ran = await performer([
    'train',
    text,
    '--out',
    join(folder, 'run'),
    ...small,
    '--attention',
    'favor+',
    '--feature-map',
    'step',
  ]);
  expect(ran.code).toBe(0);
  expect(ran.err).toMatch(/^note: step features have no gradient, .*queries and keys stay as they were drawn/);
});

describe('going on', () => {
  test.each([
    ['random windows', []],
    ['a carried state', ['--carry-state', '--accumulation', '2', '--feed-forward-dropout', '0.1']],
  ])('a run that was stopped and resumed equals an unbroken one bit for bit: %s', async (_, words) => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
    const options = [...small, '--steps', '9', '--evaluation-interval', '1', '--redraw-interval', '4', ...words];
    expect((await performer(['train', text, '--out', whole, ...options])).code).toBe(0);
    const stopped = await performer(['train', text, '--out', broken, ...options], { stopAt: /step 3\/9 {2}held/ });
    expect(stopped).toMatchObject({ code: 130, err: '' });
    expect(stopped.out).toMatch(/Ending after this step, and saving/);
    expect(stopped.out).toMatch(/Stopped after step [34] of 9/);
    const next = stopped.out.trimEnd().split('\n').at(-1)?.trim();
    expect(next).toBe(`performer train --out ${broken} --resume --threads 1`);
    expect((await performer((next as string).split(' ').slice(1))).code).toBe(0);
    expect(lossesOf(await metricsOf(broken))).toEqual(lossesOf(await metricsOf(whole)));
    expect((await weightsOf(broken, 9)).equals(await weightsOf(whole, 9))).toBe(true);
  });

  test('a stop leaves the last evaluation, which is made when the run goes on', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
    const options = [...small, '--steps', '1'];
    expect((await performer(['train', text, '--out', whole, ...options])).code).toBe(0);
    const stopped = await performer(['train', text, '--out', broken, ...options], { stopAt: /step 1\/1/ });
    expect(stopped.out).toMatch(/Stopped after step 1 of 1 .*Go on with:\n.*--resume/);
    expect((await metricsOf(broken)).map(({ kind }) => kind)).toEqual(['step']);
    const next = await performer(['train', '--out', broken, '--resume']);
    expect(next).toMatchObject({ code: 0, out: expect.stringMatching(/held out: .*\(best\)\n(.*\n)*1 steps done/) });
    expect(lossesOf(await metricsOf(broken))).toEqual(lossesOf(await metricsOf(whole)));
    const file = join('checkpoints', 'step-00000001', 'training.json');
    expect(await readFile(join(broken, file), 'utf8')).toBe(await readFile(join(whole, file), 'utf8'));
  });

  test('a run that has done its steps is brought in order all the same', async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    await mkdir(out);
    await writeFile(join(out, 'run.json.123.tmp'), ''); // of a process that was killed before it began
    expect((await performer(['train', await textFile(folder), '--out', out, ...small])).code).toBe(0);
    const names = await readdir(out);
    const config = await readFile(join(out, 'config.json'), 'utf8');
    expect(names).not.toContain('run.json.123.tmp');
    await rm(join(out, 'config.json')); // killed before the first model was published
    await writeFile(join(out, 'model.safetensors.123.tmp'), '');
    const place = (prefix: string, end: string) => join(out, 'checkpoints', `${prefix}step-00000006${end}`);
    await rename(place('', ''), place('.', '.replaced')); // killed while it saved a step again
    const again = await performer(['train', '--out', out, '--resume']);
    expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/its 6 steps/) });
    expect(await readdir(out)).toEqual(names);
    expect(await readFile(join(out, 'config.json'), 'utf8')).toBe(config);
  });

  test('lines past the checkpoint, and one cut short, are cut off first', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const out = join(folder, 'run');
    expect((await performer(['train', text, '--out', out, ...small])).code).toBe(0);
    const { appendFile } = await import('node:fs/promises');
    await appendFile(join(out, 'metrics.jsonl'), '{"kind":"step","step":7,"loss":1}\n{"kind":"st');
    expect((await performer(['train', '--out', out, '--resume', '--steps', '8'])).code).toBe(0);
    const steps = (await metricsOf(out)).filter(({ kind }) => kind === 'step').map(({ step }) => step);
    expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('the command that began a run goes on with it, also where the map has its own number of features', async () => {
    const folder = await temporaryFolder();
    const sizes = small.filter((word, at) => word !== '--feature-count' && small[at - 1] !== '--feature-count');
    const map = ['--preset', 'tiny', '--feature-map', 'hedgehog'];
    const words = ['train', await textFile(folder), '--out', join(folder, 'run'), ...sizes, ...map];
    expect(await performer(words)).toMatchObject({ code: 0 });
    expect(await performer([...words, '--resume', '--steps', '7'])).toMatchObject({ code: 0, err: '' });
    const other = await performer([...words, '--resume', '--steps', '8', '--feature-count', '8']);
    expect(other).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--feature-count: hedgehog features do not have it/),
    });
  });

  test('what would change the run is refused, what would not is not', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const out = join(folder, 'run');
    const words = ['train', text, '--out', out, ...small];
    expect((await performer(words)).code).toBe(0);
    const again = await performer(words);
    expect(again.code).toBe(2);
    expect(again.err).toMatch(/holds a run already.*--resume/);
    expect(await performer([...words, '--resume'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/its 6 steps/),
    });
    const wider = await performer(['train', '--out', out, '--resume', '--dim', '64']);
    expect(wider).toMatchObject({ code: 2, err: expect.stringMatching(/--dim: expected 32.*got 64/) });
    const shorter = await performer(['train', '--out', out, '--resume', '--steps', '3']);
    expect(shorter).toMatchObject({ code: 2, err: expect.stringMatching(/--steps: expected at least 6/) });
    const other = await textFile(folder, 'other.txt', 50);
    const changed = await performer(['train', other, '--out', out, '--resume', '--steps', '8']);
    expect(changed).toMatchObject({ code: 1, err: expect.stringMatching(/bytes of text with which the run began/) });
  });
});
