/** An imported T5 gives what the original gives, at once and token by token. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, int32 } from '../../src/base/index.js';
import { leavesOf } from '../../src/base/tree.js';
import { nodeEngine } from '../../src/engine/node.js';
import { GenerationSession } from '../../src/generation/index.js';
import { specsOf } from '../../src/graph/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel, encodeModel, type LoadedModel, type ModelInputs } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';

const folder = fileURLToPath(new URL('../golden/pretrained/t5', import.meta.url));
const engine = nodeEngine({ threads: 1 });

type Rows = readonly (readonly number[])[];
interface Case {
  readonly inputs: { readonly input_ids: Rows; readonly attention_mask: Rows; readonly decoder_input_ids: Rows };
  readonly outputs: { readonly logits: readonly Rows[] };
}
const { more, ...first } = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Case & { more: Case[] };
const cases = [first, ...more];
const configOf = (change: object = {}) => ({
  ...JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')),
  ...change,
});
const tensorsOf = () =>
  new Map(decodeSafetensors(folder, readFileSync(join(folder, 'model.safetensors'))).tensors) as Map<
    string,
    AnyHostTensor
  >;
const decode = (config: object, tensors: ReadonlyMap<string, AnyHostTensor>): LoadedModel =>
  decodeModel(
    new Map<string, Uint8Array>([
      ['config.json', Buffer.from(JSON.stringify(config))],
      ['model.safetensors', Buffer.concat(encodeSafetensors(tensors))],
    ]),
  );

async function logitsOf({ model, params, buffers }: LoadedModel, { inputs }: Case): Promise<Float32Array> {
  const { input_ids: source, attention_mask: mask, decoder_input_ids: tokens } = inputs;
  const given = {
    source: int32([2, source[0]!.length], source.flat()),
    sourceLengths: int32(
      [2],
      mask.map((row) => row.reduce((a, b) => a + b, 0)),
    ),
    tokens: int32([2, tokens[0]!.length], tokens.flat()),
  };
  const run = await engine.compile(
    (learned: object, fixed: object, own: ModelInputs) => ({
      found: model.apply({ params: learned, buffers: fixed }, own).output,
    }),
    [specsOf(params), specsOf(buffers), specsOf(given)] as never,
  );
  const { found } = (await run.run([params, buffers, given] as never)) as { found: { data: Float32Array } };
  await run.dispose();
  return found.data;
}

function expectClose(found: ArrayLike<number>, expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  for (const [at, value] of expected.entries()) expect(Math.abs(found[at]! - value)).toBeLessThan(1e-5);
}

describe('a T5', () => {
  test('gives the logits of the original, and so does its folder of ours', async () => {
    const loaded = await loadModel(folder);
    for (const each of cases) expectClose(await logitsOf(loaded, each), each.outputs.logits.flat(2));
    const again = decodeModel(encodeModel(loaded));
    expect(again.model.config).toEqual(loaded.model.config);
    expectClose(await logitsOf(again, first), first.outputs.logits.flat(2));
  });

  test('gives them token by token, in a session that has read the source', async () => {
    const loaded = await loadModel(folder);
    const session = await GenerationSession.create(engine, loaded, { batch: 2 });
    const { input_ids: source, attention_mask: mask, decoder_input_ids: tokens } = first.inputs;
    const length = (row: number) => mask[row]!.reduce((a, b) => a + b, 0);
    await session.readSource(source.map((row, at) => Int32Array.from(row.slice(0, length(at)))));
    for (let at = 0; at < tokens[0]!.length; at++) {
      await session.step(Int32Array.from(tokens.map((row) => row[at]!)));
      expectClose(
        session.logits,
        first.outputs.logits.flatMap((row) => row[at]!),
      );
    }
    await session.dispose();
  });

  test('with an own head has it without a scale, and with gates the approximation of gelu', () => {
    const tensors = tensorsOf();
    tensors.set('lm_head.weight', float32([62, 32], new Float32Array(62 * 32).fill(0.5)));
    const untied = decode(configOf({ tie_word_embeddings: false }), tensors).model.config;
    expect(untied).toMatchObject({ tiedEmbedding: false, logitsBias: false, logitsScale: undefined });
    expect(() => decode(configOf(), tensors)).toThrow(/lm_head.weight to equal shared.weight/);
    for (const stack of ['encoder', 'decoder']) {
      for (const layer of [0, 1]) {
        const name = `${stack}.block.${layer}.layer.${stack === 'encoder' ? 1 : 2}.DenseReluDense.wi`;
        tensors.set(`${name}_0.weight`, tensors.get(`${name}.weight`)!);
        tensors.set(`${name}_1.weight`, float32([48, 32], new Float32Array(48 * 32).fill(0.5)));
        tensors.delete(`${name}.weight`);
      }
    }
    tensors.delete('lm_head.weight');
    const gated = { feed_forward_proj: 'gated-gelu', dense_act_fn: 'gelu_new', is_gated_act: true };
    const { model, params } = decode(configOf(gated), tensors);
    expect(model.config).toMatchObject({ activation: 'geglu-tanh' });
    const weights = new Map(leavesOf<object, { readonly data: Float32Array }>(params));
    expect(new Set(weights.get('blocks.0.feedForward.expand.weight')!.data)).toEqual(new Set([0.5]));
    const gate = tensors.get('decoder.block.0.layer.2.DenseReluDense.wi_0.weight')!.data;
    expect(weights.get('blocks.0.feedForward.gate.weight')!.data[1]).toBe(gate[32]);
  });

  test.each<[string, object, RegExp]>([
    ['another activation than its layers say', { dense_act_fn: 'gelu_new' }, /dense_act_fn.*relu/],
    ['an unknown activation', { feed_forward_proj: 'gated-tanh' }, /feed_forward_proj/],
    ['a decoder alone', { is_encoder_decoder: false }, /is_encoder_decoder/],
    ['distances within its exact buckets', { relative_attention_max_distance: 16 }, /relativeDistance/],
    ['buckets that are not halved twice', { relative_attention_num_buckets: 30 }, /relativeBuckets/],
    ['a field that is not known', { use_memory: true }, /use_memory/],
    ['another head', { architectures: ['T5EncoderModel'] }, /T5EncoderModel/],
  ])('with %s is refused', (_, change, message) => {
    expect(() => decode(configOf(change), tensorsOf())).toThrow(expect.objectContaining({ code: 'CONFIG' }));
    expect(() => decode(configOf(change), tensorsOf())).toThrow(message);
  });
});
