/** Models of GGUF files are those of the folders that they were made from, and what is not understood is refused. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { leavesOf, Random } from '../../src/base/index.js';
import { huggingFaceTokenizer, tokenizerNamed } from '../../src/data/index.js';
import { loadModel } from '../../src/index.js';
import { parseGgufHeader } from '../../src/interop/index.js';
import { openModel } from '../../src/models/index.js';
import { loadModelFiles } from '../../src/models/node.js';
import { mutationsOf } from '../interop/mutations.js';
import { type Given, type GivenTensor, ggufFile, ggufParts } from '../support/gguf-file.js';
import { byteFallbackFile, byteLevelFile } from '../support/tokenizer-files.js';

const golden = (name: string) => fileURLToPath(new URL(`../golden/pretrained/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'performer-gguf-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Parts = Awaited<ReturnType<typeof ggufParts>>;
const llama = await ggufParts(golden('llama'), 'llama');
const fileOf = ({ metadata, tensors }: Parts, more: Readonly<Record<string, Given>> = {}) =>
  ggufFile({ ...metadata, ...more } as Record<string, Given>, tensors);
const open = (bytes: Uint8Array) => openModel(new Map([['model.gguf', bytes]]));

/** What Llama 3 divides the frequencies of its golden model by: pairs that turn often, some, and hardly (float32). */
const factors: GivenTensor = {
  name: 'rope_freqs.weight',
  shape: [4],
  bytes: new Uint8Array(Float32Array.of(1, 2.166375206080068, 8, 8).buffer),
};

describe('a file has the model of the folder that it was made from:', () => {
  test.each([
    ['llama', 'llama', []],
    ['llama3-bf16-sharded', 'llama', [factors]],
    ['qwen2', 'qwen2', []],
  ] as const)('%s', async (name, architecture, more) => {
    const { metadata, tensors } = await ggufParts(golden(name), architecture);
    const path = join(folder, `${name}.gguf`);
    writeFileSync(path, ggufFile(metadata, [...more, ...tensors]));
    const { model: found, digest } = await loadModelFiles(path);
    const { model: expected } = await loadModelFiles(golden(name));
    const { endTokens: _, ...config } = expected.model.config;
    expect(found.model.config).toEqual(config);
    expect(leavesOf(found.params)).toEqual(leavesOf(expected.params));
    expect((await loadModelFiles(path)).digest).toBe(digest);
    expect(leavesOf((await open(ggufFile(metadata, [...more, ...tensors]))).params)).toEqual(leavesOf(found.params));
  });
});

test('weights in blocks are near those of the folder', async () => {
  // 8 bits for each weight: a scale for 32 of them, which is their largest by 127.
  const inBlocks = llama.tensors.map((tensor) => {
    if (tensor.shape.length < 2 || tensor.shape.at(-1)! % 32 !== 0) return tensor;
    const values = new Float32Array(tensor.bytes.slice().buffer);
    const bytes = new Uint8Array((values.length / 32) * 34);
    const view = new DataView(bytes.buffer);
    for (let block = 0; block * 32 < values.length; block++) {
      const own = values.subarray(block * 32, block * 32 + 32);
      const exponent = Math.ceil(Math.log2(Math.max(...own.map(Math.abs)) / 127));
      view.setUint16(block * 34, (exponent + 15) << 10, true);
      own.forEach((value, at) => void view.setInt8(block * 34 + 2 + at, Math.round(value / 2 ** exponent)));
    }
    return { ...tensor, type: 8, bytes };
  });
  const found = leavesOf((await open(ggufFile(llama.metadata, inBlocks))).params) as never as Leaves;
  const exact = leavesOf((await open(fileOf(llama))).params) as never as Leaves;
  found.forEach(([path, { data }], at) => {
    const own = exact[at]![1].data;
    const largest = Math.max(...own.map(Math.abs));
    data.forEach((value, index) => expect(Math.abs(value - own[index]!), path).toBeLessThanOrEqual(largest / 127));
  });
});
type Leaves = readonly (readonly [string, { readonly data: Float32Array }])[];

