/** The files of a model in memory: written and read without a disk, and refused where they are not what was written. */
import { describe, expect, it } from 'vitest';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel, encodeModel, languageModelConfig, modelConfig, modelOf } from '../../src/models/index.js';
import { snapshotOf, tinyModel } from '../support/tiny.js';

function someModel(attention?: 'softmax') {
  const { model, params, buffers } = snapshotOf(attention === undefined ? {} : { attention });
  return { model: modelOf(model), params, buffers };
}

describe('the files of a model', () => {
  it.each([['favor+', undefined] as const, ['softmax', 'softmax'] as const])(
    'with %s attention are read as they were written',
    (_, attention) => {
      const written = someModel(attention);
      const files = encodeModel(written);
      expect([...files.keys()].sort()).toEqual([
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'tokenizer.json',
      ]);
      const { model, params, buffers } = decodeModel(files);
      expect(model.config).toEqual(written.model.config);
      expect({ params, buffers }).toEqual({ params: written.params, buffers: written.buffers });
      expect(encodeModel({ model, params, buffers })).toEqual(files);
    },
  );

  it('of other origin, which keep no digest, are read with a note, and ours without one', () => {
    const notes: string[] = [];
    const onNote = (note: string) => void notes.push(note);
    const files = encodeModel(someModel());
    decodeModel(files, { onNote });
    expect(notes).toEqual([]);
    const { tensors } = decodeSafetensors('weights', files.get('model.safetensors')!);
    const chunks = encodeSafetensors(tensors).map((chunk) => Buffer.from(chunk));
    decodeModel(new Map([...files, ['model.safetensors', Buffer.concat(chunks)]]), { onNote });
    expect(notes).toEqual([
      expect.stringMatching(/^model\.safetensors: nothing tells whether .* no digest was kept\.$/),
    ]);
  });

  it('are refused where one is missing, is no JSON, or is of another model', () => {
    const files = encodeModel(someModel());
    const without = new Map(files);
    without.delete('model.safetensors');
    const failure = (changed: ReadonlyMap<string, Uint8Array>) => () => decodeModel(changed);
    expect(failure(without)).toThrow(/expected the file model\.safetensors, got tokenizer\.json, .*config\.json/);
    expect(failure(new Map())).toThrow(/expected the file config\.json, got none/);
    expect(failure(new Map([...files, ['config.json', new TextEncoder().encode('{')]]))).toThrow(
      /config\.json: expected JSON/,
    );
    const other = encodeModel({
      ...someModel(),
      model: modelOf(languageModelConfig({ ...tinyModel, tokenShift: 0 })),
    });
    const mixed = new Map([...files, ['config.json', other.get('config.json')!]]);
    expect(failure(mixed)).toThrow(/expected the tensors and the config\.json that were saved together/);
  });
});

describe('the config of a model', () => {
  const config = languageModelConfig(tinyModel);

  it('is its own options, whole', () => {
    expect(modelConfig(config)).toEqual(config);
  });

  it.each([1, 3, '2', null])('of version %j is refused, with what to do', (version) => {
    const read = () => modelConfig({ ...config, version }, 'here');
    expect(read).toThrow(/^here: expected version 2, got .*Train the model again/);
  });

  it('of a family that there is none of is refused', () => {
    expect(() => modelConfig({ ...config, model: 'oracle' })).toThrow(
      /expected one of causal-language-model.*, got oracle/,
    );
  });
});
