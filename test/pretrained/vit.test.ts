/** An imported ViT gives what the original gives, and reads images as its preprocessor_config.json says, or refuses it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { specsOf } from '../../src/graph/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel, encodeModel, type LoadedModel, type ModelInputs } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';
import { pixelScale } from '../../src/pretrained/index.js';
import { mutationsOf, readOrRefuse } from '../interop/mutations.js';

const folder = fileURLToPath(new URL('../golden/pretrained/vit', import.meta.url));
const engine = nodeEngine({ threads: 1 });
const temporary = mkdtempSync(join(tmpdir(), 'vit-'));
afterAll(() => rmSync(temporary, { recursive: true }));

type Nested = readonly (number | Nested)[];
const flat = (values: Nested): number[] => values.flat(4) as number[];
const { inputs, outputs } = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as {
  readonly inputs: { readonly pixel_values: readonly number[][][][] };
  readonly outputs: { readonly logits: number[][]; readonly hidden_states: readonly number[][][][] };
};
const configOf = (change: object = {}) => ({
  ...JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')),
  ...change,
});
const tensorsOf = () =>
  new Map(decodeSafetensors(folder, readFileSync(join(folder, 'model.safetensors'))).tensors) as Map<
    string,
    AnyHostTensor
  >;

function decode(config: object, tensors: ReadonlyMap<string, AnyHostTensor>, preprocessor?: object): LoadedModel {
  return decodeModel(
    new Map<string, Uint8Array>([
      ['config.json', Buffer.from(JSON.stringify(config))],
      ['model.safetensors', Buffer.concat(encodeSafetensors(tensors))],
      ...(preprocessor ? [['preprocessor_config.json', Buffer.from(JSON.stringify(preprocessor))] as const] : []),
    ]),
  );
}

/** What the model gives for the golden images, of which these are the pixels that it scales to the original's inputs. */
async function given({ model, params, buffers }: LoadedModel, means = [0.5, 0.5, 0.5], deviations = means) {
  const pixels = inputs.pixel_values.flatMap((channels) =>
    channels[0]!.flatMap((row, y) =>
      row.flatMap((_, x) => channels.map((channel, c) => channel[y]![x]! * deviations[c]! + means[c]!)),
    ),
  );
  const images = float32([2, 12, 12, 3], pixels);
  const run = await engine.compile(
    (learned: object, fixed: object, own: ModelInputs) => {
      const { output, hidden } = model.apply({ params: learned, buffers: fixed }, own);
      return { output, hidden };
    },
    [specsOf(params), specsOf(buffers), specsOf({ images })] as never,
  );
  const found = (await run.run([params, buffers, { images }] as never)) as Record<
    'output' | 'hidden',
    { data: Float32Array }
  >;
  await run.dispose();
  return found;
}

function expectClose(found: ArrayLike<number>, expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  for (const [at, value] of expected.entries()) expect(Math.abs(found[at]! - value)).toBeLessThan(1e-5);
}

