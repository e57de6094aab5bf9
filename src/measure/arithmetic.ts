/** What a model computes and reads, by formula and not by what happens to run: the measure for measured times. */
import type { Dim } from '../base/dimension.js';
import { type StateSpec, shapeAfter } from '../base/layout.js';
import { elementCount } from '../base/shape.js';
import { type Leaf, leavesOf } from '../base/tree.js';

/** What is counted of a model. */
export interface MeasuredModel {
  readonly config: {
    readonly dim: number;
    readonly vocabularySize?: number | undefined;
    /** Vectors before every text, which go through all layers. */
    readonly memoryTokens?: number | undefined;
  };
  readonly params: object;
  readonly buffers: object;
  /** Parameters of which a token takes a row, and which it is not multiplied by, by their paths. */
  readonly tables: readonly string[];
  /** One for each layer. */
  readonly mixers: readonly {
    /**
     * Floating-point operations of attention in a layer over so many tokens; `withoutGradient` is the part whose second
     * factor has no gradient.
     */
    operations(length: number): { readonly attention: number; readonly withoutGradient: number };
  }[];
  /** Layout of the state before the first token. */
  state(batch: Dim): object;
}

function leaves(tree: object): (readonly [path: string, shape: readonly number[]])[] {
  return leavesOf(tree).map(([path, leaf]) => [path, (leaf as Leaf).shape as readonly number[]]);
}

/** The shapes of the parameters that every token is multiplied by: not those of tables, of which it takes a row. */
function shapesRead({ params, tables }: MeasuredModel): (readonly number[])[] {
  return leaves(params)
    .filter(([path]) => !tables.includes(path))
    .map(([, shape]) => shape);
}

/** How many vectors go through the layers for a text. */
function lengthRead({ config: { memoryTokens = 0 } }: MeasuredModel, length: number): number {
  return length + memoryTokens;
}

/**
 * Floating-point operations of one forward pass over `length` tokens, the last `predicted` of which give logits: 2 ×
 * matrix parameters × tokens, memory tokens among them, the features of queries and keys, and the causal core. Exact attention is counted over the
 * whole square.
 */
export function forwardOperations(model: MeasuredModel, length: number, predicted = length): number {
  const { dim, vocabularySize = 0 } = model.config;
  const matrices = shapesRead(model)
    .filter(({ length: rank }) => rank === 2)
    .reduce((total, shape) => total + elementCount(shape), 0);
  const read = lengthRead(model, length);
  const logits = 2 * dim * vocabularySize * (read - predicted); // those that are not computed
  const attention = model.mixers.reduce((total, mixer) => total + mixer.operations(read).attention, 0);
  return 2 * matrices * read - logits + attention;
}

/**
 * Those of a training step: 3 times a forward pass, since each product has two in the gradient, but for the products with
 * projections and shapes, which have no gradient of their own.
 */
export function trainingOperations(model: MeasuredModel, length: number): number {
  const read = lengthRead(model, length);
  const frozen = model.mixers.reduce((total, mixer) => total + mixer.operations(read).withoutGradient, 0);
  return 3 * forwardOperations(model, length) - frozen;
}

/** Bytes of what a model remembers of `past` tokens. */
export function stateBytes(model: Pick<MeasuredModel, 'state'>, past: number): number {
  const shapes = leavesOf(model.state(1)).map(([, leaf]) => shapeAfter(leaf as StateSpec, past) as readonly number[]);
  return shapes.reduce((total, shape) => total + 4 * elementCount(shape), 0);
}

/**
 * Bytes that one token reads when it is generated after `past` others: the weights, the projections and the state. What
 * else it needs, the recent tokens and its part of writing the state, is not counted.
 */
export function tokenBytes(model: MeasuredModel, past: number): number {
  const shapes = [...shapesRead(model), ...leaves(model.buffers).map(([, shape]) => shape)];
  return shapes.reduce((total, shape) => total + 4 * elementCount(shape), stateBytes(model, lengthRead(model, past)));
}
