/** `performer import`: a folder of another system becomes one of ours, which generates and embeds text. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { float32, Random } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { ggufFile, ggufParts } from '../support/gguf-file.js';
import { wordPieceFile } from '../support/tokenizer-files.js';
import { performer, temporaryFolder } from './support.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const threads = ['--threads', '1'];

/** A copy of a golden folder with a tokenizer, and where to import it to. */
async function source(name: string): Promise<{ readonly from: string; readonly to: string; readonly text: string }> {
  const folder = await temporaryFolder();
  const [from, to, text] = [join(folder, 'from'), join(folder, 'to'), join(folder, 'text.txt')];
  await cp(join(golden, name), from, { recursive: true });
  await writeFile(join(from, 'tokenizer.json'), JSON.stringify(wordPieceFile()));
  await writeFile(text, 'the cat sat on the mat');
  return { from, to, text };
}

/** The tokenizer of the tests has far fewer tokens than the models, which is noted, and nothing else is. */
const onlyFewerTokens = expect.stringMatching(/^\S+tokenizer\.json: has 37 tokens, and the model 6\d\. [^\n]*\n$/);

test('keeps the tokenizer and the settings, and the imported model does what the original folder does', async () => {
  const { from, to, text } = await source('llama');
  await writeFile(
    join(from, 'generation_config.json'),
    JSON.stringify({ do_sample: false, max_new_tokens: 5, bos_token_id: 2 }),
  );
  const ran = await performer(['import', from, '--out', to]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: onlyFewerTokens });
  expect(ran.out).toMatch(/to: causal-language-model, [\d,]+ parameters, attention softmax\n$/);
  expect(await readFile(join(to, 'tokenizer.json'))).toEqual(await readFile(join(from, 'tokenizer.json')));
  expect(JSON.parse(await readFile(join(to, 'generation_config.json'), 'utf8'))).toEqual({
    ...{ do_sample: false, max_new_tokens: 5, bos_token_id: 2, eos_token_id: [2] },
  });
  const said = [];
  for (const folder of [from, to]) {
    const generated = await performer(['generate', folder, '--prompt', 'the cat', ...threads, '--seed', '1']);
    const embedded = await performer(['embed', folder, text, ...threads]);
    expect([generated.code, embedded.code]).toEqual([0, 0]);
    expect(generated.err).not.toContain('note');
    said.push([generated.out, embedded.out]);
  }
  expect(said[0]).toEqual(said[1]);
});

test('an imported classifier tells the class of texts by the names of its config, and so does its folder', async () => {
  const { from, to, text } = await source('distilbert');
  const config = JSON.parse(await readFile(join(from, 'config.json'), 'utf8'));
  const classes = { id2label: { 0: 'calm', 1: 'loud' }, architectures: ['DistilBertForSequenceClassification'] };
  await writeFile(join(from, 'config.json'), JSON.stringify({ ...config, ...classes }));
  const weights = join(from, 'model.safetensors');
  const tensors = new Map(decodeSafetensors(weights, await readFile(weights)).tensors);
  for (const name of [...tensors.keys()]) if (name.startsWith('vocab')) tensors.delete(name);
  for (const [name, outputs] of [['pre_classifier', 32] as const, ['classifier', 2] as const]) {
    const random = Random.fromSeed(1).split(name);
    tensors.set(`${name}.weight`, float32([outputs, 32], random.normals(32 * outputs)));
    tensors.set(`${name}.bias`, float32([outputs], random.split('bias').normals(outputs)));
  }
  await writeFile(weights, Buffer.concat(encodeSafetensors(tensors)));
  const ran = await performer(['import', from, '--out', to]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: onlyFewerTokens });
  expect(ran.out).toMatch(/to: classifier, /);
  const told = [];
  for (const folder of [from, to]) {
    const predicted = await performer(['predict', folder, text, '--format', 'jsonl', ...threads]);
    expect(predicted.code).toBe(0);
    told.push(JSON.parse(predicted.out));
  }
  expect(told[0]).toMatchObject({ class: expect.stringMatching(/^(calm|loud)$/) });
  expect(told[1]).toEqual(told[0]);
});

test('an imported T5 writes of a source until its end token', async () => {
  const { from, to } = await source('t5');
  const ran = await performer(['import', from, '--out', to]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: onlyFewerTokens });
  expect(ran.out).toMatch(/to: encoder-decoder, [\d,]+ parameters, attention softmax/);
  const config = JSON.parse(await readFile(join(to, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ framed: true, beginToken: 0, endTokens: [1] });
  const flags = ['--source', 'the cat sat', '--temperature', '0', '--max-tokens', '12', ...threads];
  const [first, second] = [await performer(['generate', from, ...flags]), await performer(['generate', to, ...flags])];
  expect([first.code, second.code]).toEqual([0, 0]);
  expect(first.out).toBe(second.out);
});

test('refuses a folder that exists, one without a model, and a text for a model without a tokenizer', async () => {
  const { from, to } = await source('gpt2');
  expect(await performer(['import', from, '--out', from])).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--out: expected a folder that does not exist/),
  });
  expect(await performer(['import', join(from, 'none'), '--out', to])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/expected a folder with a model, got one without config\.json/),
  });
  expect((await performer(['import', join(golden, 'gpt2'), '--out', to])).code).toBe(0);
  expect(await readdir(to)).not.toContain('tokenizer.json');
  expect(await performer(['generate', to, '--prompt', 'the', ...threads])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/got none, as its folder had no tokenizer\.json/),
  });
});

test('leaves nothing behind where the tokenizer belongs to another model', async () => {
  const { from, to } = await source('llama');
  const file = wordPieceFile();
  const many = Array.from({ length: 99 }, (_, at) => [`word${at}`, Object.keys(file.model.vocab).length + at] as const);
  Object.assign(file.model.vocab, Object.fromEntries(many));
  await writeFile(join(from, 'tokenizer.json'), JSON.stringify(file));
  expect(await performer(['import', from, '--out', to])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/from\/tokenizer\.json: expected at most 62 tokens, which .*config\.json says/),
  });
  expect(await readdir(join(from, '..'))).not.toContain('to');
});

test('a GGUF file is read as a folder is, and leaves as one of Hugging Face', async () => {
  const folder = await temporaryFolder();
  const { metadata, tensors } = await ggufParts(join(golden, 'llama'), 'llama');
  const [from, to, out] = [join(folder, 'model.gguf'), join(folder, 'to'), join(folder, 'out')];
  await writeFile(from, ggufFile(metadata, tensors));
  const ran = await performer(['import', from, '--out', to]);
  expect(ran).toMatchObject({ code: 0, err: '' });
  expect(ran.out).toMatch(/to: causal-language-model, [\d,]+ parameters, attention softmax\n$/);
  expect(await performer(['export', from, '--hugging-face', out])).toMatchObject({ code: 0, err: '' });
  const weights = async (path: string) =>
    decodeSafetensors(path, await readFile(join(path, 'model.safetensors'))).tensors;
  expect(await weights(out)).toEqual(await weights(join(golden, 'llama')));
});
