/** Losses by position, and what they show of the length that texts may have. */
import { describe, expect, it } from 'vitest';
import {
  type ContextRecord,
  contextReach,
  contextRecord,
  contextWarning,
  decodeModel,
  encodeModel,
  modelOf,
  Octaves,
} from '../../src/models/index.js';
import { snapshotOf } from '../support/tiny.js';

describe('octaves', () => {
  it('end at powers of two, and have the mean loss of their positions', () => {
    const octaves = new Octaves();
    for (let position = 1; position <= 11; position++) octaves.add(position, position);
    octaves.add(1, 3);
    expect(octaves.losses).toEqual([
      { from: 1, to: 1, targets: 2, loss: 2 },
      { from: 2, to: 2, targets: 1, loss: 2 },
      { from: 3, to: 4, targets: 2, loss: 3.5 },
      { from: 5, to: 8, targets: 4, loss: 6.5 },
      { from: 9, to: 11, targets: 3, loss: 10 },
    ]);
  });
});

/** Octaves up to a power of two, of whose positions `lossAt` tells the loss. */
function octavesTo(end: number, lossAt: (position: number) => number) {
  const octaves = new Octaves();
  for (let position = 1; position <= end; position++) octaves.add(position, lossAt(position));
  return octaves.losses;
}

describe('a record of losses by position', () => {
  it('compares a stream with the same tokens in windows, so that a hard part of a text is none of the model', () => {
    const hardness = (place: number) => (place > 4096 ? 1 : 0);
    const inWindow = (position: number) => 2 + 1 / position;
    const place = (at: number) => inWindow(((at - 1) % 256) + 1) + hardness(at);
    const windows = new Octaves();
    for (let at = 1; at <= 8192; at++) windows.add(((at - 1) % 256) + 1, place(at));
    const losses = { byPosition: windows.losses, byPlace: octavesTo(8192, place) };
    const steady = contextRecord(
      256,
      losses,
      octavesTo(8192, (at) => 2 + hardness(at)),
    );
    expect(contextReach(steady)).toEqual({ good: 8192 });
    const last = steady.positions.at(-1)!;
    expect(last).toMatchObject({ from: 4097, to: 8192, targets: 4096, loss: 3 });
    expect(Math.abs(last.excess)).toBeLessThan(0.01);
    const rising = contextRecord(
      256,
      losses,
      octavesTo(8192, (at) => 2 + hardness(at) + (at > 2048 ? 0.3 : 0)),
    );
    expect(contextReach(rising)).toEqual({
      good: 2048,
      rise: { from: 2049, to: 4096, excess: expect.closeTo(0.3, 1) },
    });
  });

  it('of windows alone compares their positions with the end of a window of the training', () => {
    const byPosition = octavesTo(8192, (at) => (at <= 2048 ? 2 : 2.06));
    const record = contextRecord(256, { byPosition, byPlace: byPosition });
    expect(contextReach(record)).toEqual({ good: 2048, rise: { from: 2049, to: 4096, excess: expect.closeTo(0.06) } });
  });

  it('takes octaves of few targets together, and shows nothing by the last few', () => {
    const noisy = (excess: number[]): ContextRecord => ({
      window: 16,
      positions: excess.map((each, at) => ({
        ...{ from: 2 ** at + 1, to: 2 ** (at + 1), targets: 2 ** at, loss: 2, excess: each },
      })),
    });
    // Octaves from 17 to 32, 64, …, 2,048: the first noisy ones are judged with those after them.
    expect(contextReach(noisy([0, 0, 0, 0, 0.4, -0.2, 0.1, 0.01, 0, 0, 0]))).toEqual({ good: 2048 });
    expect(contextReach(noisy([0, 0, 0, 0, 0, 0, 0.1, 0.1, 0.1, 0.1]))).toMatchObject({
      good: 16,
      rise: { from: 17, to: 1024 },
    });
    expect(contextReach(noisy([0, 0, 0, 0, 0.4, 0.4, 0.4]))).toEqual({ good: 16 });
  });
});

describe('a warning', () => {
  const record = (excess: number): ContextRecord => ({
    window: 512,
    positions: [
      { from: 257, to: 512, targets: 5000, loss: 2, excess: 0 },
      { from: 513, to: 1024, targets: 5000, loss: 2, excess: 0.01 },
      { from: 1025, to: 2048, targets: 5000, loss: 2 + excess, excess },
    ],
  });

  it('tells how far the loss is higher, from where on, and what to do', () => {
    expect(contextWarning(record(0.31), 1024)).toBeUndefined();
    expect(contextWarning(record(0.31), 1025)).toBe(
      'The text has up to 1,025 tokens, and the model is shown to be good up to 1,024: from 1,025 to 2,048 its loss is ' +
        '0.31 nats a token above that at the end of the windows of 512 that it was trained on. Keep texts shorter, or ' +
        'train it on longer windows or with carried states.',
    );
  });

  it('is not given within what was evaluated and good, and says beyond it that nothing is known', () => {
    expect(contextWarning(record(0.05), 2048)).toBeUndefined();
    expect(contextWarning(record(0.05), 2049)).toMatch(/good up to 2,048, where its evaluation ended\. Evaluate it/);
  });
});

describe('context.json', () => {
  const context: ContextRecord = { window: 8, positions: [{ from: 1, to: 1, targets: 3, loss: 2.5, excess: 0.5 }] };
  const written = (seed = 0) => {
    const { model, params, buffers } = snapshotOf({}, { seed });
    return encodeModel({ model: modelOf(model), params, buffers, context });
  };

  it('is read with the weights that it tells of, and written with them again', () => {
    const files = written();
    const loaded = decodeModel(files);
    expect(loaded.context).toEqual(context);
    expect(encodeModel(loaded)).toEqual(files);
  });

  it('is passed over beside other weights, and refused where it is damaged', () => {
    const other = written(1).get('model.safetensors')!;
    expect(decodeModel(new Map([...written(), ['model.safetensors', other]])).context).toBeUndefined();
    const damaged = new TextEncoder().encode('{"version": 1}');
    expect(() => decodeModel(new Map([...written(), ['context.json', damaged]]))).toThrow(
      /context\.json: expected losses by position of version 1, got .*weights/,
    );
  });
});
