/** `performer generate` and `performer evaluate` on a model that was trained here, and what every command refuses. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { tensorsOf } from '../../src/models/index.js';
import { loadModel, writeModel } from '../../src/models/node.js';
import { performer, type Ran, small, temporaryFolder, textFile, trainedModel } from './support.js';

const modelFolder = trainedModel();

const generate = (folder: string, ...words: string[]) =>
  performer(['generate', folder, '--threads', '1', '--seed', '5', ...words]);

function expectRefusal({ code, out, err }: Ran, message: RegExp): void {
  expect(err).toMatch(message);
  expect(err.trimEnd()).not.toContain('\n');
  expect({ code, out }).toEqual({ code: 1, out: '' });
}

describe('generating', () => {
  test('writes the prompt and the text to one stream, and the speed to the other', async () => {
    const folder = await modelFolder();
    const { code, out, err } = await generate(folder, '--prompt', 'The whale', '--max-tokens', '20');
    expect(code).toBe(0);
    expect(out).toMatch(/^The whale/);
    expect(err).toMatch(/^20 tokens, [\d,]+ tokens per second, seed 5\n$/);
    expect((await generate(folder, '--prompt', 'The whale', '--max-tokens', '20')).out).toBe(out);
    const bare = await generate(folder, '--prompt', 'The whale', '--max-tokens', '20', '--no-echo');
    expect(`The whale${bare.out}`).toBe(out);
  });

  test('reads the prompt from a file or from standard input', async () => {
    const folder = await modelFolder();
    await writeFile(join(folder, 'prompt.txt'), '고래');
    const words = ['--threads', '1', '--max-tokens', '5', '--temperature', '0'];
    const fromFile = await performer(['generate', folder, ...words, '--prompt-file', join(folder, 'prompt.txt')]);
    const fromInput = await performer(['generate', folder, ...words, '--prompt', '-'], { stdin: '고래' });
    expect(fromFile.out).toMatch(/^고래/);
    expect(fromInput.out).toBe(fromFile.out);
  });

  test('leaves a character that the prompt begins to the model, and takes an empty file for no prompt', async () => {
    const folder = await modelFolder();
    const path = join(folder, 'prompt.txt');
    await writeFile(path, Buffer.from([...Buffer.from('고래 '), 0xec, 0x95]));
    const words = ['--max-tokens', '5', '--prompt-file'];
    const bare = await generate(folder, '--no-echo', ...words, path);
    expect((await generate(folder, ...words, path)).bytes).toEqual(Buffer.concat([await readFile(path), bare.bytes]));
    const sampling = ['generate', folder, '--threads', '1', '--seed', '5', ...words, path];
    const [shown, shownBare] = [
      await performer(sampling, { isTTY: true }),
      await performer([...sampling, '--no-echo'], { isTTY: true }),
    ];
    expect(shown.out).toBe(`고래 ${shownBare.out}`);
    await writeFile(path, '');
    expect((await generate(folder, ...words, path)).out).toBe((await generate(folder, '--max-tokens', '5')).out);
    expectRefusal(await generate(folder, ...words, folder), /--prompt-file: expected a file to read, got EISDIR/);
    expectRefusal(await generate(folder, ...words, `${path}x`), /--prompt-file: expected a file to read, got ENOENT/);
  });

  test('gives a terminal no control characters but tabs and ends of lines', async () => {
    const folder = await modelFolder();
    const words = ['generate', folder, '--threads', '1', '--seed', '5', '--temperature', '100', '--max-tokens', '300'];
    const prompt = ['--prompt', 'a\x1b[2J\x07\tb\r\n'];
    const { out: plain } = await performer([...words, ...prompt]);
    const { out } = await performer([...words, ...prompt], { isTTY: true });
    expect(plain).toMatch(/^a\x1b\[2J\x07\tb\r\n.*[\x00-\x08\x0e-\x1f]/s);
    expect(out).toMatch(/^a\ufffd\[2J\ufffd\tb\r\n/);
    const clean = plain.replaceAll(
      /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)|[\u202a-\u202e\u2066-\u2069]/g,
      '\ufffd',
    );
    // The text of a terminal ends its line, and before a character that is not whole.
    expect(`${clean}\n`.startsWith(out.replace(/\n$/, ''))).toBe(true);
    expect(out.length).toBeGreaterThan(clean.length - 3);
    expect(out).toMatch(/\n$/);
  });

  test('gives a pipe the bytes as they are, so that parts put together are the unbroken text', async () => {
    const folder = await modelFolder();
    const words = ['--no-echo', '--temperature', '100', '--prompt', 'a'];
    const { bytes } = await generate(folder, ...words, '--max-tokens', '60');
    expect(bytes).toHaveLength(60);
    expect([...bytes].some((byte) => byte > 0x7f)).toBe(true); // random bytes are no UTF-8
    const state = join(folder, 'state.safetensors');
    const saving = ['--save-state', state, '--max-tokens', '25'];
    const first = await generate(folder, ...words, ...saving);
    const second = await generate(folder, ...['--load-state', state, '--temperature', '100', '--max-tokens', '35']);
    expect(Buffer.concat([first.bytes, second.bytes])).toEqual(bytes);
  });

  test('goes on from a saved state as if it had never stopped', async () => {
    const folder = await modelFolder();
    const state = join(folder, 'state.safetensors');
    const sampling = ['--top-k', '40', '--top-p', '0.9', '--repetition-penalty', '1.1'];
    const whole = await generate(folder, '--prompt', 'The', '--max-tokens', '30', ...sampling);
    const first = await generate(folder, '--prompt', 'The', '--max-tokens', '12', '--save-state', state, ...sampling);
    const second = await generate(folder, '--load-state', state, '--max-tokens', '18', ...sampling);
    expect(first.out + second.out).toBe(whole.out);
  });

  test('writes nothing when the state could not be saved afterwards', async () => {
    const folder = await modelFolder();
    const state = join(folder, 'missing', 'state.safetensors');
    expectRefusal(
      await generate(folder, '--prompt', 'The', '--save-state', state),
      /--save-state: expected the folder/,
    );
  });

  test('ends before a stop string', async () => {
    const folder = await modelFolder();
    const words = ['--prompt', 'The', '--no-echo', '--temperature', '0', '--max-tokens', '40'];
    const { out } = await generate(folder, ...words);
    const stop = out.slice(6, 8);
    expect((await generate(folder, ...words, '--stop', stop)).out).toBe(out.slice(0, out.indexOf(stop)));
  });

  test('keeps the beginning of a stop string back where the state is saved, and prints it where it is not', async () => {
    const folder = await modelFolder();
    const words = ['--no-echo', '--temperature', '0'];
    const { out } = await generate(folder, '--prompt', 'The', ...words, '--max-tokens', '40');
    const stop = out.slice(9, 12);
    const at = out.indexOf(stop); // may come before
    const cut = ['--prompt', 'The', ...words, '--stop', stop, '--max-tokens', String(at + 2)];
    expect((await generate(folder, ...cut)).out).toBe(out.slice(0, at + 2));
    const state = join(folder, 'state.safetensors');
    expect((await generate(folder, ...cut, '--save-state', state)).out).toBe(out.slice(0, at));
    const more = ['--load-state', state, ...words, '--max-tokens', '5'];
    expect((await generate(folder, ...more, '--stop', stop)).out).toBe('');
    expect((await generate(folder, ...more)).out).toBe(out.slice(at, at + 7));
    expect((await generate(folder, ...more, '--prompt', 'x')).out.slice(0, 2)).toBe(out.slice(at, at + 2));
  });

  test('takes what is piped in for the prompt where none is given', async () => {
    const folder = await modelFolder();
    const words = ['generate', folder, '--threads', '1', '--seed', '5', '--max-tokens', '5'];
    const { out } = await performer([...words, '--prompt', 'The whale']);
    expect((await performer(words, { stdin: 'The whale', isPiped: true })).out).toBe(out);
    expect((await performer([...words, '--prompt', 'The whale'], { stdin: 'other', isPiped: true })).out).toBe(out);
    expect((await performer(words, { stdin: 'The whale' })).out).not.toContain('The whale');
  });

  test.skipIf(!existsSync('/dev/zero'))('refuses a prompt without an end, and reads one from a pipe', async () => {
    const folder = await modelFolder();
    expectRefusal(
      await generate(folder, '--prompt-file', '/dev/zero'),
      /--prompt-file \/dev\/zero: expected at most 67,108,864 bytes from a pipe or device, got more\. Write them to a file/,
    );
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    const [{ out }] = await Promise.all([
      generate(folder, '--max-tokens', '5', '--prompt-file', pipe),
      writeFile(pipe, 'The whale'),
    ]);
    expect(out).toMatch(/^The whale/);
  });

  test('prints the text alone with --quiet', async () => {
    const folder = await modelFolder();
    const words = ['--prompt', 'The', '--max-tokens', '5'];
    const { out } = await generate(folder, ...words);
    expect(await generate(folder, ...words, '--quiet')).toMatchObject({ code: 0, out, err: '' });
  });

  test('refuses a state of another model, and says by what it differs', async () => {
    const [folder, other] = [await modelFolder(), await temporaryFolder()];
    const state = join(folder, 'state.safetensors');
    await generate(folder, '--prompt', 'a', '--max-tokens', '2', '--save-state', state);
    const text = await textFile(other);
    await performer(['train', text, '--out', join(other, 'run'), ...small, '--dim', '16']);
    expectRefusal(
      await generate(join(other, 'run'), '--load-state', state),
      /a state with this model, got one with dim 32 in place of 16\./,
    );
    expectRefusal(await generate(folder, '--load-state', join(folder, 'model.safetensors')), /expected a state/);
    await truncate(state, 4000);
    expectRefusal(await generate(folder, '--load-state', state), /by its header, got one of 4000/);
  });
});

describe('evaluating', () => {
  test('tells the loss in windows and as one stream, as text or JSON', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 5);
    const words = ['evaluate', folder, text, '--threads', '1'];
    const { out } = await performer(words);
    expect(out).toMatch(/^280 bytes\neach window of 16 on its own: loss [\d.]+, [\d.]+ bits per byte\nstreaming/);
    const report = JSON.parse((await performer([...words, '--json'])).out);
    expect(report).toMatchObject({ bytes: 280, predicted: 279, window: 16 });
    expect(report.windows.bitsPerByte).toBeCloseTo(report.windows.loss / Math.LN2, 12);
    const long = JSON.parse((await performer([...words, '--json', '--window', '279'])).out);
    expect(long.windows.loss).toBeCloseTo(report.streaming.loss, 5); // one window is the stream
  });
});

describe('the text to evaluate', () => {
  test('may come from standard input, between files as well', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 5);
    const words = ['--threads', '1', '--json'];
    const { out } = await performer(['evaluate', folder, text, text, text, ...words]);
    const stdin = await readFile(text);
    expect((await performer(['evaluate', folder, text, '-', text, ...words], { stdin })).out).toBe(out);
    expect((await performer(['evaluate', folder, '-', '-', ...words], { stdin })).err).toMatch(/once .*got it twice/);
    expectRefusal(
      await performer(['evaluate', folder, '-', ...words]),
      /standard input: expected some bytes, got none/,
    );
  });

  test('may be a pattern, but for a file of that very name', async () => {
    const folder = await modelFolder();
    for (const [name, repeat] of [
      ['b', 6],
      ['a', 5],
      ['c', 7],
      ['.d', 4],
    ] as const) {
      await textFile(folder, `${name}.txt`, repeat);
    }
    const words = ['--threads', '1', '--json'];
    const { out } = await performer([
      'evaluate',
      folder,
      ...['a', 'b', 'c'].map((n) => join(folder, `${n}.txt`)),
      ...words,
    ]);
    expect((await performer(['evaluate', folder, join(folder, '*.txt'), ...words])).out).toBe(out);
    await textFile(folder, '[ab].txt', 8);
    expect(JSON.parse((await performer(['evaluate', folder, join(folder, '[ab].txt'), ...words])).out).bytes).toBe(448);
    expectRefusal(
      await performer(['evaluate', folder, join(folder, '*.md')]),
      /\*\.md: expected files that match this pattern, got none\. Check/,
    );
  });
});

describe('evaluating a model', () => {
  test.each([
    [Number.NaN, /model\.safetensors: expected finite numbers in .*, got others/],
    [3e38, /evaluate: expected a finite loss, got (NaN|Infinity)\./],
  ])('whose weights are all %d ends with 1 and says so', async (weight, message) => {
    const folder = await modelFolder();
    const { model, ...weights } = await loadModel(folder);
    for (const { data } of tensorsOf(weights.params).values()) (data as Float32Array).fill(weight);
    await writeModel(folder, model.config, weights);
    const text = await textFile(folder, 'other.txt', 5);
    expectRefusal(await performer(['evaluate', folder, text, '--threads', '1', '--quiet']), message);
  });

  test('of a checkpoint takes the window of its run', async () => {
    const folder = await modelFolder();
    const place = join(folder, 'checkpoints', 'step-00000006');
    await mkdir(place, { recursive: true });
    for (const name of ['config.json', 'model.safetensors']) await cp(join(folder, name), join(place, name));
    const text = await textFile(folder, 'other.txt', 5);
    const { out } = await performer(['evaluate', place, text, '--threads', '1', '--json']);
    expect(JSON.parse(out)).toMatchObject({ window: 16 });
  });
});

describe('a folder that is no whole model is refused by every command', () => {
  const damages: readonly [string, RegExp, (folder: string) => Promise<unknown>][] = [
    ['empty', /without config\.json/, async (folder) => rm(join(folder, 'config.json'))],
    ['without weights', /model\.safetensors: expected a file, got none/, (f) => rm(join(f, 'model.safetensors'))],
    ['cut short', /by its header, got one of 5000/, (folder) => truncate(join(folder, 'model.safetensors'), 5000)],
    ['no JSON', /config\.json: expected JSON, got other text/, (f) => writeFile(join(f, 'config.json'), '{"dim"')],
    [
      'of another version',
      /config\.json: expected version 2, got 1\. Train the model again/,
      (f) => change(f, { version: 1 }),
    ],
    ['of another shape', /embedding\.weight to be float32 \[256, 48\]/, (folder) => change(folder, { dim: 48 })],
    ['of unknown options', /Unrecognized key: "dimension"/, (folder) => change(folder, { dimension: 48 })],
    [
      'of a header larger than the file',
      /expected a header of at most \d+ bytes, got one of/,
      (folder) => writeFile(join(folder, 'model.safetensors'), Buffer.from('ffffffffffffff7f7b7d', 'hex')),
    ],
  ];
  const change = async (folder: string, changes: object) => {
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
  };

  test.each(damages)('%s', async (_, message, damage) => {
    const folder = await modelFolder();
    const text = await textFile(folder);
    await damage(folder);
    expectRefusal(await generate(folder, '--prompt', 'a'), message);
    expectRefusal(await performer(['evaluate', folder, text]), message);
  });
});

describe('text that cannot be read is refused before anything is written', () => {
  test.each<[string, string, RegExp]>([
    ['that is not there', 'none.txt', /expected a file, got none there/],
    ['that is empty', 'empty.txt', /expected some bytes, got an empty file/],
    ['that is a directory', 'folder', /expected a file, got a directory/],
    ['shorter than a window', 'short.txt', /expected at least 17 tokens \(window \+ 1\) in each part/],
  ])('%s', async (_, name, message) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'empty.txt'), '');
    await writeFile(join(folder, 'short.txt'), 'twenty bytes of text');
    await mkdir(join(folder, 'folder'));
    const out = join(folder, 'run');
    expectRefusal(await performer(['train', join(folder, name), '--out', out, ...small]), message);
    expect(await readdir(folder)).not.toContain('run');
  });

  test.each([
    ['train', '--batch', '32', '--accumulation', '1'],
    ['train', '--batch', '16', '--accumulation', '2'],
    ['compare', '--batch', '32', '--kernels', 'positive'],
  ])('with lanes shorter than a window: %s %s %s %s %s', async (command, ...words) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'text.txt'), 'a'.repeat(5000));
    const size = ['--window', '256', '--held-out', '0.06', '--carry-state'];
    const out = ['--out', join(folder, 'run')];
    expectRefusal(
      await performer([command, join(folder, 'text.txt'), ...out, ...small, ...size, ...words]),
      /32 lanes of 4700 tokens: expected at least 257 tokens, got 146\. Give more text or a smaller window or batch\./,
    );
    expect(await readdir(folder)).toEqual(['text.txt']);
  });
});

describe('a run', () => {
  test('whose loss is no longer finite stops, names the step, and keeps its last good checkpoint', async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    const words = ['--learning-rate', '1e30', '--warmup', '0', '--clip-norm', '1e9'];
    const { code, err } = await performer(['train', await textFile(folder), '--out', out, ...small, ...words]);
    expect(code).toBe(1);
    expect(err).toMatch(/step 2: expected a finite loss.*last good checkpoint is .*step-00000000\.\n$/);
    expect(err).toMatch(/begin a new run in another folder, with a learning rate below 1e\+30 or a clip norm below 10/);
    const good = join(out, 'checkpoints', 'step-00000000');
    expect((await generate(good, '--prompt', 'a', '--max-tokens', '3')).code).toBe(0);
  });

  test('whose checkpoint is damaged is not resumed, and nothing is lost', async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    await performer(['train', await textFile(folder), '--out', out, ...small]);
    const place = join(out, 'checkpoints', 'step-00000006');
    await cp(place, join(folder, 'whole'), { recursive: true });
    const more = ['train', '--out', out, '--resume', '--steps', '8'];
    const training = await readFile(join(place, 'training.json'), 'utf8');
    const { sha256, ...unsealed } = JSON.parse(training);
    const cases: [string, string | Buffer, RegExp][] = [
      ['training.json', '{}', /training\.json: expected the state of a run of version 1/],
      ['training.json', training.replace('"version": 1', '"version": 2'), /the content that it was saved with/],
      ['training.json', JSON.stringify({ ...unsealed, version: 2 }), /version: .*expected 1/],
      ['training.safetensors', Buffer.alloc(5), /expected at least 8 bytes, got 5/],
    ];
    for (const [name, content, message] of cases) {
      await writeFile(join(place, name), content);
      expectRefusal(await performer(more), message);
      await cp(join(folder, 'whole', name), join(place, name));
    }
    expect(await readdir(out)).not.toContain('training.lock');
    expect((await performer(more)).code).toBe(0);
  });
});