describe('a ViT', () => {
  test('gives the logits and hidden layers of the original, and so does its folder of ours', async () => {
    const loaded = await loadModel(folder);
    expect(loaded.model.config).toMatchObject({ model: 'image-classifier', pooling: 'class-token', patch: 4 });
    const found = await given(loaded);
    expectClose(found.output.data, flat(outputs.logits));
    expectClose((await given(decodeModel(encodeModel(loaded)))).output.data, flat(outputs.logits));
  });

  test('reads pixels with the means and deviations of its preprocessor_config.json', async () => {
    const [image_mean, image_std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const size = { height: 12, width: 12 };
    const own = { image_processor_type: 'ViTImageProcessor', do_rescale: true, rescale_factor: 1 / 255, size };
    const loaded = decode(configOf(), tensorsOf(), { ...own, image_mean, image_std, resample: 2, do_resize: true });
    expectClose((await given(loaded, image_mean, image_std)).output.data, flat(outputs.logits));
    const plain = decode(configOf(), tensorsOf(), { ...own, do_normalize: false });
    expectClose((await given(plain, [0, 0, 0], [1, 1, 1])).output.data, flat(outputs.logits));
  });

  test('from a disk has the preprocessor_config.json that lies there', async () => {
    const place = join(temporary, 'own');
    cpSync(folder, place, { recursive: true });
    const own = { size: 12, image_mean: [0, 0, 0], image_std: [1, 1, 1] };
    writeFileSync(join(place, 'preprocessor_config.json'), JSON.stringify(own));
    const { model } = await loadModel(place);
    expect(model.config).toMatchObject({ pixels: { means: [0, 0, 0], deviations: [1, 1, 1] } });
  });

  test('without a head has zeros for it, which a note names, and the layers of the original', async () => {
    const tensors = tensorsOf();
    const bare = new Map([...tensors].filter(([name]) => name.startsWith('vit.')));
    const place = join(temporary, 'bare');
    cpSync(folder, place, { recursive: true });
    writeFileSync(join(place, 'config.json'), JSON.stringify(configOf({ architectures: ['ViTModel'] })));
    const pooler = { 'pooler.dense.weight': float32([32, 32], new Float32Array(1024)) };
    const file = new Map([...bare].map(([name, tensor]) => [name.slice('vit.'.length), tensor]));
    for (const [name, tensor] of Object.entries(pooler)) file.set(name, tensor);
    writeFileSync(join(place, 'model.safetensors'), Buffer.concat(encodeSafetensors(file)));
    const notes: string[] = [];
    const loaded = await loadModel(place, { onNote: (note) => notes.push(note) });
    expect(notes.join('\n')).toMatch(/pooler\.dense\.weight is left out[\s\S]*head\.weight is 0/);
    const [bareRun, whole] = [await given(loaded), await given(await loadModel(folder))];
    expect(bareRun.output.data.every((value) => value === 0)).toBe(true);
    expect(bareRun.hidden.data).toEqual(whole.hidden.data);
  });

  test.each<[string, object, object, RegExp]>([
    ['another size', { size: { height: 24, width: 12 } }, {}, /size of the model's images, 12×12, got 24×12/],
    ['a crop', { do_center_crop: true }, {}, /preprocessor_config\.json.*do_center_crop/],
    ['another factor', { rescale_factor: 1 / 127.5 }, {}, /rescale_factor 1\/255/],
    ['pixels as bytes', { do_rescale: false }, {}, /do_rescale/],
    ['means of one channel', { image_mean: [0.5] }, {}, /image_mean of 3 channels, got 1/],
    ['another processor', { image_processor_type: 'BitImageProcessor' }, {}, /image_processor_type/],
    ['an unknown step', { do_flip: true }, {}, /do_flip/],
    ['labels of which there are several', {}, { problem_type: 'multi_label_classification' }, /problem_type/],
    ['patches that do not divide it', {}, { patch_size: 5 }, /divisor of the images' 12×12 pixels/],
    ['two channels', {}, { num_channels: 2 }, /num_channels/],
  ])('with %s is refused', (_, preprocessor, change, message) => {
    expect(() => decode(configOf(change), tensorsOf(), preprocessor)).toThrow(
      expect.objectContaining({ code: 'CONFIG' }),
    );
    expect(() => decode(configOf(change), tensorsOf(), preprocessor)).toThrow(message);
  });

  test('has a preprocessor_config.json that, damaged in 10,000 ways, is read or refused', () => {
    const own = { image_processor_type: 'ViTImageProcessor', size: { height: 12, width: 12 }, do_rescale: true };
    const whole = { ...own, rescale_factor: 1 / 255, image_mean: [0.4, 0.5, 0.6], image_std: [0.2, 0.2, 0.3] };
    const lengths = new Set<number>();
    for (const bytes of mutationsOf(Buffer.from(JSON.stringify(whole)), 10_000, 5)) {
      let content: unknown;
      try {
        content = JSON.parse(new TextDecoder().decode(bytes));
      } catch {
        continue;
      }
      const found = readOrRefuse(() => pixelScale(content, { height: 12, width: 12, channels: 3 }), 'CONFIG');
      for (const list of Object.values(found ?? {})) lengths.add(list.length);
    }
    expect([...lengths]).toEqual([3]);
  });
});
