/** Folders of sentence-transformers: pooling, normalisation and length are read, and `embed` has them unless asked otherwise. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadModel } from '../../src/index.js';

const folder = fileURLToPath(new URL('../golden/pretrained/minilm', import.meta.url));
const json = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const names = [
  'config.json',
  'model.safetensors',
  'modules.json',
  'sentence_bert_config.json',
  '1_Pooling/config.json',
];

/** The files of the folder, some of them with another content. */
function filesOf(changed: Readonly<Record<string, unknown>> = {}) {
  const files = new Map<string, Uint8Array>(names.map((name) => [name, readFileSync(join(folder, name))]));
  for (const [name, value] of Object.entries(changed)) files.set(name, Buffer.from(JSON.stringify(value)));
  return files;
}

interface Case {
  readonly inputs: { readonly input_ids: number[][]; readonly attention_mask: number[][] };
  readonly outputs: { readonly sentence_embedding: number[][] };
}

test.each([['a folder'], ['files in memory']])(
  'the vectors of the original are those of embed, from %s',
  async (from) => {
    const model = await loadModel(from === 'a folder' ? folder : filesOf(), { kind: 'encoder' });
    expect(model.config.vectors).toEqual({ pooling: 'mean', normalize: true, window: 24 });
    const { more = [], ...main } = json('golden.json') as Case & { more?: Case[] };
    for (const { inputs, outputs } of [main, ...more]) {
      const texts = inputs.input_ids.map((row, at) =>
        row.filter((_, place) => inputs.attention_mask[at]![place] === 1),
      );
      const found = await model.embed(texts);
      for (const [at, vector] of outputs.sentence_embedding.entries()) {
        for (const [index, value] of vector.entries()) expect(Math.abs(value - found[at]![index]!)).toBeLessThan(1e-5);
      }
    }
    const [plain] = await model.embed([[1, 2, 3]], { normalize: false, pooling: 'first' });
    expect(Math.hypot(...plain!)).not.toBeCloseTo(1, 1);
    const long = Array.from({ length: 30 }, (_, at) => at + 1);
    expect(await model.embed([long])).toEqual(await model.embed([long.slice(0, 24)]));
    expect(await model.embed([long], { window: 5 })).toEqual(await model.embed([long.slice(0, 5)]));
  },
);

test('a class token and a last token are poolings, too', async () => {
  const pooling = { ...json('1_Pooling/config.json'), pooling_mode_mean_tokens: false };
  for (const [field, kind] of [
    ['pooling_mode_cls_token', 'first'],
    ['pooling_mode_lasttoken', 'last'],
  ]) {
    const files = filesOf({
      '1_Pooling/config.json': { ...pooling, [field!]: true },
      'modules.json': json('modules.json').slice(0, 2),
    });
    const model = await loadModel(files, { kind: 'encoder' });
    expect(model.config.vectors).toMatchObject({ pooling: kind, normalize: false });
  }
});

describe('an error names the file and the field', () => {
  const modules = json('modules.json');
  const pooling = json('1_Pooling/config.json');
  const dense = { ...modules[2], type: 'sentence_transformers.models.Dense' };
  test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    ['of another module', { 'modules.json': [...modules.slice(0, 2), dense] }, /modules\.json: .*2\.type/],
    [
      'of modules in another order',
      { 'modules.json': [modules[1], modules[0]] },
      /modules\.json: .*got Pooling, Transf/,
    ],
    ['of a module elsewhere', { 'modules.json': [modules[0], { ...modules[1], path: '../x' }] }, /1\.path/],
    [
      'of two poolings',
      { '1_Pooling/config.json': { ...pooling, pooling_mode_max_tokens: true } },
      /1_Pooling\/config\.json: .*got pooling_mode_mean_tokens, pooling_mode_max_tokens/,
    ],
    [
      'of small letters',
      { 'sentence_bert_config.json': { do_lower_case: true } },
      /sentence_bert_config.*do_lower_case/,
    ],
    [
      'of a prompt',
      { 'config_sentence_transformers.json': { default_prompt_name: 'query' } },
      /config_sentence_transformers\.json: .*default_prompt_name/,
    ],
  ])('%s', async (_, changed, message) => {
    await expect(loadModel(filesOf(changed))).rejects.toThrow(expect.objectContaining({ code: 'CHECKPOINT' }));
    await expect(loadModel(filesOf(changed))).rejects.toThrow(message);
  });
});
