import { describe, expect, test } from 'vitest';
import { byteLength, drawBuffers, Random, zeros } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { SavedState } from '../../src/generation/index.js';
import { rowWindow as windowSize } from '../../src/generation/reader.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import type { LanguageModelOptions } from '../../src/models/index.js';
import { drawTokens, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });

/** Through the bytes of a file. */
function throughFile({ tensors, metadata }: SavedState): SavedState {
  const chunks = encodeSafetensors(tensors, metadata).map((chunk) => Buffer.from(chunk));
  return decodeSafetensors('state', Buffer.concat(chunks));
}

const stateBytes = ({ tensors }: SavedState) => [...tensors.values()].reduce((sum, leaf) => sum + byteLength(leaf), 0);

const variants: Record<string, Partial<LanguageModelOptions>> = {
  'rotary positions': {},
  'learned positions': { positions: { kind: 'learned', maxLength: 128 } },
  'no token shift': { tokenShift: 0 },
  'token shift over three tokens': { tokenShift: 3 },
  'exact attention': { attention: 'softmax' },
  'an exact window and FAVOR+': { attention: { kind: 'hybrid', window: 20 } },
  'clusters of keys and FAVOR+': { attention: { kind: 'routing-hybrid', keyClusters: 4, window: 8 } },
  'exact and favor+ attention in turns': { attention: ['softmax', 'favor+'] },
};

