/** Losses by position on the command line: what evaluate prints and records, and the notes on texts that are too long. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesSource, byteTokens } from '../../src/data/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { loadModel, writeContext } from '../../src/models/node.js';
import { contextLosses } from '../../src/training/index.js';
import { performer, small, temporaryFolder, textFile, trainedModel } from './support.js';

const modelFolder = trainedModel();

const threads = ['--threads', '1'];

describe('evaluating by position', () => {
  test('reads the windows that are asked for and the stream, and tells the losses that the library gives', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 5);
    const words = ['evaluate', folder, text, '--window', '8,32,5000', ...threads];
    const { code, out } = await performer([...words, '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    const source = byteTokens(bytesSource(await readFile(text)));
    const { windows, stream } = await contextLosses(nodeEngine({ threads: 1 }), await loadModel(folder), source, {
      windows: [8, 32, 279], // the text has no longer window
    });
    expect(report.byWindow.map(({ bitsPerByte, ...own }: { bitsPerByte: number }) => own)).toEqual(windows);
    expect(report).toMatchObject({ bytes: 280, predicted: 279, window: 8, windows: { loss: windows[0]!.loss } });
    expect(report.streaming).toMatchObject(stream!);
    const lines = (await performer(words)).out.split('\n');
    expect(lines).toContain(
      'loss at position  windows of 8  windows of 32  windows of 279  as one text  same tokens, windows of 8',
    );
    const figure = (octaves: readonly { from: number; loss: number }[], from: number) =>
      octaves.find((octave) => octave.from === from)!.loss.toFixed(4);
    const row = lines.find((line) => line.startsWith('17–32 '))!.split(/\s+/);
    expect(row).toEqual([
      '17–32',
      ...[windows[1]!.byPosition, windows[2]!.byPosition, stream!.byPosition, windows[0]!.byPlace].map((octaves) =>
        figure(octaves, 17),
      ),
    ]);
  });

  test('has no column to compare a stream with where the model cannot read one', async () => {
    const folder = await temporaryFolder();
    const [text, run] = [await textFile(folder), join(folder, 'run')];
    const sizes = small.filter((_, at) => !small.slice(Math.max(0, at - 1), at + 1).includes('--feature-count'));
    const words = ['train', text, '--out', run, ...sizes, '--attention', 'softmax'];
    expect(await performer(words)).toMatchObject({ code: 0 });
    const { out } = await performer(['evaluate', run, text, '--window', '8', ...threads]);
    expect(out).toContain('streaming: not possible');
    expect(out.split('\n')).toContain('loss at position  windows of 8');
  });

  test('is stopped by Ctrl-C, and prints nothing then', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 40);
    const ran = await performer(['evaluate', folder, text, ...threads], { isTTY: true, stopAt: /starting/ });
    expect(ran).toMatchObject({ code: 130, out: '' });
  });

  test('records what it has shown where that is asked for, of models that continue texts alone', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 5);
    const path = join(folder, 'context.json');
    await performer(['evaluate', folder, text, ...threads]);
    await expect(readFile(path)).rejects.toThrow();
    await performer(['evaluate', folder, text, '--record', ...threads]);
    const { window, positions } = JSON.parse(await readFile(path, 'utf8'));
    expect(window).toBe(16);
    expect(positions.at(-1)).toMatchObject({ from: 257, to: 279, targets: 23 });
    expect((await loadModel(folder)).context).toEqual({ window, positions });
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    expect(config.model).toBe('causal-language-model');
    const out = join(folder, 'encoder');
    await performer(['train', await textFile(folder), '--out', out, ...small, '--task', 'masked-language-modelling']);
    expect(await performer(['evaluate', out, text, '--record', ...threads])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--record: expected a model that continues texts, got an encoder/),
    });
    expect(await performer(['evaluate', out, text, '--window', '8,16', ...threads])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--window: expected one for this model, got 8,16/),
    });
  });
});

describe('a run', () => {
  test('keeps the losses by position of its best evaluation with the model', async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    const text = await textFile(folder);
    expect(await performer(['train', text, '--out', out, ...small])).toMatchObject({ code: 0, err: '' });
    const { context } = await loadModel(out);
    const heldOut = (await readFile(text)).subarray(-112);
    const losses = await contextLosses(
      nodeEngine({ threads: 1 }),
      await loadModel(out),
      byteTokens(bytesSource(heldOut)),
      { windows: [16] },
    );
    expect(context?.window).toBe(16);
    expect(context?.positions).toEqual(
      losses.context.positions.map(({ loss, excess, ...octave }) => ({
        ...{ ...octave, loss: expect.closeTo(loss, 4), excess: expect.closeTo(excess, 4) },
      })),
    );
    expect((await loadModel(join(out, 'checkpoints', 'step-00000006'))).context).toEqual(context);
  });

  test('notes at its end from where on the held-out text is read worse, and evaluate says so of its text', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder, 'text.txt', 100);
    const out = join(folder, 'run');
    const words = ['--held-out', '0.5', '--learning-rate', '0.02', '--steps', '60', '--evaluation-interval', '60'];
    const { err } = await performer(['train', text, '--out', out, ...small, ...words]);
    const note =
      /^note: The (held-out )?text has up to [\d,]+ tokens, .* up to 16: from 17 to .* windows of 16 that it/m;
    expect(err).toMatch(note);
    expect(err).toContain('The held-out text has up to 2,799 tokens');
    expect((await performer(['evaluate', out, text, ...threads])).err).toMatch(note);
  });
});

describe('generating', () => {
  const record = (excess: number) => ({
    window: 16,
    positions: [{ from: 17, to: 2048, targets: 5000, loss: 2, excess }],
  });

  test('notes that a text goes beyond what the evaluation shows to be good, before the first token', async () => {
    const folder = await modelFolder();
    await writeContext(folder, record(0.4));
    const words = ['generate', folder, '--prompt', 'The whale', '--seed', '1', ...threads];
    const long = await performer([...words, '--max-tokens', '20']);
    expect(long.err).toMatch(
      /^note: The text has up to 29 tokens, and the model is shown to be good up to 16: from 17 to 2,048 its loss is 0\.40 nats a token above .*\n20 tokens/,
    );
    expect((await performer([...words, '--max-tokens', '7'])).err).toMatch(/^7 tokens/);
    expect((await performer([...words, '--max-tokens', '20', '--quiet'])).err).toBe('');
    const path = join(folder, 'state');
    await performer([...words, '--max-tokens', '7', '--save-state', path]);
    const on = ['generate', folder, '--load-state', path, '--prompt', '', '--max-tokens', '3', ...threads];
    expect((await performer(on)).err).toMatch(/^note: The text has up to 19 tokens/);
  });

  test('notes nothing where the evaluation covers the length', async () => {
    const folder = await modelFolder();
    await writeContext(folder, record(0.04));
    const words = ['generate', folder, '--prompt', 'The whale', '--max-tokens', '20', ...threads];
    expect((await performer(words)).err).toMatch(/^20 tokens/);
  });
});
