import { describe, expect, test } from 'vitest';
import { leavesOf } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });

describe('a session', () => {
  test('starts anew after a reset', async () => {
    const model = randomModel();
    const session = await sessionOf(engine, model);
    const first = await session.read(drawTokens(20));
    session.reset();
    expect([...session.position, ...session.seenTokens()]).toEqual([0]);
    expect(session.logits.every((logit) => logit === 0)).toBe(true);
    expect(await session.read(drawTokens(20))).toEqual(first);
  });

  test('hands out logits that later steps leave alone', async () => {
    const session = await sessionOf(engine, randomModel());
    const logits = await session.read(drawTokens(20));
    const copy = logits.slice();
    logits.fill(7);
    expect(session.logits).toEqual(copy);
    for (let step = 0; step < 8; step++) await session.step(Int32Array.of(step));
    expect(logits.every((logit) => logit === 7)).toBe(true);
  });

  test('reads learned positions to the last and not beyond', async () => {
    const model = randomModel({ positions: { kind: 'learned', maxLength: 48 } });
    const tokens = drawTokens(48);
    const expected = await parallelLogits(engine, model, tokens);
    const session = await sessionOf(engine, model);
    await session.read(tokens.subarray(0, 30));
    expect(session.room).toBe(18);
    await expect(session.read(drawTokens(19))).rejects.toThrow(/at most 48 tokens.*got 49/);
    expectClose(await session.read(tokens.subarray(30, 46)), expected[45]!, 'piece');
    await session.step(tokens.subarray(46, 47));
    expectClose(await session.step(tokens.subarray(47)), expected[47]!, 'last');
    await expect(session.step(Int32Array.of(0))).rejects.toMatchObject({ code: 'DATA' });
  });

  // The padding of a piece takes positions too, and `readTokens` looks them up beyond the table: it should clamp them.
  test('reads a piece whose padding goes beyond the learned positions', async () => {
    const session = await sessionOf(engine, randomModel({ positions: { kind: 'learned', maxLength: 40 } }));
    await session.read(drawTokens(40));
  });

  test('refuses what it cannot read and stays as it was', async () => {
    const session = await sessionOf(engine, randomModel(), { batch: 2 });
    const cases: [Parameters<typeof session.read>[0], string, RegExp][] = [
      [drawTokens(3), 'SHAPE', /tokens for each of 2 rows, got 1/],
      [[drawTokens(3), Int32Array.of(1, 256)], 'DATA', /tokens from 0 to 255, got 256/],
      [[drawTokens(3), Int32Array.of(-1)], 'DATA', /got -1/],
      [[new Int32Array(0), new Int32Array(0)], 'DATA', /a token for a row, as none has read anything/],
    ];
    for (const [tokens, code, message] of cases) {
      await expect(session.read(tokens)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    }
    await expect(session.step(Int32Array.of(1))).rejects.toMatchObject({ code: 'SHAPE' });
    const others: [unknown, RegExp][] = [
      [Uint8Array.of(1), /Int32Array of tokens for each row, got a Uint8Array\. Int32Array\.from makes one/],
      [[1, 2], /got a number/],
      [[Int32Array.of(1), [2]], /got an Array/],
      ['ab', /got a string/],
      [undefined, /got undefined/],
    ];
    for (const [tokens, message] of others) {
      const error = { code: 'DTYPE', message: expect.stringMatching(message) };
      await expect(session.read(tokens as Int32Array)).rejects.toMatchObject(error);
    }
    await expect(session.step(7 as never)).rejects.toMatchObject({ code: 'DTYPE' });
    for (const row of [2, -1, 0.5]) {
      expect(() => session.seenTokens(row)).toThrow(/a row from 0 to 1/);
      expect(() => session.recentTokens(row)).toThrow(/a row from 0 to 1/);
    }
    for (const state of [undefined, {}, { tensors: {}, metadata: {} }]) {
      expect(() => session.loadState(state as never)).toThrow(/a state with tensors and metadata/);
    }
    expect([...session.position]).toEqual([0, 0]);
  });

  test('refuses options, weights and projections that do not fit', async () => {
    const model = randomModel();
    for (const options of [{ batch: 0 }, { readChunk: 1.5 }, { rows: 2 }, null]) {
      await expect(sessionOf(engine, model, options as object)).rejects.toMatchObject({ code: 'CONFIG' });
    }
    await expect(sessionOf(undefined as never, model)).rejects.toThrow(/expected an engine, got undefined/);
    await expect(sessionOf(engine, { ...model, model: undefined as never })).rejects.toMatchObject({ code: 'CONFIG' });
    const { buffers } = randomModel({ attention: { features: { featureCount: 16 } } });
    await expect(sessionOf(engine, { ...model, buffers })).rejects.toMatchObject({ code: 'CHECKPOINT' });
    const { params } = randomModel({ depth: 1 });
    await expect(sessionOf(engine, { ...model, params })).rejects.toMatchObject({ code: 'CHECKPOINT' });
  });

  test('takes one call at a time and none after its end', async () => {
    const session = await sessionOf(engine, randomModel());
    const first = session.read(drawTokens(20));
    await expect(session.step(Int32Array.of(1))).rejects.toMatchObject({ code: 'USAGE' });
    await expect(session.saveState()).rejects.toThrow(/at rest/);
    await first;
    await session.dispose();
    await session.dispose();
    await expect(session.step(Int32Array.of(1))).rejects.toThrow(/disposed of/);
  });
});

describe('the functions of a session', () => {
  test('are compiled when they are first needed, each once', async () => {
    let compiled = 0;
    const compile: typeof engine.compile = (...args) => {
      compiled++;
      return engine.compile(...args);
    };
    const session = await sessionOf({ ...engine, compile }, randomModel());
    expect(compiled).toBe(0);
    await session.step(Int32Array.of(0));
    for (let step = 1; step < 24; step++) await session.step(Int32Array.of(step));
    expect(compiled).toBe(1); // first tokens go into the state
    for (let step = 0; step < 4; step++) await session.step(Int32Array.of(step));
    expect(compiled).toBe(2); // others are read beside it
    for (let piece = 0; piece < 3; piece++) await session.read(drawTokens(3 + piece));
    expect(compiled).toBe(4); // and go into it before a piece
  });

  test('are compiled again after a failure, and nothing was read', async () => {
    let left = 0;
    const compile: typeof engine.compile = (...args) =>
      left-- > 0 ? Promise.reject(new Error('no memory')) : engine.compile(...args);
    const session = await sessionOf({ ...engine, compile }, randomModel());
    const whole = await sessionOf(engine, randomModel());
    // What reads a piece, what reads a token beside the state, and what brings such tokens into it.
    for (const tokens of [drawTokens(30), Int32Array.of(1), drawTokens(3)]) {
      left = 1;
      const { position } = session;
      await expect(session.read(tokens)).rejects.toThrow('no memory');
      expect(session.position).toEqual(position);
      expect(await session.read(tokens)).toEqual(await whole.read(tokens));
    }
    await session.dispose();
  });

  test('are compiled before a short beginning is read, so that a failure leaves all as it was', async () => {
    let left = 1;
    const compile: typeof engine.compile = (...args) =>
      left-- > 0 ? engine.compile(...args) : Promise.reject(new Error('no memory'));
    const session = await sessionOf({ ...engine, compile }, randomModel(), { batch: 2 });
    const rows = [drawTokens(2), drawTokens(5)]; // a second function reads the rest of the second row
    await expect(session.read(rows)).rejects.toThrow('no memory');
    expect([...session.position]).toEqual([0, 0]);
    left = 1;
    const whole = await sessionOf(engine, randomModel(), { batch: 2 });
    expect(await session.read(rows)).toEqual(await whole.read(rows));
    await Promise.all([session.dispose(), whole.dispose()]);
  });

  test('write to two sets of buffers in turn, with FAVOR+', async () => {
    const written: unknown[] = [];
    const compile = async (...args: Parameters<typeof engine.compile>) => {
      const executable = await engine.compile(...args);
      const run: typeof executable.run = (inputs, options) => {
        for (const [path, leaf] of leavesOf(options?.outputs)) if (path.endsWith('.sum')) written.push(leaf);
        return executable.run(inputs, options);
      };
      return { run, dispose: () => executable.dispose() };
    };
    const session = await sessionOf(
      { ...engine, name: 'watched', compile: compile as typeof engine.compile },
      randomModel(),
    );
    await session.read(drawTokens(30));
    for (let piece = 0; piece < 7; piece++) {
      await session.step(Int32Array.of(piece));
      await session.read(drawTokens(2));
    }
    expect(written.length).toBe((1 + 7 * 2) * 2); // a token beside the state goes into it before a piece; two layers
    expect(new Set(written).size).toBe(2 * 2);
    expect(written[4]).toBe(written[0]);
    expect(written[2]).not.toBe(written[0]);
  });
});