describe('the tokenizer of a file is that of a tokenizer.json', () => {
  const text = 'the cat, 12 cats  and\n\nthe rest';
  const control = 3;
  const many = (count: number, own: readonly (readonly [number, number])[]) =>
    Object.assign(Array<number>(count).fill(1), Object.fromEntries(own));

  test('of BPE over bytes', async () => {
    const file = byteLevelFile();
    const tokens = Object.entries(file.model.vocab)
      .sort(([, a], [, b]) => a - b)
      .map(([token]) => token);
    const { tokenizer: given, ends } = await withTokenizer({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': many(tokens.length, [[267, control]]),
      'tokenizer.ggml.merges': file.model.merges,
      'tokenizer.ggml.eos_token_id': 267,
      'tokenizer.ggml.eot_token_id': 5,
    });
    expect(given.encode(text)).toEqual((await huggingFaceTokenizer(file)).encode(text));
    expect(new TextDecoder().decode(given.decoder().push(given.encode(text)))).toBe(text);
    expect([given.special?.end, given.frame]).toEqual([267, undefined]);
    expect(ends).toEqual([267, 5]);
  });

  test("of SentencePiece's BPE, whose merges follow from scores", async () => {
    const file = byteFallbackFile();
    const tokens = Object.entries(file.model.vocab as Record<string, number>)
      .sort(([, a], [, b]) => a - b)
      .map(([token]) => token);
    const types = tokens.map((token, id) => (id === 0 ? 2 : id < 3 ? control : /^<0x/.test(token) ? 6 : 1));
    const { tokenizer: given } = await withTokenizer({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': types,
      'tokenizer.ggml.scores': tokens.map((_, id) => 0.5 - id),
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
    });
    expect(given.encode(text)).toEqual((await huggingFaceTokenizer(file)).encode(text));
    expect(new TextDecoder().decode(given.decoder().push(given.encode(text)))).toBe(text);
    expect(given.frame).toEqual({ before: [1], after: [] });
  });

  /** The tokenizer of the golden Llama with a vocabulary of its own, whose embeddings are as many. */
  async function withTokenizer(own: Readonly<Record<string, Given>>) {
    const count = (own['tokenizer.ggml.tokens'] as readonly string[]).length;
    const random = Random.fromSeed(1);
    const tensors = llama.tensors.map((tensor) =>
      /^(token_embd|output)\./.test(tensor.name)
        ? {
            ...tensor,
            shape: [count, 32],
            bytes: new Uint8Array(Float32Array.from(random.split(tensor.name).normals(count * 32)).buffer),
          }
        : tensor,
    );
    const { model } = await open(ggufFile({ ...llama.metadata, ...own } as Record<string, Given>, tensors));
    return { tokenizer: tokenizerNamed(model.config.tokenizer!), ends: model.config.endTokens };
  }
});

test('a file is fetched from a URL', async () => {
  const bytes = fileOf(llama);
  const server = createServer((_, response) => void response.end(bytes));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/tiny.Q8_0.gguf`;
  const model = await loadModel(new URL(address), { kind: 'language-model' });
  const local = await loadModel(golden('llama'), { kind: 'language-model' });
  expect(await model.logits([1, 2, 3])).toEqual(await local.logits([1, 2, 3]));
  server.close();
});

describe('refused is', () => {
  const without = (name: string): Parts => ({
    ...llama,
    tensors: llama.tensors.filter((tensor) => tensor.name !== name),
  });
  test.each<[string, Uint8Array, RegExp]>([
    [
      'another architecture',
      fileOf(llama, { 'general.architecture': 'mamba' }),
      /general.architecture of llama, qwen2, got mamba/,
    ],
    ['a field that is not known', fileOf(llama, { 'llama.logit_scale': 2 }), /are understood, got llama.logit_scale/],
    ['a mixture of experts', fileOf(llama, { 'llama.expert_count': 8 }), /expert_count of 0, as mixtures/],
    ['one of several files', fileOf(llama, { 'split.count': 2 }), /a model in one file, got 2 files/],
    ['a scaling that is not known', fileOf(llama, { 'llama.rope.scaling.type': 'yarn' }), /none or linear, got yarn/],
    [
      'heads that are turned in part',
      fileOf(llama, { 'llama.rope.dimension_count': 4 }),
      /dimension_count of 8, the size/,
    ],
    ['a text for a number', fileOf(llama, { 'llama.block_count': 'two' }), /a number for llama.block_count, got two/],
    ['a tensor that is missing', fileOf(without('blk.1.ffn_up.weight')), /a tensor model.layers.1.mlp.up_proj.weight/],
    [
      'a tensor too many',
      ggufFile(llama.metadata, [...llama.tensors, { ...factors, name: 'blk.0.extra.weight' }]),
      /tensors of LlamaForCausalLM, got blk.0.extra.weight, which is not understood/,
    ],
    [
      'factors that are not those of Llama 3',
      ggufFile(llama.metadata, [
        { ...factors, bytes: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) },
        ...llama.tensors,
      ]),
      /rope_freqs.weight as Llama 3 has it/,
    ],
    [
      'a tokenizer that is not known',
      fileOf(llama, {
        ...{ 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'other', 'tokenizer.ggml.tokens': ['a'] },
        ...{ 'tokenizer.ggml.token_type': [0.5], 'tokenizer.ggml.merges': ['a a'] },
      }),
      /tokenizer.ggml.pre of gpt-2, llama-bpe, .*, got other/,
    ],
  ])('%s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(message);
  });

  test('a file that is not there', async () => {
    await expect(loadModelFiles(join(folder, 'none.gguf'))).rejects.toThrow(/expected a file, got none there/);
  });
});

test('of a thousand files with a damaged header each is refused, or has a model of the same parameters', async () => {
  const whole = fileOf(llama);
  const { start } = parseGgufHeader('x.gguf', whole, whole.length).entries[0]!;
  const places = leavesOf((await open(whole)).params).map(([path]) => path);
  let refused = 0;
  for (const header of mutationsOf(whole.subarray(0, start), 1000, 5)) {
    const found = await open(Buffer.concat([header, whole.subarray(start)])).catch((cause: { code?: string }) => {
      if (cause.code !== 'CHECKPOINT' && cause.code !== 'CONFIG') throw cause;
      refused++;
    });
    if (found !== undefined) expect(leavesOf(found.params).map(([path]) => path)).toEqual(places);
  }
  expect(refused).toBeGreaterThan(500);
});
