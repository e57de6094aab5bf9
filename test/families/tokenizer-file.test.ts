/** Models of every use with tokenizers from files: their own special tokens, words whose text does not come back, and folders. */
import { expect, it } from 'vitest';
import { encodeWords, huggingFaceTokenizer, openTokenizer, tagWords, wordsOf } from '../../src/data/index.js';
import { createModel, loadModel, saveModel, trainModel } from '../../src/index.js';
import { decodeModel, encoderConfig, maskTokenOf, modelOf } from '../../src/models/index.js';
import { maskedLanguageModelling } from '../../src/tasks/index.js';
import { trainingConfig } from '../../src/training/index.js';
import { byteFallbackFile, byteLevelFile, wordPieceFile } from '../support/tokenizer-files.js';

const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8 };
const run = { steps: 6, batch: 2, window: 12, learningRate: 1e-2 };

it('an encoder masks with the tokenizer’s own token, and never a special one', async () => {
  const tokenizer = await huggingFaceTokenizer(wordPieceFile());
  const model = modelOf(encoderConfig({ ...sizes, tokenizer: tokenizer.name }));
  expect(model.config.vocabularySize).toBe(tokenizer.vocabularySize);
  expect(maskTokenOf(model)).toBe(4);
  const tokens = Int32Array.from({ length: 400 }, (_, at) => (at % 4 === 0 ? 2 + (at % 3) : 5 + (at % 9)));
  const source = {
    ...{ length: tokens.length, byteLength: 900 },
    read: async (at: number, length: number) => tokens.subarray(at, at + length),
  };
  const task = maskedLanguageModelling(model, trainingConfig({ ...run, batch: 8, window: 16 }), {
    train: source,
    heldOut: source,
  });
  let masked = 0;
  for (let step = 0; step < 40; step++) {
    const { tokens: given, targets, predicted } = (await task.step(step)).batches[0]!;
    for (const [at, isPredicted] of (predicted!.data as Float32Array).entries()) {
      const [token, target] = [given!.data[at] as number, targets!.data[at] as number];
      if (isPredicted === 0) expect(token).toBe(target);
      else {
        expect(target).toBeGreaterThan(4);
        expect(token === 4 || token > 4).toBe(true);
        if (token === 4) masked++;
      }
    }
  }
  expect(masked / (40 * 8 * 16)).toBeCloseTo(0.75 * 0.12, 1);
  const onlySpecial = { ...source, read: async (_: number, length: number) => new Int32Array(length).fill(2) };
  const none = maskedLanguageModelling(model, trainingConfig({ ...run, batch: 1 }), {
    train: onlySpecial,
    heldOut: source,
  });
  const { tokens: kept, predicted } = (await none.step(0)).batches[0]!;
  expect([...(kept!.data as Int32Array)]).toEqual(Array(12).fill(2));
  expect((predicted!.data as Float32Array).reduce((sum, value) => sum + value)).toBe(1);
});

it('words have places where the tokens do not give their text back', async () => {
  const tokenizer = await huggingFaceTokenizer(wordPieceFile());
  const given = tagWords(['The', 'CATS', '\u0007', 'eating', '\u0007'], ['O', 'A', 'O', 'B', 'O']);
  const [found] = encodeWords([given], tokenizer);
  expect([...found!.tokens].map((token) => new TextDecoder().decode(tokenizer.decoder().push([token])))).toEqual([
    'the',
    'cat',
    '##s',
    'eat',
    '##ing',
  ]);
  expect([...found!.places]).toEqual([0, 1, 3, 3, 4]);
  expect(() => encodeWords([tagWords(['\u0007'], ['O'])], tokenizer)).toThrow(/a text of 1 words, got none/);
  const bpe = await huggingFaceTokenizer(byteLevelFile());
  const [exact] = encodeWords([wordsOf('the cat. 고래')], bpe);
  expect([...exact!.tokens]).toEqual([...bpe.encode('the cat. 고래')]);
});

it.each([
  ['byte-level BPE', byteLevelFile()],
  ['BPE with bytes', byteFallbackFile()],
  ['WordPiece', wordPieceFile()],
])('a language model of %s learns, is saved whole with its file, and goes on', async (_, content) => {
  const file = new TextEncoder().encode(JSON.stringify(content));
  const model = await trainModel('the cat sat on the mat. '.repeat(60), { ...sizes, ...run, tokenizer: file });
  const tokenizer = await huggingFaceTokenizer(file);
  expect(model.config).toMatchObject({ tokenizer: tokenizer.name, vocabularySize: tokenizer.vocabularySize });
  const files = await saveModel(model);
  expect(files.get('tokenizer.json')).toEqual(file);
  const again = await loadModel(files, { kind: 'language-model' });
  const options = { maxTokens: 8, temperature: 0.8, seed: 3 };
  expect(await again.generate('the cat', options).text()).toBe(await model.generate('the cat', options).text());
  expect(await again.generate('', options).text()).toBe(await model.generate('', options).text());
  const other = new Map([
    ...files,
    ['tokenizer.json', new TextEncoder().encode(JSON.stringify(content, undefined, 1))],
  ]);
  await expect(loadModel(other)).rejects.toThrow(
    /^tokenizer\.json: expected that with which the model was saved, tokenizer\.json:/,
  );
});

