/** What a model computes and reads, by formula and not by what happens to run: the measure for measured times. */
import type { StateSpec } from '../base/layout.js';
import { shapeAfter } from '../base/layout.js';
import { elementCount } from '../base/shape.js';
import { type Leaf, leavesOf } from '../base/tree.js';
import type { Model } from './model.js';

function leaves(tree: object): (readonly [path: string, shape: readonly number[]])[] {
  return leavesOf(tree).map(([path, leaf]) => [path, (leaf as Leaf).shape as readonly number[]]);
}

/** The shapes of the parameters that every token is multiplied by: not those of tables, of which it takes a row. */
function shapesRead({ params, tables }: Model): (readonly number[])[] {
  return leaves(params)
    .filter(([path]) => !tables.includes(path))
    .map(([, shape]) => shape);
}

/**
 * Floating-point operations of one forward pass over `length` tokens, the last `predicted` of which give logits: 2 ×
 * matrix parameters × tokens, the features of queries and keys, and the causal core. Exact attention is counted over the
 * whole square.
 */
export function forwardOperations(model: Model, length: number, predicted = length): number {
  const { dim, vocabularySize } = model.config;
  const matrices = shapesRead(model)
    .filter(({ length: rank }) => rank === 2)
    .reduce((total, shape) => total + elementCount(shape), 0);
  const logits = 2 * dim * vocabularySize * (length - predicted);
  const attention = model.mixers.reduce((total, mixer) => total + mixer.operations(length).attention, 0);
  return 2 * matrices * length - logits + attention;
}

/**
 * Those of a training step: 3 times a forward pass, since each product has two in the gradient, but for the products with
 * projections and shapes, which have no gradient of their own.
 */
export function trainingOperations(model: Model, length: number): number {
  const frozen = model.mixers.reduce((total, mixer) => total + mixer.operations(length).withoutGradient, 0);
  return 3 * forwardOperations(model, length) - frozen;
}

/**
 * Bytes that one token reads when it is generated after `past` others: the weights, the projections and the state. What
 * else it needs, the recent tokens and its part of writing the state, is not counted.
 */
export function tokenBytes(model: Model, past: number): number {
  const state = leavesOf(model.state(1)).map(([, leaf]) => shapeAfter(leaf as StateSpec, past) as readonly number[]);
  const shapes = [...shapesRead(model), ...leaves(model.buffers).map(([, shape]) => shape), ...state];
  return shapes.reduce((total, shape) => total + 4 * elementCount(shape), 0);
}
