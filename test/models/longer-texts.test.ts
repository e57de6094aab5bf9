/** Models for longer texts than those that they learned. */
import { describe, expect, test } from 'vitest';
import { drawBuffers, float32, initialize, Random } from '../../src/base/index.js';
import { embed, forLongerTexts, type LoadedModel, modelConfig, modelOf } from '../../src/models/index.js';
import { repeatedRows } from '../../src/models/longer-texts.js';
import { engine, tinyModel } from '../support/tiny.js';

function encoderOf(options: object): LoadedModel {
  const model = modelOf(modelConfig({ ...tinyModel, model: 'encoder', attention: 'softmax', ...options }));
  return {
    model,
    params: initialize(model.params, Random.fromSeed(1)),
    buffers: drawBuffers(model.buffers, Random.fromSeed(2)),
  };
}

test('a table that is repeated begins again where it ends', () => {
  const table = float32([3, 2], [0, 8, 1, 6, 2, 0]);
  expect([...repeatedRows(table, 7).data]).toEqual([...table.data, ...table.data, 0, 8]);
  expect([...repeatedRows(table, 3).data]).toEqual([...table.data]);
});

describe('a model with learned positions', () => {
  const known = encoderOf({ positions: { kind: 'learned', maxLength: 8 }, vectors: { window: 8 } });
  const text = 'the white whale swam before him';

  test('reads longer texts when they are repeated, known texts as before, and cuts texts where they end now', async () => {
    await expect(embed(engine, known, [text], { window: 31 })).rejects.toThrow('expected at most 8 tokens, got 31');
    const longer = forLongerTexts(known, 31);
    expect(longer.model.maxLength).toBe(31);
    expect(longer.model.config.vectors).toMatchObject({ window: 31 });
    const [whole, cut] = await embed(engine, longer, [text, text.slice(0, 30)]);
    expect(whole).not.toEqual(cut);
    expect([...whole!].every(Number.isFinite)).toBe(true);
    const short = ['the whit', 'swam'];
    expect(await embed(engine, longer, short)).toEqual(await embed(engine, known, short));
  });

  test('keeps the place where texts are cut, where that was not the end of its positions', () => {
    const cut = encoderOf({ positions: { kind: 'learned', maxLength: 8 }, vectors: { window: 6 } });
    expect(forLongerTexts(cut, 16).model.config.vectors).toMatchObject({ window: 6 });
  });

  test.each<[string, LoadedModel, number, string]>([
    ['fewer positions than it has', known, 7, 'expected at most 7 learned ones to repeat, got 8'],
    ['positions that are not learned', encoderOf({ positions: 'rotary' }), 64, 'got rotary ones'],
  ])('is not made of %s', (_, model, maxLength, message) => {
    expect(() => forLongerTexts(model, maxLength)).toThrow(message);
  });
});
