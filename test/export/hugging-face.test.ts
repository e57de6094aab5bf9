/** Pretrained models that were read go out as they came in, and models of ours where an architecture can say them. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { float32, leavesOf, Random } from '../../src/base/index.js';
import { toHuggingFace } from '../../src/export/index.js';
import { encodeSafetensors, parseSafetensorsHeader, safetensorsHeaderLength } from '../../src/interop/index.js';
import { loadModel, writeModel } from '../../src/models/node.js';
import { readTensors } from '../../src/models/node-folder.js';
import { performer, temporaryFolder } from '../cli/support.js';
import { randomModel } from '../support/model-conformance.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const names = [
  ...['gpt2', 'gpt2-hub', 'llama', 'llama3-bf16-sharded', 'mistral', 'qwen2'],
  ...['gpt-neox', 'gpt-neox-sequential', 'pythia-f16'],
  ...['bert-mlm', 'bert-model', 'minilm', 'distilbert', 'esm2', 'vit'],
];

/** Those that come back out of a folder of ours as another architecture, or without parts that we do not have. */
const ownFolderAlone = [...['bert-legacy', 'roberta', 't5'], ...['performer-bidirectional', 'performer-relu']];

/** The bytes of each tensor of a folder's files as they lie, with their dtype, by name without the prefix that GPT-2 may lack. */
async function rawTensors(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.safetensors'))) {
    const bytes = await readFile(join(folder, file));
    const length = safetensorsHeaderLength(file, bytes, bytes.length);
    const { entries } = parseSafetensorsHeader(file, bytes.subarray(8, 8 + length), bytes.length);
    for (const { name, stored, shape, start, byteLength } of entries) {
      const raw = bytes.subarray(start, start + byteLength).toString('base64');
      found.set(name.replace(/^transformer\./, ''), `${stored} ${shape} ${raw}`);
    }
  }
  return found;
}

/** What follows from the config: masks, angles, waves and numbers of positions; and what equals another. */
const isDerived = (name: string) =>
  /\.attn\.(masked_)?bias$|attention\.(masked_)?bias$|inv_freq$|position_ids$|pos_emb\.emb$|proj_updater/.test(name);

/** Parts that our models do not have. */
const isLeftOut = (name: string) => /pooler|seq_relationship|contact_head|^esm\.embeddings\.position/.test(name);

function expectSame(
  own: ReadonlyMap<string, string>,
  theirs: ReadonlyMap<string, string>,
  isNeeded: (name: string) => boolean = () => true,
): void {
  const needed = [...theirs].filter(([name]) => !isDerived(name) && isNeeded(name));
  expect([...own.keys()].sort()).toEqual(needed.map(([name]) => name).sort());
  for (const [name, tensor] of needed) expect(own.get(name) === tensor, name).toBe(true);
}

const configOf = async (folder: string) => JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

describe.each([...names, ...ownFolderAlone])('%s', (name) => {
  const source = join(golden, name);

  test('goes out of its own folder with every byte of its weights and its config', async () => {
    const out = join(await temporaryFolder(), 'out');
    const told = await performer(['export', source, '--hugging-face', out]);
    expect(told).toMatchObject({ code: 0, out: expect.stringContaining('out: ') });
    expectSame(await rawTensors(out), await rawTensors(source));
    expect(await readFile(join(out, 'config.json'))).toEqual(await readFile(join(source, 'config.json')));
    const settings = await readdir(source, { recursive: true });
    expect(await readdir(out, { recursive: true })).toEqual(
      expect.arrayContaining(settings.filter((path) => path.endsWith('.json') && !path.endsWith('.index.json'))),
    );
    expect(await readdir(out)).not.toContain('model.safetensors.index.json');
  });
});

describe.each(names)('%s', (name) => {
  const source = join(golden, name);

  test('goes out of a folder of ours with a config that says the same model, and its weights', async () => {
    const folder = await temporaryFolder();
    const [ours, out] = [join(folder, 'ours'), join(folder, 'out')];
    expect(await performer(['import', source, '--out', ours])).toMatchObject({ code: 0 });
    const { torch_dtype: dtype = 'float32' } = await configOf(source);
    expect(await performer(['export', ours, '--hugging-face', out, '--dtype', dtype])).toMatchObject({ code: 0 });
    expectSame(await rawTensors(out), await rawTensors(source), (tensor) => !isLeftOut(tensor));
    expect(await configOf(out)).toMatchObject({ torch_dtype: dtype });
    const [before, after] = [await loadModel(source), await loadModel(out)];
    const own = ({ tokenizer: _, ...config }: object & { tokenizer?: unknown }) => ({ ...config, keyHeads: undefined });
    expect(own(after.model.config)).toEqual(own(before.model.config));
  });
});

test('RoBERTa goes out of a folder of ours as BERT, which is the same model', async () => {
  const folder = await temporaryFolder();
  const [ours, out] = [join(folder, 'ours'), join(folder, 'out')];
  expect(await performer(['import', join(golden, 'roberta'), '--out', ours])).toMatchObject({ code: 0 });
  expect(await performer(['export', ours, '--hugging-face', out])).toMatchObject({ code: 0 });
  expect(await configOf(out)).toMatchObject({ model_type: 'bert', architectures: ['BertForMaskedLM'] });
  const [before, after] = [await loadModel(join(golden, 'roberta')), await loadModel(out)];
  expect(leavesOf(after.params)).toEqual(leavesOf(before.params));
});

