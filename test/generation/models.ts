/** Small models for the tests of generation, and what they say of a whole text at once. */
import { expect } from 'vitest';
import {
  drawBuffers,
  type HostTensor,
  hostTensor,
  initialize,
  int32,
  mapTree,
  type ParameterSpec,
  Random,
  zeros,
} from '../../src/base/index.js';
import type { Engine } from '../../src/engine/index.js';
import { GenerationSession, type GenerationSessionOptions } from '../../src/generation/index.js';
import { spec, specsOf } from '../../src/graph/index.js';
import { type LanguageModelOptions, languageModelConfig, modelOf } from '../../src/models/index.js';

export type TestModel = ReturnType<typeof randomModel>;

/** A model with random weights, large enough for its choices to differ. */
export function randomModel(options: Partial<LanguageModelOptions> = {}, seed = 1, chunk = 16) {
  const config = languageModelConfig({
    ...{ dim: 32, depth: 2, heads: 2, headDim: 16, attention: { features: { featureCount: 32 } } },
    ...options,
  });
  const random = Random.fromSeed(seed);
  const model = modelOf(config, { chunk });
  const params: object = initialize(model.params, random.split('params'));
  const buffers: object = drawBuffers(model.buffers, random.split('projections'));
  return { config, model, params, buffers };
}

export function sessionOf(engine: Engine, model: TestModel, options?: GenerationSessionOptions) {
  return GenerationSession.create(engine, model, options);
}

/** `length` tokens of a byte model. */
export function drawTokens(length: number, seed = 7): Int32Array {
  return Int32Array.from(Random.fromSeed(seed).bits(length), (word) => word % 256);
}

/** The logits after each token, from one parallel pass over all of them. */
export async function parallelLogits(engine: Engine, model: TestModel, tokens: Int32Array): Promise<Float64Array[]> {
  const { config } = model;
  const pass = await engine.compile(
    (params, buffers, inputs) => ({ logits: model.model.apply({ params, buffers }, inputs).output }),
    [specsOf(model.params), specsOf(model.buffers), { tokens: spec('int32', [1, tokens.length]) }],
  );
  const inputs = { tokens: int32([1, tokens.length], tokens) };
  const { logits } = await pass.run([model.params, model.buffers, inputs]);
  await pass.dispose();
  const all = Float64Array.from(logits.data as Float32Array);
  return Array.from(tokens, (_, at) => all.subarray(at * config.vocabularySize, (at + 1) * config.vocabularySize));
}

/** A model that says `script` whatever it reads: at position p it expects token p + 1 of it. */
export function scriptedModel(script: Uint8Array | Int32Array, options: Partial<LanguageModelOptions> = {}): TestModel {
  const dim = script.length;
  const model = randomModel({
    ...{ dim, depth: 1, heads: 1, headDim: 2, attention: { features: { featureCount: 4 } }, tokenShift: 0 },
    positions: { kind: 'learned', maxLength: 16 * Math.ceil(dim / 16) + 16 },
    ...options,
  });
  const params: object = mapTree(model.model.params, ({ shape }: ParameterSpec, path): HostTensor => {
    const tensor = zeros('float32', shape);
    const set = (row: number, column: number) => {
      tensor.data[row * (shape[1] as number) + column] = 1;
    };
    if (path === 'positions.weight') for (let position = 0; position < dim; position++) set(position, position);
    if (path === 'logits.weight') script.subarray(1).forEach((token: number, position: number) => set(position, token));
    return path === 'norm.weight' ? hostTensor('float32', shape, tensor.data.fill(1)) : tensor;
  });
  return { ...model, params };
}

/** Logits within 10⁻⁴ of each other, and the same choice wherever it is clear. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const errors = Array.from(actual, (value, at) => Math.abs(value - (expected[at] as number)));
  expect(actual.length, what).toBe(expected.length);
  expect(Math.max(...errors), what).toBeLessThan(1e-4);
  const { token, margin } = lead(expected);
  if (margin > 1e-3) expect(lead(actual).token, what).toBe(token);
}

/** The first of the largest, and by how much it leads. */
function lead(logits: ArrayLike<number>): { token: number; margin: number } {
  const falling = Array.from(logits, (logit, token) => ({ logit, token })).sort((a, b) => b.logit - a.logit);
  const [first, second] = falling as [{ logit: number; token: number }, { logit: number; token: number }];
  return { token: first.token, margin: first.logit - second.logit };
}
