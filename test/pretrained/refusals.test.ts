/** What is not understood of a pretrained model is an error that names it, and damaged indices crash nothing. */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, int32 } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';
import { isPretrained, pretrainedModel, sentenceFiles, sentenceVectors, shardsOf } from '../../src/pretrained/index.js';
import { mutationsOf, readOrRefuse } from '../interop/mutations.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const read = (...path: string[]) => readFileSync(join(golden, ...path));
const configOf = (name: string) => JSON.parse(read(name, 'config.json').toString()) as Record<string, unknown>;
type Tensors = Map<string, AnyHostTensor>;
const temporary = mkdtempSync(join(tmpdir(), 'pretrained-'));
afterAll(() => rmSync(temporary, { recursive: true }));

/** A model of files in memory with a changed config and changed tensors. */
function decode(
  name: string,
  config: object,
  change: (tensors: ReturnType<typeof tensorsOf>) => void = () => undefined,
) {
  const tensors = tensorsOf(name);
  change(tensors);
  const file = Buffer.concat(encodeSafetensors(tensors));
  const text = JSON.stringify({ ...configOf(name), ...config });
  return decodeModel(
    new Map<string, Uint8Array>([
      ['config.json', Buffer.from(text)],
      ['model.safetensors', file],
    ]),
  );
}
const tensorsOf = (name: string) => decodeSafetensors(name, read(name, 'model.safetensors')).tensors;

