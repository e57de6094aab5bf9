/** A pretrained folder takes texts by its tokenizer.json, and its texts end where the folder says. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { framedTokens, huggingFaceTokenizer } from '../../src/data/index.js';
import { loadModel, saveModel } from '../../src/index.js';
import { languageModelConfig, openModel } from '../../src/models/index.js';
import { byteLevelFile, wordPieceFile } from '../support/tokenizer-files.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'pretrained-tokenizers-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const configOf = (name: string) =>
  JSON.parse(readFileSync(join(golden, name, 'config.json'), 'utf8')) as Record<string, unknown>;

/** The files of a golden folder with others beside, as a map. */
const filesOf = (name: string, others: Readonly<Record<string, unknown>>) =>
  new Map<string, Uint8Array>([
    ['config.json', readFileSync(join(golden, name, 'config.json'))],
    ['model.safetensors', readFileSync(join(golden, name, 'model.safetensors'))],
    ...Object.entries(others).map(([file, value]) => [file, bytesOf(value)] as const),
  ]);

const greedy = { maxTokens: 6, temperature: 0 };

describe('a folder with a tokenizer.json', () => {
  test('takes texts, within what the tokenizer sets around them, though its vocabulary is padded', async () => {
    const model = await loadModel(filesOf('llama', { 'tokenizer.json': wordPieceFile() }), { kind: 'language-model' });
    const tokenizer = await huggingFaceTokenizer(wordPieceFile());
    expect(model.config).toMatchObject({ tokenizer: tokenizer.name, framed: true, endTokens: [2] });
    expect(model.config.vocabularySize).toBeGreaterThan(tokenizer.vocabularySize);
    const [text, tokens, cut] = await model.embed(['the cat sat', [2, ...tokenizer.encode('the cat sat'), 3], [2, 3]]);
    expect(text).toEqual(tokens);
    expect(await model.embed(['the cat sat'], { window: 2 })).toEqual([cut]);
    const rows = await model.logits('the cat');
    expect(rows.shape[0]).toBe(4);
    await model.dispose();
  });

  test('is read alike from a disk, and saved with it', async () => {
    const folder = join(temporary, 'disk');
    cpSync(join(golden, 'llama'), folder, { recursive: true });
    writeFileSync(join(folder, 'tokenizer.json'), bytesOf(wordPieceFile()));
    const model = await loadModel(folder, { kind: 'language-model' });
    const files = await saveModel(model);
    expect(new TextDecoder().decode(files.get('tokenizer.json'))).toBe(JSON.stringify(wordPieceFile()));
    expect(JSON.parse(new TextDecoder().decode(files.get('generation_config.json')))).toMatchObject({
      eos_token_id: 2,
    });
    const again = await loadModel(files, { kind: 'language-model' });
    expect(again.config).toEqual(model.config);
    expect(await again.generate('the cat', greedy).text()).toBe(await model.generate('the cat', greedy).text());
  });

  test('of far fewer tokens than the model has is noted, as it may be that of another', async () => {
    const notesOf = async (tokens: number) => {
      const file = wordPieceFile();
      const known = Object.keys(file.model.vocab).length;
      const more = Array.from({ length: tokens - known }, (_, at) => [`word${at}`, known + at]);
      Object.assign(file.model.vocab, Object.fromEntries(more));
      const notes: string[] = [];
      await openModel(filesOf('llama', { 'tokenizer.json': file }), { onNote: (note) => notes.push(note) });
      return notes;
    };
    const { vocab_size: size } = configOf('llama') as { readonly vocab_size: number };
    expect(await notesOf(size - 2)).toEqual([]);
    expect(await notesOf(40)).toEqual([
      `tokenizer.json: has 40 tokens, and the model ${size}. Make sure that it belongs to the model.`,
    ]);
  });

  test('of more tokens than the model has is refused with both files', async () => {
    await expect(loadModel(filesOf('llama', { 'tokenizer.json': byteLevelFile() }))).rejects.toThrow(
      /tokenizer\.json: expected at most \d+ tokens, which config\.json says in vocab_size, got 268\./,
    );
  });

  test('ends its texts with the tokens of generation_config.json, or else of config.json', async () => {
    const file = wordPieceFile();
    const known = Object.keys(file.model.vocab).length;
    const names = Array.from({ length: (configOf('llama').vocab_size as number) - known }, (_, at) => `word${at}`);
    Object.assign(file.model.vocab, Object.fromEntries(names.map((name, at) => [name, known + at])));
    const others = { 'tokenizer.json': file };
    const loaded = (name: string, config: object, more: object = {}) =>
      loadModel(filesOf(name, { ...others, 'config.json': { ...configOf(name), ...config }, ...more }), {
        kind: 'language-model',
      });
    const endless = await loaded('llama', { eos_token_id: 999 });
    expect(endless.config.endTokens).toBeUndefined();
    const one = { maxTokens: 1, temperature: 0 };
    const said = await endless.generate('the cat', one).text();
    const word = said.trim().replaceAll('#', '');
    expect(word).not.toBe('');
    const end = file.model.vocab[word]!;
    const stopping = await loaded('llama', { eos_token_id: [end] });
    expect(await stopping.generate('the cat', one).text()).toBe('');
    expect(await stopping.generate('the cat', { ...one, endTokens: [] }).text()).toBe(said);
    const generation = { 'generation_config.json': { eos_token_id: end } };
    const settled = await loaded('llama', { eos_token_id: 999 }, generation);
    expect(settled.config.endTokens).toEqual([end]);
    expect((await loaded('llama', { eos_token_id: 5 }, generation)).config.endTokens).toEqual([end]);
  });
});

describe('a folder without one', () => {
  test('takes tokens, and says of a text what is missing', async () => {
    const model = await loadModel(join(golden, 'gpt2'), { kind: 'language-model' });
    expect(model.config.tokenizer).toBe('none');
    expect((await model.embed([[1, 2, 3]]))[0]).toHaveLength(32);
    const missing = {
      code: 'CONFIG',
      message: expect.stringMatching(/got none, as its folder had no tokenizer\.json/),
    };
    await expect(model.embed(['text'])).rejects.toMatchObject(missing);
    await expect(model.logits('text')).rejects.toMatchObject(missing);
    await expect(model.generate('text').text()).rejects.toMatchObject(missing);
    const files = await saveModel(model);
    expect([...files.keys()]).not.toContain('tokenizer.json');
    expect((await loadModel(files)).config).toEqual(model.config);
  });
});

test('framed texts need a tokenizer that sets tokens around them', () => {
  const sizes = { dim: 8, depth: 1, heads: 1, headDim: 8 };
  expect(() => languageModelConfig({ ...sizes, framed: true })).toThrow(
    /framed: expected a tokenizer that sets tokens around texts, got bytes/,
  );
});

test('a text is cut so that its frame stays whole', () => {
  const frame = { before: [7], after: [8, 9] };
  expect([...framedTokens(Int32Array.of(1, 2, 3), frame, 5)]).toEqual([7, 1, 2, 8, 9]);
  expect([...framedTokens(Int32Array.of(1), frame)]).toEqual([7, 1, 8, 9]);
  expect([...framedTokens(Int32Array.of(1), frame, 2)]).toEqual([7, 8, 9]);
});