describe('a saved state', () => {
  test.each(Object.entries(variants))('goes on bit for bit as if never saved, with %s', async (_, options) => {
    const model = randomModel(options);
    const tokens = drawTokens(70);
    const unbroken = await sessionOf(engine, model, { batch: 2 });
    await unbroken.read([tokens.subarray(0, 37), tokens.subarray(33, 70)]);
    const saved = await unbroken.saveState();
    const file = throughFile(saved);
    const resumed = await sessionOf(engine, model, { batch: 2 });
    for (let round = 0; round < 2; round++) {
      resumed.loadState(file); // also into a session that has gone further
      expect(resumed.logits).toEqual(unbroken.logits);
      expect(resumed.position).toEqual(unbroken.position);
      expect(resumed.seenTokens(1)).toEqual(unbroken.seenTokens(1));
      for (let at = 0; at < 5; at++) {
        const pair = Int32Array.of(at, at + 1);
        expect(await resumed.step(pair)).toEqual(await unbroken.step(pair));
      }
      const pieces = [drawTokens(9, 3), drawTokens(9, 4)];
      expect(await resumed.read(pieces)).toEqual(await unbroken.read(pieces));
      unbroken.loadState(saved); // what was saved did not go on with the session
    }
    await Promise.all([unbroken, resumed].map((session) => session.dispose()));
  });

  test.each([1, 7, windowSize, windowSize + 3])(
    'of %i single tokens after a text goes on bit for bit as a session that was never saved',
    async (count) => {
      const model = randomModel();
      const tokens = drawTokens(30 + count + 2 * windowSize);
      const [unbroken, saved, resumed] = await Promise.all([0, 1, 2].map(() => sessionOf(engine, model)));
      await Promise.all([unbroken, saved].map((session) => session!.read(tokens.subarray(0, 30))));
      for (const token of tokens.subarray(30, 30 + count)) {
        await Promise.all([unbroken, saved].map((session) => session!.step(Int32Array.of(token))));
      }
      resumed!.loadState(throughFile(await saved!.saveState()));
      for (const token of tokens.subarray(30 + count)) {
        const expected = await unbroken!.step(Int32Array.of(token));
        expect(await saved!.step(Int32Array.of(token))).toEqual(expected);
        expect(await resumed!.step(Int32Array.of(token))).toEqual(expected);
      }
      const piece = drawTokens(9, 3);
      const expected = await unbroken!.read(piece);
      expect(await saved!.read(piece)).toEqual(expected);
      expect(await resumed!.read(piece)).toEqual(expected);
      await Promise.all([unbroken, saved, resumed].map((session) => session!.dispose()));
    },
  );

  test('takes as many bytes after 1000 tokens as after 10, with FAVOR+', async () => {
    const session = await sessionOf(engine, randomModel());
    await session.read(drawTokens(10));
    const early = stateBytes(await session.saveState());
    await session.read(drawTokens(990));
    expect(session.position[0]).toBe(1000);
    expect(stateBytes(await session.saveState())).toBe(early);
  });

  test('of exact attention grows with the text', async () => {
    const session = await sessionOf(engine, randomModel({ attention: 'softmax' }));
    await session.read(drawTokens(10));
    const early = stateBytes(await session.saveState());
    await session.read(drawTokens(90));
    expect(stateBytes(await session.saveState()) - early).toBe(90 * 2 * (2 * 2 * 16 + 1) * 4); // depth, key and value, heads, dim, and a mask
  });

  describe('is refused', () => {
    const model = randomModel();
    const saved = (async () => {
      const session = await sessionOf(engine, model);
      await session.read(drawTokens(20));
      return session.saveState();
    })();

    const load = async (other: typeof model, change: (state: SavedState) => SavedState = (state) => state) => {
      const session = await sessionOf(engine, other);
      session.loadState(change(await saved));
    };
    const withTensor = (name: string, tensor: ReturnType<typeof zeros>) => (state: SavedState) => ({
      ...state,
      tensors: new Map([...state.tensors, [name, tensor]]),
    });

    test('by other projections', async () => {
      const buffers: object = drawBuffers(model.model.buffers, Random.fromSeed(99));
      const error = { code: 'CHECKPOINT', message: expect.stringMatching(/a state with projections "[0-9a-f]{16}"/) };
      await expect(load({ ...model, buffers })).rejects.toMatchObject(error);
    });

    test('by other weights', async () => {
      const { params } = randomModel({}, 2);
      await expect(load({ ...model, params })).rejects.toThrow(/a state with weights/);
    });

    test('by another model', async () => {
      await expect(load(randomModel({ tokenShift: 0 }))).rejects.toThrow(
        /a state with this model, got one with tokenShift 1 in place of 0\. Load it/,
      );
    });

    test('when it is no generation state', async () => {
      await expect(load(model, ({ tensors }) => ({ tensors, metadata: {} }))).rejects.toThrow(/format .* got none/);
    });

    test('when tensors are missing, of other shapes, or too many', async () => {
      const batch = await sessionOf(engine, model, { batch: 2 });
      const state = await saved;
      expect(() => batch.loadState(state)).toThrow(/logits to be float32 \[2, 256\], got float32 \[1, 256\]/);
      const cut = ({ tensors, metadata }: SavedState) => ({ tensors: new Map([...tensors].slice(1)), metadata });
      await expect(load(model, cut)).rejects.toMatchObject({ code: 'CHECKPOINT' });
      await expect(load(model, withTensor('more', zeros('float32', [1])))).rejects.toThrow(/does not have/);
      const early = withTensor('state.position', { dtype: 'int32', shape: [1], data: Int32Array.of(-1) });
      await expect(load(model, early)).rejects.toThrow(/positions from 0 to .* got -1/);
    });

    test('when a state that grows has other keys than those of its tokens, in each layer', async () => {
      const session = await sessionOf(engine, randomModel({ attention: 'softmax' }));
      await session.read(drawTokens(20));
      const exact = await session.saveState();
      const later = withTensor('state.position', { dtype: 'int32', shape: [1], data: Int32Array.of(21) });
      expect(() => session.loadState(later(exact))).toThrow(/keys of 21 tokens in each layer, .* at 21, got 20, 20/);
      const longer = withTensor('state.blocks.1.attention.value', zeros('float32', [1, 2, 22, 16]));
      expect(() => session.loadState(longer(exact))).toThrow(/keys of 20 tokens in each layer, .* at 20, got 20, .*22/);
      const none = withTensor('state.position', zeros('int32', [1]));
      expect(() => session.loadState(none(exact))).toThrow(/at 0, got 20/);
      await session.dispose();
    });

    test('and leaves the session as it was', async () => {
      const session = await sessionOf(engine, model);
      const logits = await session.read(drawTokens(5));
      const state = await saved;
      expect(() => session.loadState({ ...state, tensors: new Map() })).toThrow(/logits/);
      expect(session.logits).toEqual(logits);
      expect([...session.position]).toEqual([5]);
    });

    test('but not for another chunk or dropout, which change no state', async () => {
      const config = { ...model.config, chunk: 32, attentionDropout: 0.1 };
      await expect(load({ ...model, config })).resolves.toBeUndefined();
    });
  });
});
