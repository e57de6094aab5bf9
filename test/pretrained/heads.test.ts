/**
 * Heads that tell the class of a text or of its tokens give what a twin in float64 gives, which goldens of the originals hold, and
 * headless models give the hidden layers behind which those heads stand.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, int32, Random } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { specsOf } from '../../src/graph/index.js';
import { loadModel } from '../../src/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel, type ModelInputs } from '../../src/models/index.js';
import { bertHidden, twinNames } from '../support/bert-twin.js';
import { wordPieceFile } from '../support/tokenizer-files.js';
import { gelu, layersOf, type Rows } from '../support/twin.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const engine = nodeEngine({ threads: 1 });
const tokens = Array.from({ length: 11 }, (_, at) => (at * 17 + 5) % 60);
const jsonOf = (folder: string, file: string) => JSON.parse(readFileSync(join(golden, folder, file), 'utf8'));
const tensorsOf = (folder: string) =>
  new Map(decodeSafetensors(folder, readFileSync(join(golden, folder, 'model.safetensors'))).tensors);

const families = [
  { name: 'bert', folder: 'bert-mlm', class: 'Bert', dense: 'bert.pooler.dense', head: 'classifier' },
  { name: 'roberta', folder: 'roberta', class: 'Roberta', dense: 'classifier.dense', head: 'classifier.out_proj' },
  { name: 'distilbert', folder: 'distilbert', class: 'DistilBert', dense: 'pre_classifier', head: 'classifier' },
] as const;

/** The tensors of a folder without the head of its logits, and with linear layers of these sizes by their names. */
function withHeads(folder: string, heads: Readonly<Record<string, readonly [number, number]>>) {
  const tensors = new Map<string, AnyHostTensor>(
    [...tensorsOf(folder)].filter(([name]) => !/^(cls|lm_head|vocab)/.test(name)),
  );
  for (const [name, [inputs, outputs]] of Object.entries(heads)) {
    const random = Random.fromSeed(7).split(name);
    tensors.set(`${name}.weight`, float32([outputs, inputs], random.normals(inputs * outputs)));
    tensors.set(`${name}.bias`, float32([outputs], random.split('bias').normals(outputs)));
  }
  return tensors;
}

const filesOf = (config: object, tensors: ReadonlyMap<string, AnyHostTensor>, others: object = {}) =>
  new Map<string, Uint8Array>([
    ['config.json', Buffer.from(JSON.stringify(config))],
    ['model.safetensors', Buffer.concat(encodeSafetensors(tensors))],
    ...Object.entries(others).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))] as const),
  ]);

async function outputsOf(config: object, tensors: ReadonlyMap<string, AnyHostTensor>, text: readonly number[]) {
  const { model, params, buffers } = decodeModel(filesOf(config, tensors));
  const given = { tokens: int32([1, text.length], text) };
  const run = await engine.compile(
    (learned: object, fixed: object, own: ModelInputs) => {
      const { output, hidden } = model.apply({ params: learned, buffers: fixed }, own);
      return { output, hidden };
    },
    [specsOf(params), specsOf(buffers), specsOf(given)] as never,
  );
  const found = await run.run([params, buffers, given] as never);
  await run.dispose();
  return { model, ...(found as Record<'output' | 'hidden', { data: Float32Array }>) };
}

function expectClose(found: ArrayLike<number>, expected: Rows): void {
  const flat = expected.flat();
  expect(found.length).toBe(flat.length);
  for (const [at, value] of flat.entries()) expect(Math.abs(found[at]! - value)).toBeLessThan(1e-5);
}

const labels = { id2label: { 0: 'calm', 1: 'loud', 2: 'mute' }, label2id: { calm: 0, loud: 1, mute: 2 } };