describe('a config', () => {
  test.each<[string, string, object, RegExp]>([
    ['of another family', 'gpt2', { model_type: 'mamba' }, /config.json: expected model_type of gpt2.*got mamba/],
    ['of another head', 'gpt2', { architectures: ['GPT2ForTokenClassification'] }, /got GPT2ForTokenClassification/],
    ['of no family', 'gpt2', { model_type: undefined }, /config.json: expected model_type of gpt2.*, got none\./],
    [
      'with an unknown field',
      'llama',
      { logit_soft_cap: 30 },
      /expected settings of llama that are understood, got .*"logit_soft_cap"\. Other models are not understood\./,
    ],
    ['with another scaling', 'llama', { rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_scaling/],
    ['with scaled layers', 'gpt2', { scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx/],
    ['with a window', 'qwen2', { use_sliding_window: true }, /use_sliding_window/],
    ['with relative positions', 'bert-mlm', { position_embedding_type: 'relative_key' }, /position_embedding_type/],
    ['of a decoder', 'bert-mlm', { is_decoder: true }, /is_decoder/],
    ['with another activation than its head', 'roberta', { hidden_act: 'relu' }, /hidden_act/],
    ['of positions that are not rotary', 'esm2', { position_embedding_type: 'absolute' }, /position_embedding_type/],
    ['with a mask elsewhere', 'esm2', { mask_token_id: 3 }, /mask_token_id/],
    ['with an untied head', 'distilbert', { tie_word_embeddings: false }, /tie_word_embeddings/],
    ['with two bases', 'gpt-neox', { rope_theta: 5 }, /rope_theta 5/],
    ['of a causal order', 'performer-bidirectional', { causal: true }, /causal/],
    ['without a projection', 'performer-bidirectional', { no_projection: true }, /no_projection/],
    ['with local heads', 'performer-bidirectional', { local_attn_heads: 1 }, /local_attn_heads/],
    ['with ScaleNorm', 'performer-bidirectional', { use_scalenorm: true }, /use_scalenorm: .* got true/],
    ['with shifted tokens', 'performer-bidirectional', { shift_tokens: true }, /shift_tokens/],
    [
      'with axial positions of three axes',
      'performer-axial',
      { axial_position_shape: [4, 2, 4] },
      /axial_position_shape/,
    ],
    ['with cross-attention', 'performer-bidirectional', { cross_attend: true }, /cross_attend/],
    ['with another kernel', 'performer-bidirectional', { kernel_fn: 'sigmoid' }, /kernel_fn/],
  ])('%s is refused', (_, name, change, message) => {
    expect(() => decode(name, change)).toThrow(expect.objectContaining({ code: 'CONFIG' }));
    expect(() => decode(name, change)).toThrow(message);
  });
});

describe('tensors', () => {
  const first = 'transformer.h.0.ln_1.weight';
  test.each<[string, (tensors: ReturnType<typeof tensorsOf>) => void, RegExp]>([
    ['that are missing', (all) => all.delete(first), /expected a tensor h.0.ln_1.weight \[32\], got none/],
    [
      'that are there twice',
      (all) => all.set('h.0.ln_1.weight', all.get(first)!),
      /expected one tensor h.0.ln_1.weight/,
    ],
    [
      'of another shape',
      (all) => all.set(first, all.get('transformer.wte.weight')!),
      /ln_1.weight to be of .*got float32 \[63/,
    ],
    ['that are not understood', (all) => all.set('adapter.weight', all.get(first)!), /adapter.weight, which is not/],
    ['of more layers', (all) => all.set('transformer.h.2.attn.bias', all.get(first)!), /h.2.attn.bias, which is not/],
    [
      'with a number that is not finite',
      (all) => all.set(first, float32([32], new Array(32).fill(Number.NaN))),
      /finite numbers in "transformer.h.0.ln_1.weight"/,
    ],
    [
      'of an untied head',
      (all) => all.set('lm_head.weight', all.get('transformer.wpe.weight')!),
      /lm_head.weight to equal/,
    ],
  ])('%s are refused', (_, change, message) => {
    expect(() => decode('gpt2', {}, change)).toThrow(message);
  });
});

describe('an index', () => {
  const index = () => JSON.parse(read('llama3-bf16-sharded', 'model.safetensors.index.json').toString());
  const folder = (name: string, weightMap: object) => {
    const place = join(temporary, name);
    cpSync(join(golden, 'llama3-bf16-sharded'), place, { recursive: true });
    writeFileSync(join(place, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
    return place;
  };

  test.each([
    '../x.safetensors',
    '/etc/x.safetensors',
    'a\\x.safetensors',
    'x.bin',
    '.safetensors',
    7,
    'a/x.safetensors',
  ])('that leads to %s is refused', (file) =>
    expect(() => shardsOf('index', { weight_map: { w: file } })).toThrow(/expected a file of this folder/),
  );

  test('that names a file which is missing, or tensors that a file has not, or not all that it has, is refused', async () => {
    const { weight_map: map } = index();
    const norm = 'model.norm.weight';
    const gone = Object.fromEntries(
      Object.entries(map).map(([name, file]) => [name, file === map[norm] ? 'gone.safetensors' : file]),
    );
    await expect(loadModel(folder('gone', gone))).rejects.toThrow(/gone.safetensors/);
    await expect(loadModel(folder('more', { ...map, none: map[norm] }))).rejects.toThrow(/the tensor "none"/);
    const { [norm]: _, ...rest } = map;
    const shard = rest['model.embed_tokens.weight'];
    const moved = { ...rest, [norm]: shard };
    await expect(loadModel(folder('moved', moved))).rejects.toThrow(/the tensor "model.norm.weight"/);
  });

  test('is compared with all files and the model before a tensor is read', async () => {
    const { weight_map: map } = index();
    const [first, second] = [...new Set(Object.values(map) as string[])].sort() as [string, string];
    const refused = async (name: string, file: string, change: (tensors: Tensors) => void, more: object = {}) => {
      const place = folder(name, { ...map, ...more });
      const { tensors } = decodeSafetensors(file, readFileSync(join(place, file)));
      change(tensors as Tensors);
      writeFileSync(join(place, file), Buffer.concat(encodeSafetensors(tensors)));
      return loadModel(place);
    };
    const norm = Object.keys(map).find((each) => map[each] === second && each.endsWith('norm.weight'))!;
    await expect(refused('unnamed', second, (all) => all.set('extra', all.get(norm)!))).rejects.toThrow(
      /00002-of-00002.*expected tensors that the index names for it, got "extra"/,
    );
    const whole = int32([1], [3]);
    await expect(refused('dtype', second, (all) => all.set(norm, whole))).rejects.toThrow(
      /norm\.weight to be of 32 or/,
    );
    const short = float32([1], [3]);
    await expect(refused('shape', second, (all) => all.set(norm, short))).rejects.toThrow(/got float32 \[1\]/);
    const unknown = refused('unknown', second, (all) => all.set('adapter', short), { adapter: second });
    await expect(unknown).rejects.toThrow(/adapter, which is not understood/);
    // A file of 2³⁶ bytes, which has no room anywhere, would fail otherwise were it read.
    const place = folder('huge', { ...map, huge: first });
    const bytes = readFileSync(join(place, first));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    const end = bytes.length - 8 - length;
    header.huge = { dtype: 'F32', shape: [2 ** 34], data_offsets: [end, end + 2 ** 36] };
    const own = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(own.length));
    writeFileSync(join(place, first), Buffer.concat([size, own, bytes.subarray(8 + length)]));
    truncateSync(join(place, first), 8 + own.length + end + 2 ** 36);
    await expect(loadModel(place)).rejects.toThrow(/huge, which is not understood/);
    rmSync(place, { recursive: true });
  });

  test('beside one file of weights is refused, as nobody knows which counts', async () => {
    const place = folder('both', index().weight_map);
    cpSync(join(place, 'model-00001-of-00002.safetensors'), join(place, 'model.safetensors'));
    await expect(loadModel(place)).rejects.toThrow(/expected one source of weights, got both model\.safetensors and/);
    const files = ['config.json', 'model.safetensors', 'model.safetensors.index.json'];
    const inMemory = new Map<string, Uint8Array>(files.map((name) => [name, readFileSync(join(place, name))]));
    expect(() => decodeModel(inMemory)).toThrow(/expected one source of weights/);
  });

  test('whose files are cut short is refused', async () => {
    const place = folder('cut', index().weight_map);
    const file = join(place, 'model-00002-of-00002.safetensors');
    writeFileSync(file, readFileSync(file).subarray(0, -100));
    await expect(loadModel(place)).rejects.toThrow(expect.objectContaining({ code: 'CHECKPOINT' }));
  });
});

test('a folder whose weights are of another kind of file is refused with what is read', async () => {
  const place = join(temporary, 'pytorch');
  cpSync(join(golden, 'gpt2'), place, { recursive: true });
  renameSync(join(place, 'model.safetensors'), join(place, 'pytorch_model.bin'));
  await expect(loadModel(place)).rejects.toThrow(
    /pytorch: expected model\.safetensors, or .*index\.json with .*, got neither.*pytorch_model\.bin, are not read/,
  );
});

describe('damaged in 10,000 ways, and read or refused, is', () => {
  const parsed = (bytes: Uint8Array): unknown => {
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return undefined;
    }
  };
  const count = 10_000;

  test('an index, whose files are of the folder', () => {
    const whole = read('llama3-bf16-sharded', 'model.safetensors.index.json');
    const files = new Set<string>();
    for (const bytes of mutationsOf(Buffer.from(JSON.stringify(parsed(whole))), count, 1)) {
      const shards = readOrRefuse(() => shardsOf('index', parsed(bytes)));
      for (const file of shards?.keys() ?? []) files.add(file);
    }
    for (const file of files) expect(file).toMatch(/^\w[\w.-]*$/);
  });

  const classes = { id2label: { 0: 'calm', 1: 'loud' }, problem_type: 'single_label_classification', num_labels: 2 };
  const heads = { ...classes, architectures: ['DistilBertForSequenceClassification'] };
  test.each<[string, object]>([
    ['llama3-bf16-sharded', {}],
    ['bert-mlm', {}],
    ['roberta', {}],
    ['distilbert', heads],
    ['esm2', {}],
    ['vit', {}],
    ['t5', {}],
    ['performer-no-projection', {}],
  ])('the config of %s', (name, change) => {
    const whole = Buffer.from(JSON.stringify({ ...configOf(name), ...change }));
    for (const bytes of mutationsOf(whole, count, 2)) {
      const content = parsed(bytes);
      if (isPretrained(content)) readOrRefuse(() => pretrainedModel('config', content), 'CONFIG');
    }
  });

  const names = ['modules.json', 'sentence_bert_config.json', '1_Pooling/config.json'];
  test.each(names)('%s, which says what makes a vector of a text', (name) => {
    const whole = new Map<string, unknown>(names.map((each) => [each, parsed(read('minilm', each))]));
    const [poolings, files] = [new Set<string>(), new Set<string>()];
    for (const bytes of mutationsOf(read('minilm', name), count, 3)) {
      const content = new Map([...whole, [name, parsed(bytes)]]);
      const vectors = readOrRefuse(() => sentenceVectors((each) => content.get(each as string), 32));
      if (vectors !== undefined) poolings.add(vectors.pooling!);
      for (const file of sentenceFiles(content.get('modules.json'))) files.add(file);
    }
    for (const pooling of poolings) expect(['mean', 'first', 'last']).toContain(pooling);
    for (const file of files) expect(file).toMatch(/^[\w.-]*(\/config)?\.json$/);
  });
});
