/** Memory tokens stand before the tokens of every family, and none is taken for a token. */
import { expect, it } from 'vitest';
import { float32, int32, leavesOf } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { specsOf } from '../../src/graph/index.js';
import type { LoadedModel, ModelInputs } from '../../src/models/index.js';
import { values } from '../support/compare.js';
import { randomModel } from '../support/model-conformance.js';

const engine = nodeEngine({ threads: 1 });

async function readBy({ model, params, buffers }: LoadedModel, inputs: object) {
  const compiled = await engine.compile(
    (learned: object, drawn: object, given: ModelInputs) => {
      const { hidden, lastHidden, output } = model.apply({ params: learned, buffers: drawn }, given);
      return { hidden, lastHidden, output };
    },
    [specsOf(params), specsOf(buffers), specsOf(inputs)] as never,
  );
  const read = await compiled.run([params, buffers, inputs] as never);
  await compiled.dispose();
  return read;
}

const tokens = int32(
  [2, 7],
  Array.from({ length: 14 }, (_, at) => (at * 37) % 256),
);
const lengths = int32([2], [7, 4]);
const images = float32(
  [2, 6, 8, 1],
  Array.from({ length: 96 }, (_, at) => (at % 7) / 7),
);

it.each([
  ['causal-language-model', { positions: 'sinusoidal' }, { tokens, lengths }],
  ['encoder', { positions: { kind: 'learned', maxLength: 7 } }, { tokens, lengths }],
  ['classifier', { pooling: 'first', positions: { kind: 'axial', maxLength: 8, columns: 4 } }, { tokens, lengths }],
  ['classifier', { pooling: 'attention' }, { tokens, lengths }],
  ['token-classifier', { positions: 'sinusoidal' }, { tokens, lengths }],
  ['image-classifier', { pooling: 'class-token' }, { images }],
] as const)('%s with %j: where no token sees another, they change nothing', async (family, options, inputs) => {
  // With a window of its own place and no token shift a token is read by itself, and positions alone tell where it stands.
  const alone = { ...options, attention: { kind: 'window', window: 1 }, tokenShift: 0 };
  const [plain, other] = [randomModel(family, alone), randomModel(family, { ...alone, memoryTokens: 3 })];
  expect(leavesOf(other.params).length).toBe(leavesOf(plain.params).length + 1);
  const [expected, read] = [await readBy(plain, inputs), await readBy(other, inputs)];
  for (const name of ['output', 'hidden', 'lastHidden'] as const) {
    expect(read[name].shape, name).toEqual(expected[name].shape);
    const difference = values(expected[name]).map((value, at) => Math.abs(value - values(read[name])[at]!));
    expect(Math.max(...difference), name).toBeLessThan(1e-5);
  }
});
