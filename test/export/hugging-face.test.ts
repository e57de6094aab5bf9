/** Pretrained models that were read go out as they came in, and models of ours where an architecture can say them. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { leavesOf } from '../../src/base/index.js';
import { toHuggingFace } from '../../src/export/index.js';
import { encodeSafetensors, parseSafetensorsHeader, safetensorsHeaderLength } from '../../src/interop/index.js';
import { loadModel } from '../../src/models/node.js';
import { performer, temporaryFolder } from '../cli/support.js';
import { randomModel } from '../support/model-conformance.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const names = [
  ...['gpt2', 'gpt2-hub', 'llama', 'llama3-bf16-sharded', 'mistral', 'qwen2'],
  ...['gpt-neox', 'gpt-neox-sequential', 'pythia-f16'],
];

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

/** What follows from the config: masks and angles. */
const isDerived = (name: string) => /\.attn\.(masked_)?bias$|attention\.(masked_)?bias$|inv_freq$/.test(name);

function expectSame(own: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): void {
  const needed = [...theirs].filter(([name]) => !isDerived(name));
  expect([...own.keys()].sort()).toEqual(needed.map(([name]) => name).sort());
  for (const [name, tensor] of needed) expect(own.get(name) === tensor, name).toBe(true);
}

const configOf = async (folder: string) => JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

describe.each(names)('%s', (name) => {
  const source = join(golden, name);

  test('goes out of its own folder with every byte of its weights and its config', async () => {
    const out = join(await temporaryFolder(), 'out');
    const told = await performer(['export', source, '--hugging-face', out]);
    expect(told).toMatchObject({ code: 0, out: expect.stringContaining('out: ') });
    expectSame(await rawTensors(out), await rawTensors(source));
    expect(await readFile(join(out, 'config.json'))).toEqual(await readFile(join(source, 'config.json')));
    expect(await readdir(out)).not.toContain('model.safetensors.index.json');
  });

  test('goes out of a folder of ours with a config that says the same model, and its weights', async () => {
    const folder = await temporaryFolder();
    const [ours, out] = [join(folder, 'ours'), join(folder, 'out')];
    expect(await performer(['import', source, '--out', ours])).toMatchObject({ code: 0 });
    const { torch_dtype: dtype = 'float32' } = await configOf(source);
    expect(await performer(['export', ours, '--hugging-face', out, '--dtype', dtype])).toMatchObject({ code: 0 });
    expectSame(await rawTensors(out), await rawTensors(source));
    expect(await configOf(out)).toMatchObject({ torch_dtype: dtype });
    const [before, after] = [await loadModel(source), await loadModel(out)];
    const own = ({ tokenizer: _, ...config }: object & { tokenizer?: unknown }) => ({ ...config, keyHeads: undefined });
    expect(own(after.model.config)).toEqual(own(before.model.config));
  });
});

test('weights that changed are written, and float32 is kept where 16 bits would change them', async () => {
  const loaded = await loadModel(join(golden, 'llama3-bf16-sharded'));
  const from = await configOf(join(golden, 'llama3-bf16-sharded'));
  expect(toHuggingFace(loaded, { from })).toMatchObject({ dtype: 'bfloat16', config: from });
  const [, leaf] = leavesOf(loaded.params)[0] as [string, { data: Float32Array }];
  leaf.data[3] = 0.1;
  const changed = toHuggingFace(loaded, { from });
  expect(changed.dtype).toBe('float32');
  expect([...changed.tensors.values()].some(({ data }) => data.includes(Math.fround(0.1)))).toBe(true);
});

test('a family that is read alone is refused', async () => {
  const folder = join(golden, 'bert-model');
  const loaded = await loadModel(folder);
  const from = await configOf(folder);
  expect(() => toHuggingFace(loaded, { from })).toThrow(/one of gpt2, llama, mistral, qwen2, gpt_neox, got a bert/);
});

describe('a model of ours', () => {
  const sizes = { tokenShift: false, attention: 'softmax' };
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

  test.each([
    [
      'attention that is linear',
      { ...asLlama, attention: 'favor+' },
      /got one with attention \{"kind":"favor\+".*\}, which llama/,
    ],
    ['memory tokens', { ...asGpt2, memoryTokens: 2 }, /got one with memoryTokens 2, which gpt2 cannot say/],
    ['token shift', { ...asGpt2, tokenShift: true }, /got one with tokenShift true, which gpt2 cannot say/],
  ] as const)('with %s is refused, which is named', (_, options, message) => {
    expect(() => toHuggingFace(randomModel('causal-language-model', options))).toThrow(message);
  });

  test('of another family is refused', () => {
    const loaded = randomModel('encoder', { attention: 'softmax' });
    expect(() => toHuggingFace(loaded)).toThrow(/model "encoder"/);
  });
});
