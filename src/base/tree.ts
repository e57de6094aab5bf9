/**
 * Trees: plain nested objects and lists whose leaves are tensors (symbolic, on the host, or mere specifications).
 * A leaf's path, such as `blocks.0.attention.query.weight`, is its name in graphs, ONNX files and checkpoints.
 */
import type { Dtype } from './array.js';
import { internalError, PerformerError } from './errors.js';
import { escaped } from './escape.js';
import { formatShape, type Shape } from './shape.js';

/** What makes an object a leaf. */
export interface Leaf {
  readonly dtype: Dtype;
  readonly shape: Shape;
}

/** A leaf, or an object or list of trees. Entries that are undefined count as absent. */
export type Tree<L extends Leaf> = L | readonly Tree<L>[] | { readonly [key: string]: Tree<L> | undefined };

/** The tree `T` with every leaf replaced by `L`. */
export type MapLeaves<T, L> = T extends Leaf ? L : { [K in keyof T]: MapLeaves<T[K], L> };

/** Throws DATA for what is neither a leaf nor an object or list of such. */
function isLeaf(value: unknown, path: string): value is Leaf {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) {
    const got = typeof value === 'object' && value !== null ? `a ${value.constructor.name}` : String(value);
    const where = path === '' ? 'a tree' : path;
    throw new PerformerError(
      'DATA',
      `${where}: expected a tensor, or an object or list of tensors, got ${got}. ` +
        'A tensor has a dtype, a shape and data, as float32(shape, values) makes it.',
    );
  }
  return 'dtype' in value && 'shape' in value;
}

/** Every leaf with its path, in the order of the keys. Entries that are undefined are passed over. */
export function leavesOf<T, L = LeafOf<T>>(tree: T): [string, L][] {
  const found: [string, L][] = [];
  const walk = (node: unknown, path: string): void => {
    if (node === undefined) return;
    if (isLeaf(node, path)) found.push([path, node as L]);
    else for (const [key, child] of Object.entries(node as object)) walk(child, path === '' ? key : `${path}.${key}`);
  };
  walk(tree, '');
  return found;
}

/** The same tree with each leaf replaced by `change(leaf, path)`. */
export function mapTree<T, L extends Leaf, R>(tree: T, change: (leaf: L, path: string) => R): MapLeaves<T, R> {
  const walk = (node: unknown, path: string): unknown => {
    if (node === undefined) return undefined;
    if (isLeaf(node, path)) return change(node as L, path);
    const child = (key: string | number, value: unknown) => walk(value, path === '' ? String(key) : `${path}.${key}`);
    if (Array.isArray(node)) return node.map((value, index) => child(index, value));
    return Object.fromEntries(Object.entries(node as object).map(([key, value]) => [key, child(key, value)]));
  };
  return walk(tree, '') as MapLeaves<T, R>;
}

/** One tree from several of the same form: `combine` gets the leaves that stand at each path of the first. */
export function zipTrees<T, R, L = LeafOf<T>>(
  trees: readonly [T, ...T[]],
  combine: (leaves: readonly L[], path: string) => R,
): MapLeaves<T, R> {
  const [first, ...others] = trees;
  const found = others.map((tree) => new Map(leavesOf<T, L>(tree)));
  return mapTree(first, (leaf: Leaf, path) => {
    const rest = found.map((leaves) => {
      const own = leaves.get(path);
      if (own === undefined) throw internalError(`trees of one form differ: ${path} is missing`);
      return own;
    });
    return combine([leaf as L, ...rest], path);
  });
}

/** A tree with the leaves and branches of `part` in the place of its own. */
export function mergeTrees<T extends object>(tree: T, part: object): T {
  if (isLeaf(part, '')) return part as T;
  const own = tree as Readonly<Record<string, object>>;
  const entries = Object.entries(part as Readonly<Record<string, object | undefined>>);
  const changed = entries.flatMap(([key, value]) => {
    if (value === undefined) return [];
    return [[key, own[key] === undefined ? value : mergeTrees(own[key], value)] as const];
  });
  if (!Array.isArray(tree)) return { ...tree, ...Object.fromEntries(changed) };
  const items = [...tree];
  for (const [key, value] of changed) items[Number(key)] = value;
  return items as T;
}

/** The leaves of a tree that stand where those of `like` do, in the form of `like`. */
export function pickTree<T extends object>(tree: object, like: T): T {
  const found = new Map(leavesOf(tree));
  return mapTree(like, (_: Leaf, path) => {
    const leaf = found.get(path);
    if (leaf === undefined) throw internalError(`a tree has no leaf ${path}`);
    return leaf;
  }) as unknown as T;
}

/** The leaves of a tree as a list, and how a list of the same length becomes such a tree. */
export function flattenTree<T>(tree: T): {
  readonly leaves: readonly LeafOf<T>[];
  /** A tree of the same form with these leaves, in the order of `leaves`. */
  restore<L>(leaves: readonly L[]): MapLeaves<T, L>;
} {
  const leaves = leavesOf(tree).map(([, leaf]) => leaf);
  return {
    leaves,
    restore: (given) => {
      let next = 0;
      return mapTree(tree, () => given[next++] as (typeof given)[number]);
    },
  };
}

/** The type of the leaves of a tree type. */
export type LeafOf<T> = T extends Leaf
  ? T
  : T extends readonly (infer Item)[]
    ? LeafOf<Item>
    : T extends object
      ? LeafOf<NonNullable<T[keyof T]>>
      : never;

/**
 * A tree shaped as `like`, with its leaves taken by path. Throws CHECKPOINT when a leaf is missing, has another
 * shape, or is left over.
 */
export function treeFromLeaves<T, L extends Leaf>(
  where: string,
  like: T,
  leaves: ReadonlyMap<string, L>,
): MapLeaves<T, L> {
  const used = new Set<string>();
  const tree = mapTree(like, ({ dtype, shape }: Leaf, path) => {
    const leaf = leaves.get(path);
    if (leaf === undefined) {
      throw new PerformerError('CHECKPOINT', `${where}: expected a tensor ${path} ${formatShape(shape)}, got none.`);
    }
    if (leaf.dtype !== dtype || formatShape(leaf.shape) !== formatShape(shape)) {
      throw new PerformerError(
        'CHECKPOINT',
        `${where}: expected ${path} to be ${dtype} ${formatShape(shape)}, ` +
          `got ${leaf.dtype} ${formatShape(leaf.shape)}. Use the config.json that it was saved with.`,
      );
    }
    used.add(path);
    return leaf;
  });
  for (const path of leaves.keys()) {
    if (!used.has(path)) {
      throw new PerformerError('CHECKPOINT', `${where}: got a tensor ${escaped(path)} that the model does not have.`);
    }
  }
  return tree;
}
