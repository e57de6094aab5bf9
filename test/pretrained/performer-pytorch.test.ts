/** Models of performer-pytorch give what a twin in float64 gives, which goldens of the original hold where we refuse the model, too. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, int32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { GenerationSession } from '../../src/generation/index.js';
import { specsOf } from '../../src/graph/index.js';
import { encodeSafetensors } from '../../src/interop/index.js';
import { decodeModel, encodeModel, type LoadedModel, type ModelInputs } from '../../src/models/index.js';
import { type PerformerArguments, performerFolder, performerLogits } from '../support/performer-lm.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const engine = nodeEngine({ threads: 1 });
const tokens = Array.from({ length: 20 }, (_, at) => (at * 17 + 5) % 60);

interface Case {
  readonly inputs: {
    readonly input_ids: readonly (readonly number[])[];
    readonly mask?: readonly (readonly number[])[];
  };
  readonly outputs: { readonly logits: readonly (readonly (readonly number[])[])[] };
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, at) => {
    const difference = Math.abs(value - b[at]!);
    return difference <= most ? most : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }, 0);
}

test.each([
  ...['performer-bidirectional', 'performer-glu', 'performer-relu'],
  ...['performer-no-projection', 'performer-axial', 'performer-reversible'],
])('the twin gives the logits of the original for %s', (name) => {
  const { config, tensors } = performerFolder(join(golden, name));
  const { more = [], ...main } = JSON.parse(readFileSync(join(golden, name, 'golden.json'), 'utf8'));
  for (const { inputs, outputs } of [main, ...more] as readonly Case[]) {
    inputs.input_ids.forEach((row, at) => {
      if (inputs.mask?.[at]?.includes(0)) return;
      const found = performerLogits(config, tensors, row).flat();
      expect(largestDifference(found, outputs.logits[at]!.flat())).toBeLessThan(1e-5);
    });
  }
});

function decode(config: object, tensors: ReadonlyMap<string, AnyHostTensor>): LoadedModel {
  return decodeModel(
    new Map<string, Uint8Array>([
      ['config.json', Buffer.from(JSON.stringify(config))],
      ['model.safetensors', Buffer.concat(encodeSafetensors(tensors))],
    ]),
  );
}

async function logitsOf({ model, params, buffers }: LoadedModel): Promise<Float32Array> {
  const given = { tokens: int32([1, tokens.length], tokens) };
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

describe('the logits of the twin are those of', () => {
  const expectTwin = async (config: PerformerArguments, tensors: Map<string, AnyHostTensor>, loaded: LoadedModel) => {
    const expected = performerLogits(config, tensors, tokens).flat();
    expect(largestDifference(await logitsOf(loaded), expected)).toBeLessThan(1e-5);
  };

  test.each([
    ['a model with rotary positions, gates and biases', 'performer-glu'],
    ['generalised attention, whose file has every layer twice', 'performer-relu'],
    ['axial positions', 'performer-axial'],
    ['two streams', 'performer-reversible'],
  ])('%s', async (_, name) => {
    const { config, tensors } = performerFolder(join(golden, name));
    const own = { ...config, causal: false };
    await expectTwin(own, tensors, decode(own, tensors));
  });

  test('a model with ReZero in a wrapper', async () => {
    const { config, tensors } = performerFolder(join(golden, 'performer-glu'));
    for (const name of [...tensors.keys()])
      if (name.includes('layers') && name.includes('.norm.')) tensors.delete(name);
    for (const [at, part] of ['0.0', '0.1', '1.0', '1.1'].entries()) {
      tensors.set(`performer.net.layers.${part}.g`, float32([], [0.3 - 0.2 * at]));
    }
    const own = { ...config, causal: false, use_rezero: true, wrapper: 'AutoregressiveWrapper' };
    const wrapped = new Map([...tensors].map(([name, tensor]) => [`net.${name}`, tensor]));
    await expectTwin(own, tensors, decode(own, wrapped));
  });

  test.each([
    ['generalised attention', 'performer-relu', {}],
    ['no projection', 'performer-no-projection', {}],
    ['no projection and axial positions', 'performer-axial', { no_projection: true }],
    ['generalised attention and two streams', 'performer-reversible', { generalized_attention: true }],
  ])('a causal model with %s', async (_, name, change) => {
    const { config, tensors } = performerFolder(join(golden, name));
    const own = { ...config, ...change, causal: true };
    await expectTwin(own, tensors, decode(own, tensors));
  });

  test('a causal model, token by token, as features so small that the addition to their sums counts', async () => {
    const { config: given, tensors } = performerFolder(join(golden, 'performer-axial'));
    const config = { ...given, no_projection: true, qkv_bias: true };
    for (const part of ['q', 'k', 'v']) {
      const bias = () => float32([16], new Float32Array(16).fill(part === 'k' ? -13 : 0));
      for (const layer of [0, 1]) tensors.set(`performer.net.layers.${layer}.0.fn.to_${part}.bias`, bias());
    }
    const loaded = decode(config, tensors);
    const expected = performerLogits(config, tensors, tokens);
    const without = performerLogits({ ...config, addition: 0 }, tensors, tokens);
    expect(largestDifference(expected.flat(), without.flat())).toBeGreaterThan(1e-3);
    const session = await GenerationSession.create(engine, loaded);
    for (const [at, token] of tokens.entries()) {
      await session.step(Int32Array.of(token));
      expect(largestDifference(session.logits, expected[at]!)).toBeLessThan(1e-5);
    }
    await session.dispose();
    expect(largestDifference(await logitsOf(loaded), expected.flat())).toBeLessThan(1e-5);
  });

  test('a model that was saved as a folder of ours and read again', async () => {
    const { config, tensors } = performerFolder(join(golden, 'performer-bidirectional'));
    await expectTwin(config, tensors, decodeModel(encodeModel(decode(config, tensors))));
  });
});

test('the number of features is that of the original where config.json has none', () => {
  const { config, tensors } = performerFolder(join(golden, 'performer-bidirectional'));
  const { nb_features: _, ...rest } = config as PerformerArguments & { readonly nb_features: number };
  for (const layer of [0, 1]) {
    const name = `performer.net.layers.${layer}.0.fn.fast_attention.projection_matrix`;
    tensors.set(name, float32([16, 8], (tensors.get(name)!.data as Float32Array).slice(0, 128))); // ⌊8 ln 8⌋
  }
  expect(decode(rest, tensors).model.config.attention).toMatchObject({ features: { featureCount: 16 } });
});

test('a layer that is there twice with other values is refused', () => {
  const { config, tensors } = performerFolder(join(golden, 'performer-relu'));
  const name = 'performer.proj_updater.instance.layers.1.0.fn.to_k.weight';
  tensors.set(name, float32([16, 32], new Float32Array(512)));
  expect(() => decode({ ...config, causal: false }, tensors)).toThrow(/layers.1.0.fn.to_k.weight to equal/);
});