const heads = {
  bert: { folder: 'bert-mlm', name: 'Bert', text: { 'bert.pooler.dense': 32, classifier: 3 } },
  distilbert: { folder: 'distilbert', name: 'DistilBert', text: { pre_classifier: 32, classifier: 3 } },
  esm: { folder: 'esm2', name: 'Esm', text: { 'classifier.dense': 32, 'classifier.out_proj': 3 } },
};
const labels = { id2label: { 0: 'calm', 1: 'loud', 2: 'mute' }, label2id: { calm: 0, loud: 1, mute: 2 } };

describe.each(Object.entries(heads))('a classifier by %s', (type, { folder, name, text }) => {
  test.each([
    ['texts', 'ForSequenceClassification', text, 'single_label_classification'],
    ['the labels of texts', 'ForSequenceClassification', text, 'multi_label_classification'],
    ['words', 'ForTokenClassification', { classifier: 3 }, 'single_label_classification'],
  ])('of %s goes out of a folder of ours with its head and its labels', async (_, part, layers, problem) => {
    const place = await temporaryFolder();
    const [theirs, ours, out] = [join(place, 'theirs'), join(place, 'ours'), join(place, 'out')];
    const source = await sourceOf(folder);
    const tensors = new Map([...source.tensors].filter(([path]) => !/^(cls|lm_head|vocab)/.test(path)));
    for (const [layer, outputs] of Object.entries(layers)) {
      tensors.set(
        `${layer}.weight`,
        float32(
          [outputs, 32],
          Random.fromSeed(1)
            .split(layer)
            .normals(32 * outputs),
        ),
      );
      tensors.set(`${layer}.bias`, float32([outputs], Random.fromSeed(2).split(layer).normals(outputs)));
    }
    const config = { ...source.config, ...labels, problem_type: problem, architectures: [name + part] };
    await mkdir(theirs);
    await writeFile(join(theirs, 'config.json'), JSON.stringify(config));
    await writeFile(join(theirs, 'model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
    expect(await performer(['import', theirs, '--out', ours])).toMatchObject({ code: 0 });
    expect(await performer(['export', ours, '--hugging-face', out])).toMatchObject({ code: 0 });
    expectSame(
      await rawTensors(out),
      await rawTensors(theirs),
      (tensor) => !/contact_head|^esm\.emb.*\.pos/.test(tensor),
    );
    expect(await configOf(out)).toMatchObject({ model_type: type, architectures: [name + part], ...labels });
    expect((await loadModel(out)).model.config).toEqual((await loadModel(theirs)).model.config);
  });
});

/** A golden folder as what a model was read from. */
const sourceOf = async (name: string) => {
  const folder = join(golden, name);
  return { config: await configOf(folder), tensors: (await readTensors(folder)).tensors };
};

test('weights that changed are written, and float32 is kept where 16 bits would change them', async () => {
  const loaded = await loadModel(join(golden, 'llama3-bf16-sharded'));
  const from = await sourceOf('llama3-bf16-sharded');
  expect(toHuggingFace(loaded, { from })).toMatchObject({ dtype: 'bfloat16', config: from.config });
  const [, leaf] = leavesOf(loaded.params)[0] as [string, { data: Float32Array }];
  leaf.data[3] = 0.1;
  const changed = toHuggingFace(loaded, { from });
  expect(changed.dtype).toBe('float32');
  expect([...changed.tensors.values()].some(({ data }) => data.includes(Math.fround(0.1)))).toBe(true);
});

test('of a table whose first rows nothing reads, the others alone are changed', async () => {
  const loaded = await loadModel(join(golden, 'roberta'));
  const from = await sourceOf('roberta');
  const name = 'roberta.embeddings.position_embeddings.weight';
  const before = from.tensors.get(name)!;
  const [, leaf] = leavesOf(loaded.params).find(([path]) => path === 'positions.weight') as [
    string,
    { data: Float32Array },
  ];
  leaf.data[0] = 5;
  const after = toHuggingFace(loaded, { from }).tensors.get(name)!;
  const width = before.shape[1]!;
  expect(after.data[2 * width]).toBe(5);
  expect(after.data.map((value, at) => (at === 2 * width ? (before.data[at] as number) : value))).toEqual(before.data);
});

test('T5, whose queries are multiplied as they are read, goes out of a folder of ours but for rounding', async () => {
  const loaded = await loadModel(join(golden, 't5'));
  const { tensors, config } = toHuggingFace(loaded);
  const { tensors: theirs } = await readTensors(join(golden, 't5'));
  expect([...tensors.keys()].sort()).toEqual([...theirs.keys()].sort());
  for (const [name, { data }] of tensors) {
    const before = theirs.get(name)!.data as Float32Array;
    expect(
      data.every((value, at) => Math.abs(value - before[at]!) <= 1.2e-7 * Math.abs(value)),
      name,
    ).toBe(true);
  }
  expect(config).toMatchObject({ architectures: ['T5ForConditionalGeneration'], decoder_start_token_id: 0, d_kv: 6 });
});

test('what layers have for themselves, and share there, goes out while it is equal', async () => {
  const loaded = await loadModel(join(golden, 't5'));
  const weights = leavesOf<object, { readonly data: Float32Array }>(loaded.params);
  weights.find(([path]) => path === 'blocks.1.attention.features.relativeBias')![1].data[5] = 9;
  expect(() => toHuggingFace(loaded)).toThrow(/blocks\.0\.attention\.features\.relativeBias and those of other layers/);
});

test('tensors of another model are refused', async () => {
  const loaded = await loadModel(join(golden, 'bert-model'));
  const { config } = await sourceOf('bert-model');
  const { tensors } = await sourceOf('distilbert');
  expect(() => toHuggingFace(loaded, { from: { config, tensors } })).toThrow(/export: expected a tensor embeddings\./);
});

describe('a model of ours', () => {
  const sizes = { tokenShift: 0, attention: 'softmax' };
  const asGpt2 = {
    ...sizes,
    ...{ positions: { kind: 'learned', maxLength: 40 }, tiedEmbedding: true, qkvBias: true, activation: 'gelu-tanh' },
  };
  const asLlama = {
    ...sizes,
    norm: 'rms',
    activation: 'swiglu',
    outputBias: false,
    feedForwardBias: false,
    logitsBias: false,
  };

  test.each([
    ['gpt2', asGpt2],
    ['llama', asLlama],
    ['qwen2', { ...asLlama, qkvBias: true, keyHeads: 1 }],
    ['mistral', { ...asLlama, attention: { kind: 'window', window: 5 } }],
  ] as const)('that is a %s goes out as one, and comes back as the same model', async (type, options) => {
    const loaded = randomModel('causal-language-model', options);
    const { config, tensors } = toHuggingFace(loaded);
    expect(config.model_type).toBe(type);
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await writeFile(join(folder, 'model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
    const again = await loadModel(folder);
    expect(leavesOf(again.params)).toEqual(leavesOf(loaded.params));
  });

  const asBert = {
    ...sizes,
    ...{ qkvBias: true, embeddingNorm: true, logitsBias: true, logitsLayer: true, tokenTypes: 2 },
    ...{ norm: { placement: 'post' }, positions: { kind: 'learned', maxLength: 40 } },
  };
  const bare = { logitsLayer: false, logitsBias: false };
  const asEsm = { ...asBert, norm: 'layer', positions: 'rotary', tokenTypes: 0 };

  test.each([
    ['bert', 'BertForMaskedLM', asBert],
    ['bert', 'BertModel', { ...asBert, ...bare, activation: 'relu' }],
    ['distilbert', 'DistilBertForMaskedLM', { ...asBert, tokenTypes: 0, norm: { placement: 'post', epsilon: 1e-12 } }],
    ['esm', 'EsmForMaskedLM', { ...asEsm, maskScaling: true }],
    ['esm', 'EsmModel', { ...asEsm, ...bare, embeddingNorm: false }],
  ] as const)('that is a %s goes out as %s, and comes back as the same model', async (type, architecture, options) => {
    const loaded = randomModel('encoder', options);
    const { config, tensors } = toHuggingFace(loaded);
    expect(config).toMatchObject({ model_type: type, architectures: [architecture] });
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await writeFile(join(folder, 'model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
    const again = await loadModel(folder);
    expect(leavesOf(again.params)).toEqual(leavesOf(loaded.params));
  });

  test.each([
    ['first', true, 24],
    ['last', false, undefined],
  ] as const)('keeps how its texts become vectors: by the %s token', async (pooling, normalize, window) => {
    const vectors = { pooling, normalize, ...(window && { window }) };
    const { model, ...weights } = randomModel('encoder', { ...asBert, vectors });
    const folder = await temporaryFolder();
    await writeModel(folder, model.config, weights);
    const out = join(folder, 'out');
    expect(await performer(['export', folder, '--hugging-face', out])).toMatchObject({ code: 0 });
    expect((await loadModel(out)).model.config.vectors).toEqual(vectors);
  });

  test.each([
    [
      'attention that is linear',
      { ...asLlama, attention: 'favor+' },
      /got one with attention \{"kind":"favor\+".*\}, which llama/,
    ],
    ['memory tokens', { ...asGpt2, memoryTokens: 2 }, /got one with memoryTokens 2, which gpt2 cannot say/],
    ['token shift', { ...asGpt2, tokenShift: 1 }, /got one with tokenShift 1, which gpt2 cannot say/],
  ] as const)('with %s is refused, which is named', (_, options, message) => {
    expect(() => toHuggingFace(randomModel('causal-language-model', options))).toThrow(message);
  });

  test('of another family is refused', () => {
    const loaded = randomModel('performer', { attention: 'softmax' });
    expect(() => toHuggingFace(loaded)).toThrow(/model "performer"/);
  });
});
