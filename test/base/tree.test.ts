import { describe, expect, test } from 'vitest';
import {
  flattenTree,
  float32,
  type HostTensor,
  hostTensor,
  int32,
  type Leaf,
  leavesOf,
  mapTree,
  mergeTrees,
  pickTree,
  treeFromLeaves,
  zeros,
  zipTrees,
} from '../../src/base/index.js';

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
    expect(treeFromLeaves('load', tree, new Map(leavesOf<typeof tree, Leaf>(tree)))).toEqual(tree);
  });

  test('is not made from leaves of which one is missing, left over, or of another shape or dtype', () => {
    const changed = (path: string, leaf?: ReturnType<typeof zeros>) => {
      const leaves = new Map(leavesOf<typeof tree, Leaf>(tree));
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

describe('trees of one form', () => {
  const twice = mapTree(tree, ({ shape, data }: HostTensor) =>
    float32(
      shape,
      Array.from(data, (value) => 2 * value),
    ),
  ) as unknown as typeof tree;

  test('become one tree, from the leaves at each path', () => {
    const firsts = zipTrees<object, unknown>([tree, twice], ([a, b], path) => [
      path,
      (a as unknown as HostTensor).data[0],
      (b as unknown as HostTensor).data[0],
    ]);
    expect(firsts).toEqual({
      embedding: ['embedding', 1, 2],
      blocks: [
        { weight: ['blocks.0.weight', 5, 10], bias: undefined },
        { weight: ['blocks.1.weight', 6, 12], bias: ['blocks.1.bias', 7, 14] },
      ],
    });
  });

  test('that have not one form are an error of ours', () => {
    const { blocks } = twice;
    const less = { embedding: twice.embedding, blocks: [blocks[0], { weight: blocks[1]!.weight }] } as typeof twice;
    expect(() => zipTrees<object, number>([tree, less], () => 0)).toThrow(
      /internal: trees of one form differ: blocks\.1\.bias is missing/,
    );
  });
});

describe('a tree as a list', () => {
  test('has its leaves in the order of their paths, and is restored from as many of any kind', () => {
    const { leaves, restore } = flattenTree(tree);
    expect(leaves).toEqual(leavesOf(tree).map(([, leaf]) => leaf));
    expect(restore(leaves)).toEqual(tree);
    expect(restore(['a', 'b', 'c', 'd'])).toEqual({
      embedding: 'a',
      blocks: [
        { weight: 'b', bias: undefined },
        { weight: 'c', bias: 'd' },
      ],
    });
  });
});

describe('a part of a tree', () => {
  const [first, second] = tree.blocks;

  test('takes the place of what it names, and leaves the rest', () => {
    const bias = int32([], [8]);
    expect(mergeTrees(tree, { blocks: [{}, { bias }] })).toEqual({
      embedding: tree.embedding,
      blocks: [first, { weight: second!.weight, bias }],
    });
    expect(mergeTrees(tree, {})).toEqual(tree);
  });

  test('is picked by the form of another', () => {
    const like = { blocks: [{}, { bias: int32([], [0]) }] };
    expect(pickTree(tree, like)).toEqual({ blocks: [{}, { bias: second!.bias }] });
  });
});
