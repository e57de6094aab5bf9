import { expect, test } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { joinChunks } from '../interop/file-bytes.js';
import { mutationsOf, readOrRefuse } from '../interop/mutations.js';
import { drawTokens, randomModel, sessionOf } from './models.js';

test('of two thousand damaged files of a state each is refused by the path, unless it says the same', async () => {
  const session = await sessionOf(nodeEngine({ threads: 1 }), randomModel());
  await session.read(drawTokens(20));
  const saved = await session.saveState();
  const whole = joinChunks(encodeSafetensors(saved.tensors, saved.metadata));
  const sorted = (tensors: typeof saved.tensors) => new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1)));
  let refused = 0;
  for (const bytes of mutationsOf(whole, 2000, 3)) {
    const read = readOrRefuse(() => decodeSafetensors('state', bytes));
    if (read === undefined) continue;
    try {
      session.loadState(read, 'runs/state.safetensors');
      expect(sorted(read.tensors)).toEqual(sorted(saved.tensors));
    } catch (cause) {
      expect(cause).toMatchObject({
        code: 'CHECKPOINT',
        message: expect.stringMatching(/^runs\/state\.safetensors: (expected|got a tensor)/),
      });
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(500);
  await session.dispose();
});

test('two tensors of a state that changed places are refused', async () => {
  const session = await sessionOf(nodeEngine({ threads: 1 }), randomModel());
  await session.read(drawTokens(20));
  const { tensors, metadata } = await session.saveState();
  const [one, other] = ['state.blocks.0.attention.sum', 'state.blocks.1.attention.sum'] as const;
  const swapped = new Map(tensors).set(one, tensors.get(other)!).set(other, tensors.get(one)!);
  expect(() => session.loadState({ tensors: swapped, metadata })).toThrow(
    'loadState: expected a state as it was saved, got one that was changed since. The file is damaged; use another copy.',
  );
  const { digest, ...rest } = metadata;
  expect(() => session.loadState({ tensors, metadata: rest })).toThrow('expected a state as it was saved');
  await session.dispose();
});

test('tensors that are none of a state are refused by their names, dtypes and shapes alone', async () => {
  const session = await sessionOf(nodeEngine({ threads: 1 }), randomModel());
  const exact = await sessionOf(nodeEngine({ threads: 1 }), randomModel({ attention: 'softmax' }));
  for (const each of [session, exact]) {
    await each.read(drawTokens(20));
    const { tensors } = await each.saveState();
    each.checkState(tensors);
    expect(() => each.checkState(new Map([...tensors].slice(1)), 'x')).toThrow(/^x: expected a tensor/);
    expect(() => each.checkState(new Map([...tensors, ['a\x1b', tensors.get('logits')!]]))).toThrow(
      'got a tensor a\\u001b that',
    );
  }
  await Promise.all([session.dispose(), exact.dispose()]);
});