it('a folder whose tokenizer nobody opened is refused with what to do', async () => {
  const content = { ...byteLevelFile(), version: 'unopened' };
  const files = await saveModel(await createModel({ ...sizes, tokenizer: content }));
  const config = JSON.parse(new TextDecoder().decode(files.get('config.json'))) as { tokenizer: string };
  await openTokenizer(config, async () => files);
  expect(decodeModel(files).model.config.tokenizer).toBe(config.tokenizer);
  const unknown = new TextEncoder().encode(JSON.stringify({ ...config, tokenizer: 'tokenizer.json:0123' }));
  expect(() => decodeModel(new Map([...files, ['config.json', unknown]]))).toThrow(
    /Register it by|give a tokenizer\.json/,
  );
  const without = new Map([...files, ['config.json', unknown]]);
  without.delete('tokenizer.json');
  await expect(loadModel(without)).rejects.toThrow(/tokenizer\.json: expected the file, got none/);
});

it('framed texts have the tokens around them in training and after, and one of them is that of the class', async () => {
  const file = wordPieceFile();
  const tokenizer = await huggingFaceTokenizer(file);
  const examples = Array.from({ length: 40 }, (_, at) => {
    const label = at % 2 === 0 ? 'cat' : 'dog';
    return { text: `the ${label} sat`, label };
  });
  const learning = { ...sizes, ...run, steps: 60, batch: 8, window: 16, tokenizer: file, framed: true };
  const classifier = await trainModel(examples, { ...learning, task: 'classification', pooling: 'first' });
  const told = await classifier.classify(['the cat sat', [2, ...tokenizer.encode('the dog sat'), 3]]);
  expect(told.map(({ label }) => label)).toEqual(['cat', 'dog']);
  const [text, tokens] = await classifier.embed(['the cat', [2, ...tokenizer.encode('the cat'), 3]], {
    pooling: 'first',
  });
  expect(text).toEqual(tokens);
  const [found] = encodeWords([tagWords(['The', 'CATS'], ['O', 'A'])], tokenizer, tokenizer.frame);
  expect([...found!.tokens]).toEqual([2, ...tokenizer.encode('The CATS'), 3]);
  expect([...found!.places]).toEqual([1, 2]);
});

it('texts are classified, embedded and tagged with WordPiece, whatever their letters', async () => {
  const tokenizer = wordPieceFile();
  const examples = Array.from({ length: 40 }, (_, at) => {
    const animal = at % 2 === 0 ? 'cat' : 'dog';
    return { text: `The ${animal.toUpperCase()} sat${' on the mat'.repeat(at % 3)}.`, label: animal };
  });
  const learning = { ...sizes, ...run, steps: 60, batch: 8, window: 16, tokenizer };
  const classifier = await trainModel(examples, { ...learning, task: 'classification', pooling: 'first' });
  const [cat, dog] = await classifier.classify(['the cat sat', 'THE DOG SAT']);
  expect([cat!.label, dog!.label]).toEqual(['cat', 'dog']);
  const [upper, lower] = await classifier.embed(['THE CAT', 'the cat']);
  expect(upper).toEqual(lower);
});

it('the tokenizer’s end ends a text, and stop strings are found across tokens', async () => {
  const content = byteLevelFile();
  const tokenizer = await huggingFaceTokenizer(content);
  const text = 'the cat<|endoftext|>'.repeat(120);
  const model = await trainModel(text, {
    ...sizes,
    ...run,
    steps: 60,
    learningRate: 2e-2,
    heldOut: 0.1,
    tokenizer: content,
  });
  const options = { maxTokens: 40, temperature: 0 };
  expect(tokenizer.encode(text).length).toBe(3 * 120);
  expect(await model.generate('the', options).text()).toBe(' cat');
  expect(await model.generate('the', { ...options, endTokens: [], stop: ['at<|end'] }).text()).toBe(' c');
  const config = JSON.parse(new TextDecoder().decode((await saveModel(model)).get('generation_config.json'))) as object;
  expect(config).toMatchObject({ eos_token_id: 267 });
});