describe.each(families)('$name', ({ name, folder, class: prefix, dense, head }) => {
  const hidden = (tensors: ReadonlyMap<string, AnyHostTensor>) => bertHidden(twinNames[name], tensors, tokens);
  const configFor = (part: string) => ({ ...jsonOf(folder, 'config.json'), ...labels, architectures: [prefix + part] });

  test('has a twin that gives the logits of the original', () => {
    const tensors = tensorsOf(folder);
    const { linear, normalized, matrix, values } = layersOf(tensors);
    const [transform, norm, bias] = {
      bert: ['cls.predictions.transform.dense', 'cls.predictions.transform.LayerNorm', 'cls.predictions.bias'],
      roberta: ['lm_head.dense', 'lm_head.layer_norm', 'lm_head.bias'],
      distilbert: ['vocab_transform', 'vocab_layer_norm', 'vocab_projector.bias'],
    }[name] as [string, string, string];
    const { inputs, outputs } = jsonOf(folder, 'golden.json');
    const own = bertHidden(twinNames[name], tensors, inputs.input_ids[0], inputs.token_type_ids?.[0]);
    const active = linear(transform, own).map((row) => row.map(gelu));
    const words = matrix(`${name}.embeddings.word_embeddings.weight`);
    const logits = normalized(norm, active, twinNames[name].epsilon).map((row) =>
      words.map((word, at) => row.reduce((total, value, channel) => total + value * word[channel]!, values(bias)[at]!)),
    );
    expectClose(logits.flat(), outputs.logits[0]);
  });

  test('tells the class of a text by its first token, a layer and a head', async () => {
    const tensors = withHeads(folder, { [dense]: [32, 32], [head]: [32, 3] });
    const { linear } = layersOf(tensors);
    const active = name === 'distilbert' ? (x: number) => Math.max(x, 0) : Math.tanh;
    const pooled = linear(dense, hidden(tensors).slice(0, 1)).map((row) => row.map(active));
    const found = await outputsOf(configFor('ForSequenceClassification'), tensors, tokens);
    expect(found.model.config).toMatchObject({ targets: { kind: 'classes', names: ['calm', 'loud', 'mute'] } });
    expectClose(found.output.data, linear(head, pooled));
  });

  test('tells the class of each token by a head', async () => {
    const tensors = withHeads(folder, { classifier: [32, 3] });
    const found = await outputsOf(configFor('ForTokenClassification'), tensors, tokens);
    expect(found.model.kind).toBe('token-classifier');
    expectClose(found.output.data, layersOf(tensors).linear('classifier', hidden(tensors)));
  });

  test('without a head gives hidden layers', async () => {
    const tensors = withHeads(folder, {});
    const bare = new Map([...tensors].map(([full, tensor]) => [full.slice(name.length + 1), tensor]));
    const found = await outputsOf(configFor('Model'), bare, tokens);
    expectClose(found.hidden.data, hidden(tensors));
  });
});

describe('ESM-2', () => {
  const [{ inputs, outputs }] = jsonOf('esm2', 'golden.json').more;
  const [text, own] = [inputs.input_ids[0], outputs.hidden_states.at(-1)[0]] as [number[], Rows];
  const config = { ...jsonOf('esm2', 'config.json'), ...labels };

  test('without a head gives the hidden layers of the original', async () => {
    const tensors = new Map([...tensorsOf('esm2')].filter(([name]) => !name.startsWith('lm_head')));
    const found = await outputsOf({ ...config, architectures: ['EsmModel'] }, tensors, text);
    expectClose(found.hidden.data, own);
  });

  test('tells the class of a text by its first token, a layer and a head', async () => {
    const tensors = withHeads('esm2', { 'classifier.dense': [32, 32], 'classifier.out_proj': [32, 3] });
    const { linear } = layersOf(tensors);
    const pooled = linear('classifier.dense', own.slice(0, 1)).map((row) => row.map(Math.tanh));
    const found = await outputsOf({ ...config, architectures: ['EsmForSequenceClassification'] }, tensors, text);
    expectClose(found.output.data, linear('classifier.out_proj', pooled));
  });
});

