/** Contenders timed in turns: who runs when, and what counts. */
import { describe, expect, test } from 'vitest';
import { inTurns, median } from '../../src/measure/index.js';

function recorded() {
  const order: string[] = [];
  const contender = (name: string) => async () => {
    order.push(name);
  };
  return { order, contenders: { a: contender('a'), b: contender('b') } };
}

describe('in turns', () => {
  test('each runs once a round, and the warm-up is not timed', async () => {
    const { order, contenders } = recorded();
    let told = 0;
    const times = await inTurns(contenders, { warmup: 1, rounds: 2, onRun: () => told++ });
    expect(order.join('')).toBe('ababab');
    expect(told).toBe(6);
    expect([times.a.runs, times.b.runs]).toEqual([2, 2]);
    expect(times.a.fastest).toBeLessThanOrEqual(times.a.median);
    expect(times.a.median).toBeLessThanOrEqual(times.a.slowest);
  });

  test('a stop ends after the run under way, and whole rounds count', async () => {
    const { order, contenders } = recorded();
    const stop = new AbortController();
    const onRun = () => order.length === 5 && stop.abort();
    const times = await inTurns(contenders, { warmup: 1, rounds: 100, signal: stop.signal, onRun });
    expect(order.join('')).toBe('ababa');
    expect([times.a.runs, times.b.runs]).toEqual([1, 1]);
  });

  test('a stop before a whole round throws its reason', async () => {
    const { order, contenders } = recorded();
    const stop = new AbortController();
    const onRun = () => order.length === 3 && stop.abort('enough');
    await expect(inTurns(contenders, { warmup: 1, rounds: 9, signal: stop.signal, onRun })).rejects.toBe('enough');
    expect(order.join('')).toBe('aba');
  });
});

test('the median of an even number of values lies between the middle two', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([5])]).toEqual([2, 2.5, 5]);
});
