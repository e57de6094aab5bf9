/** A model reads and generates on an engine as on the float64 oracle. */
import { expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { drawTokens, expectClose, randomModel, sessionOf } from '../generation/models.js';

const engine = nodeEngine({ threads: 1 });
const prompts = [drawTokens(26, 1), drawTokens(6, 2)];
const steps = [Int32Array.of(1, 2), Int32Array.of(77, 200), Int32Array.of(3, 3)];

it.each([
  ['favor+', prompts],
  ['softmax', [prompts[0]!, prompts[0]!]],
] as const)('prompts, steps and a saved state have the logits of the oracle, with %s', async (attention, rows) => {
  const kind = attention === 'softmax' ? attention : { features: { featureCount: 12 } };
  const model = randomModel({ attention: kind, dim: 16, depth: 1, heads: 2, headDim: 8 }, 1, 8);
  const expected = await sessionOf(referenceEngine(), model, { batch: 2 });
  const session = await sessionOf(engine, model, { batch: 2, readChunk: 8 });
  expectClose(await session.read(rows), await expected.read(rows), 'prompts');
  const saved = await session.saveState();
  const wanted: Float32Array[] = [];
  for (const pair of steps) {
    wanted.push(await expected.step(pair));
    expectClose(await session.step(pair), wanted.at(-1)!, 'step');
  }
  session.loadState(saved);
  for (const [at, pair] of steps.entries()) expectClose(await session.step(pair), wanted[at]!, 'step after loading');
  expect([...session.position]).toEqual(rows.map(({ length }) => length + steps.length));
  session.reset();
  expectClose(
    await session.read(rows),
    await sessionOf(referenceEngine(), model, { batch: 2 }).then((fresh) => fresh.read(rows)),
    'after a reset',
  );
  await session.dispose();
});
