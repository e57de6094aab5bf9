import { describe, expect, test } from 'vitest';
import { float32, hostTensor, int32, leavesOf, mapTree, treeFromLeaves, zeros } from '../../src/base/index.js';

const tree = {
  embedding: float32([2, 2], [1, 2, 3, 4]),
  blocks: [
    { weight: float32([1], [5]), bias: undefined },
    { weight: float32([1], [6]), bias: int32([], [7]) },
  ],
};
const paths = ['embedding', 'blocks.0.weight', 'blocks.1.weight', 'blocks.1.bias'];

describe('a tree', () => {
  test('names each leaf by its path and passes over what is undefined', () => {
    expect(leavesOf(tree).map(([path]) => path)).toEqual(paths);
  });

  test('keeps its form when its leaves are replaced', () => {
    const seen: string[] = [];
    const ranks = mapTree(tree, (leaf, path) => {
      seen.push(path);
      return leaf.shape.length;
    });
    expect(seen).toEqual(paths);
    expect(ranks).toEqual({
      embedding: 2,
      blocks: [
        { weight: 1, bias: undefined },
        { weight: 1, bias: 0 },
      ],
    });
  });

  test('is the same again from its leaves by name', () => {
    expect(treeFromLeaves('load', tree, new Map(leavesOf(tree)))).toEqual(tree);
  });

  test('is not made from leaves of which one is missing, left over, or of another shape or dtype', () => {
    const changed = (path: string, leaf?: ReturnType<typeof zeros>) => {
      const leaves = new Map(leavesOf(tree));
      if (leaf === undefined) leaves.delete(path);
      else leaves.set(path, leaf as never);
      return () => treeFromLeaves('load', tree, leaves);
    };
    expect(changed('blocks.1.bias')).toThrow('load: expected a tensor blocks.1.bias [], got none.');
    expect(changed('extra', zeros('float32', [1]))).toThrow('load: got a tensor extra that the model does not have.');
    expect(changed('embedding', zeros('float32', [2, 3]))).toThrow(
      'load: expected embedding to be float32 [2, 2], got float32 [2, 3].',
    );
    expect(changed('embedding', zeros('float64', [2, 2]))).toThrow('got float64 [2, 2]');
  });
});

describe('a host tensor', () => {
  test('keeps its data and refuses data that does not fill its shape', () => {
    const data = new Float32Array(6);
    expect(hostTensor('float32', [2, 3], data).data).toBe(data);
    expect(() => hostTensor('float32', [2, 2], data)).toThrow('hostTensor: expected 4 elements for [2, 2], got 6.');
  });
});
