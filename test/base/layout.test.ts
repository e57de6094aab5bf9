/** Layouts: trees of specifications with first values. */
import { describe, expect, test } from 'vitest';
import {
  type BufferSpec,
  branchBuffers,
  diagonal,
  drawBuffers,
  drawn,
  emptyState,
  filled,
  float32,
  initialize,
  PerformerError,
  Random,
  type StateSpec,
  shapeAfter,
  symbol,
} from '../../src/base/index.js';

const random = () => Random.fromSeed(3);

describe('parameters', () => {
  test('are drawn by their path alone: what stands beside them changes nothing', () => {
    const alone = initialize({ b: drawn([2, 3], 0.5) }, random());
    const beside = initialize({ a: drawn([4], 1), b: drawn([2, 3], 0.5), c: drawn([4], 1) }, random());
    expect(beside.b).toEqual(alone.b);
    expect(beside.a.data).not.toEqual(beside.c.data);
  });

  test('have the deviation of their layout', () => {
    const { data } = initialize({ x: drawn([10_000], 0.5) }, random()).x;
    const mean = data.reduce((total, value) => total + value, 0) / data.length;
    const square = data.reduce((total, value) => total + value ** 2, 0) / data.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.sqrt(square)).toBeCloseTo(0.5, 1);
  });

  test('are one value throughout, and a value on each diagonal', () => {
    expect(initialize({ x: filled([3], 2) }, random()).x).toEqual(float32([3], [2, 2, 2]));
    const { x } = initialize({ x: diagonal([2, 2, 2], 5) }, random());
    expect(x).toEqual(float32([2, 2, 2], [5, 0, 0, 5, 5, 0, 0, 5]));
  });
});

describe('buffers', () => {
  const buffer: BufferSpec = {
    dtype: 'float32',
    shape: [4],
    draw: (own) => float32([4], own.normals(4)),
  };

  test('are equal from equal generators', () => {
    expect(drawBuffers({ x: buffer }, random())).toEqual(drawBuffers({ x: buffer }, random()));
  });

  test('of a branch are drawn from that branch of the generator', () => {
    const { x } = drawBuffers(branchBuffers({ x: buffer }, 7), random());
    expect(x).toEqual(buffer.draw(random().split(7)));
    expect(x).not.toEqual(buffer.draw(random().split(8)));
  });
});

describe('a state', () => {
  const state: { readonly scale: StateSpec; readonly keys: StateSpec } = {
    scale: { dtype: 'float32', shape: [2, 3], initial: -100 },
    keys: { dtype: 'float32', shape: [2, 1, 0, 4], initial: 0, growing: 2 },
  };

  test('begins with the value of each part throughout, and with nothing where it grows', () => {
    const { scale, keys } = emptyState(state);
    expect([...scale.data]).toEqual(Array(6).fill(-100));
    expect(keys.shape).toEqual([2, 1, 0, 4]);
    expect(keys.data).toHaveLength(0);
  });

  test('grows along its axis alone', () => {
    expect(shapeAfter(state.keys, 9)).toEqual([2, 1, 9, 4]);
    expect(shapeAfter(state.scale, 9)).toEqual([2, 3]);
  });

  test('has no values for a batch that is a symbol', () => {
    const open = { x: { ...state.scale, shape: [symbol('batch'), 3] } };
    expect(() => emptyState(open)).toThrow(PerformerError);
    expect(() => emptyState(open)).toThrow(/emptyState: expected a state of known size, got one with the size/);
  });
});