describe('labels', () => {
  const decoded = (change: object, outputs: number) => {
    const config = { ...jsonOf('distilbert', 'config.json'), architectures: ['DistilBertForSequenceClassification'] };
    const tensors = withHeads('distilbert', { pre_classifier: [32, 32], classifier: [32, outputs] });
    return decodeModel(filesOf({ ...config, ...change }, tensors)).model;
  };
  const one = { id2label: { 0: 'stars' } };

  test('are classes, labels or values by problem_type, and one alone is a value', () => {
    expect(decoded(labels, 3).kind).toBe('classifier');
    expect(decoded({}, 2).config).toMatchObject({ targets: { names: ['LABEL_0', 'LABEL_1'] } });
    expect(decoded({ ...labels, problem_type: 'multi_label_classification' }, 3).kind).toBe('multi-label-classifier');
    expect(decoded({ ...labels, problem_type: 'regression' }, 3).kind).toBe('regressor');
    expect(decoded(one, 1).kind).toBe('regressor');
    const cranes = { id2label: { 0: 'crane', 1: 'heron', 2: 'crane' } };
    expect(decoded(cranes, 3).config).toMatchObject({ targets: { names: ['crane (0)', 'heron', 'crane (2)'] } });
  });

  test.each<[string, object, RegExp]>([
    [
      'that are not numbered from 0',
      { id2label: { 1: 'a', 2: 'b' } },
      /id2label to name the outputs 0 to 1, got 2: 1, 2/,
    ],
    ['of another number than is said', { ...labels, _num_labels: 5 }, /outputs 0 to 4, got 3/],
    ['of another problem', { ...labels, problem_type: 'ranking' }, /problem_type/],
  ])('%s are refused', (_, change, message) => {
    expect(() => decoded(change, 3)).toThrow(expect.objectContaining({ code: 'CONFIG' }));
    expect(() => decoded(change, 3)).toThrow(message);
  });

  test('of another number than the head has outputs are refused with the tensor', () => {
    expect(() => decoded(labels, 2)).toThrow(/classifier.weight to be of 32 or 16 bits and \[3, 32\].*\[2, 32\]/);
  });
});

describe('a classifier with a tokenizer', () => {
  const [config, tensors] = [
    { ...jsonOf('bert-mlm', 'config.json'), ...labels, architectures: ['BertForSequenceClassification'] },
    withHeads('bert-mlm', { 'bert.pooler.dense': [32, 32], classifier: [32, 3] }),
  ];

  test('reads a text within [CLS] and [SEP], and tells it by the first of them', async () => {
    const model = await loadModel(filesOf(config, tensors, { 'tokenizer.json': wordPieceFile() }));
    if (model.kind !== 'classifier') throw new Error(model.kind);
    const { linear } = layersOf(tensors);
    const text = [2, 5, 6, 7, 3]; // [CLS] the cat sat [SEP]
    const [pooled] = linear('bert.pooler.dense', bertHidden(twinNames.bert, tensors, text).slice(0, 1));
    const [logits] = linear('classifier', [pooled!.map(Math.tanh)]);
    const total = logits!.reduce((sum, value) => sum + Math.exp(value), 0);
    const [told] = await model.classify(['the cat sat']);
    const expected = Object.entries(labels.label2id).map(
      ([label, at]) => [label, Math.exp(logits![at]!) / total] as const,
    );
    for (const [label, probability] of expected) expect(told!.probabilities[label]).toBeCloseTo(probability, 5);
    await model.dispose();
  });

  test('that sets no tokens around texts is refused', async () => {
    const { post_processor: _, ...bare } = wordPieceFile();
    const loading = loadModel(filesOf(config, tensors, { 'tokenizer.json': bare }));
    await expect(loading).rejects.toThrow(/framed: expected a tokenizer that sets tokens around texts/);
  });
});
