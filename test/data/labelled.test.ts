import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import {
  byteTokenizer,
  encodeTexts,
  type GivenText,
  labelledTexts,
  readTexts,
  splitTexts,
  textBatches,
} from '../../src/data/index.js';

const texts = (classes: Readonly<Record<string, number>>): GivenText[] =>
  Object.entries(classes).flatMap(([target, count]) =>
    Array.from({ length: count }, (_, index) => ({ text: `${target} ${index} ${'x'.repeat(index % 30)}`, target })),
  );

describe('labelled texts', () => {
  it('are read as bytes with their targets', async () => {
    const given = labelledTexts([
      { text: 'é', target: 2 },
      { text: Uint8Array.of(255), target: [3] },
    ]);
    expect(given.sizes).toEqual([2, 1]);
    expect(given.targets).toEqual([[2], [3]]);
    expect(await given.read(0)).toEqual({ bytes: Uint8Array.of(0xc3, 0xa9), target: [2] });
    await expect(given.read(2)).rejects.toThrow('expected the number of one of 2 texts, from 0, got 2');
  });

  it('are refused where targets are of two kinds, or not finite', () => {
    const of = (...targets: GivenText['target'][]) => labelledTexts(targets.map((target) => ({ text: '', target })));
    expect(() => of('a', 1)).toThrow('text 1: expected a name as its target, as the first has, got 1 numbers');
    expect(() => of([1, 2], [1])).toThrow('text 1: expected 2 numbers');
    expect(() => of(['a'], 1)).toThrow(
      'text 1: expected a list of names as its target, as the first has, got 1 numbers',
    );
    expect(of(['a'], [], ['a', 'b']).targets).toEqual([['a'], [], ['a', 'b']]);
    expect(() => of(1, Number.NaN)).toThrow('text 1: expected finite numbers');
  });
});

describe('a split', () => {
  const all = labelledTexts(texts({ many: 80, few: 20, single: 1, pair: 2 }));

  it('holds out the same part of each class, one of two, and none of one', () => {
    const { train, heldOut } = splitTexts(all, 0.25, Random.fromSeed(1));
    const count = ({ targets }: typeof train, name: string) => targets.filter((target) => target === name).length;
    const held = ['many', 'few', 'single', 'pair'].map((name) => count(heldOut, name));
    expect(held).toEqual([20, 5, 0, 1]);
    expect(train.length + heldOut.length).toBe(all.length);
  });

  it('has every text once, and follows from the seed', async () => {
    const { train, heldOut } = splitTexts(all, 0.25, Random.fromSeed(1));
    const read = async (part: typeof train) =>
      Promise.all(part.targets.map(async (_, index) => new TextDecoder().decode((await part.read(index)).bytes)));
    const [learned, held] = [await read(train), await read(heldOut)];
    expect(new Set([...learned, ...held]).size).toBe(all.length);
    expect(await read(splitTexts(all, 0.25, Random.fromSeed(1)).heldOut)).toEqual(held);
    expect(await read(splitTexts(all, 0.25, Random.fromSeed(2)).heldOut)).not.toEqual(held);
  });

  it('is refused for parts that are none, and where nothing would be held out', () => {
    expect(() => splitTexts(all, 1, Random.fromSeed(1))).toThrow('between 0 and 1, got 1');
    expect(() => splitTexts(labelledTexts(texts({ a: 1, b: 1 })), 0.5, Random.fromSeed(1))).toThrow('0 held out');
  });
});

describe('batches of labelled texts', () => {
  const all = labelledTexts(texts({ a: 150, b: 57 }));
  const batches = () => textBatches(all, { batch: 8, window: 16, random: Random.fromSeed(3) });
  const perEpoch = 25;

  it('have each text at most once in an epoch, and leave fewer than a batch out', () => {
    const { of } = batches();
    for (const epoch of [0, 1]) {
      const seen = Array.from({ length: perEpoch }, (_, at) => of(epoch * perEpoch + at)).flat();
      expect(seen.length).toBe(200);
      expect(new Set(seen).size).toBe(200);
    }
  });

  it('are a function of their number', () => {
    const inOrder = batches();
    const all = Array.from({ length: 60 }, (_, number) => inOrder.of(number));
    for (const number of [59, 3, 31]) expect(batches().of(number)).toEqual(all[number]);
    expect(all[0]).not.toEqual(all[perEpoch]);
  });

  it('have texts of about one length, and do not come by length', () => {
    const { of } = batches();
    const length = (index: number) => Math.min(all.sizes[index]!, 16);
    const spans = Array.from({ length: perEpoch }, (_, number) => of(number).map(length));
    const padding = spans.reduce(
      (total, own) => total + own.reduce((sum, size) => sum + Math.max(...own) - size, 0),
      0,
    );
    expect(padding / spans.flat().reduce((a, b) => a + b, 0)).toBeLessThan(0.05);
    const longest = spans.slice(0, 16).map((own) => Math.max(...own));
    expect(longest).not.toEqual(longest.toSorted((a, b) => a - b));
  });

  it('repeat texts where there are too few for one', () => {
    const three = labelledTexts(texts({ a: 3 }));
    const own = textBatches(three, { batch: 7, window: 9, random: Random.fromSeed(1) }).of(5);
    expect(own.length).toBe(7);
    expect(new Set(own)).toEqual(new Set([0, 1, 2]));
  });

  it('are cut at the window and padded with zeros to the longest of the batch', async () => {
    const own = labelledTexts([
      { text: 'abcdef', target: 'x' },
      { text: 'g', target: 'y' },
      { text: '', target: 'x' },
    ]);
    const coded = await encodeTexts(own, byteTokenizer);
    const { tokens, lengths, targets } = await readTexts(coded, [1, 0, 2], 4);
    expect(tokens.shape).toEqual([3, 4]);
    expect([...tokens.data]).toEqual([103, 0, 0, 0, 97, 98, 99, 100, 0, 0, 0, 0]);
    expect([...lengths.data]).toEqual([1, 4, 0]);
    expect(targets).toEqual(['y', 'x', 'x']);
    expect((await readTexts(coded, [2], 4)).tokens.shape).toEqual([1, 1]);
  });
});
