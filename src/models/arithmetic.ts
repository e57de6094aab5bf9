/** What a model computes and reads, by formula and not by what happens to run: the measure for measured times. */
import { elementCount } from '../base/shape.js';
import { type Leaf, leavesOf } from '../base/tree.js';
import { isShaped, projectionSize } from '../features/index.js';
import { featureMapOptions, type LanguageModelConfig } from './config.js';
import { languageModelLayout, projectionLayout, stateLayout } from './language-model.js';

/** The chunk at which the causal core is counted, whatever chunk is run. */
const countedChunk = 64;

/** The shapes of the parameters that every token is multiplied by: not those of tables, of which it takes a row. */
function shapesRead(config: LanguageModelConfig): (readonly number[])[] {
  const tables = ['positions.weight', ...(config.tiedEmbedding ? [] : ['embedding.weight'])];
  return leavesOf(languageModelLayout(config))
    .filter(([path]) => !tables.includes(path))
    .map(([, { shape }]) => shape);
}

/** Operations that turn one row of one head into features; entrywise ones are not counted. */
function featureOperations(config: LanguageModelConfig): number {
  const { featureMap, headDim } = config;
  const [rows, columns] = projectionSize(featureMapOptions(config)) ?? [0, 0];
  const usesWeights = featureMap === 'hedgehog' || isShaped(featureMap);
  return 2 * (rows * columns + (usesWeights ? headDim * headDim : 0));
}

/** Operations of one head's attention, from queries, keys and values to outputs. */
function attentionOperations(config: LanguageModelConfig, length: number): number {
  const { attention, headDim, featureCount } = config;
  if (attention === 'none') return 0;
  if (attention === 'softmax') return 2 * 2 * length * length * headDim;
  const core = 2 * length * countedChunk * (featureCount + headDim) + 4 * length * featureCount * headDim;
  return 2 * length * featureOperations(config) + core;
}

/**
 * Floating-point operations of one forward pass over `length` tokens, the last `predicted` of which give logits: 2 ×
 * matrix parameters × tokens, the features of queries and keys, and the causal core. Exact attention is counted over the
 * whole square.
 */
export function forwardOperations(config: LanguageModelConfig, length: number, predicted = length): number {
  const { depth, heads, dim, vocabularySize } = config;
  const matrices = shapesRead(config)
    .filter(({ length: rank }) => rank === 2)
    .reduce((total, shape) => total + elementCount(shape), 0);
  const logits = 2 * dim * vocabularySize * (length - predicted);
  return 2 * matrices * length - logits + depth * heads * attentionOperations(config, length);
}

/**
 * Those of a training step: 3 times a forward pass, since each product has two in the gradient, but for the products with
 * projections and shapes, which have no gradient of their own.
 */
export function trainingOperations(config: LanguageModelConfig, length: number): number {
  const { depth, heads, attention, featureMap } = config;
  const isFrozen = attention === 'favor+' && featureMap !== 'hedgehog';
  const frozen = isFrozen ? depth * heads * 2 * length * featureOperations(config) : 0;
  return 3 * forwardOperations(config, length) - frozen;
}

/** Bytes of a tree of float32 and int32. */
function bytesOf(tree: unknown): number {
  return leavesOf(tree).reduce(
    (total, [, leaf]) => total + 4 * elementCount((leaf as unknown as Leaf).shape as readonly number[]),
    0,
  );
}

/**
 * Bytes that one token reads when it is generated after `past` others: the weights, the projections and the state. What
 * else it needs, the recent tokens and its part of writing the state, is not counted.
 */
export function tokenBytes(config: LanguageModelConfig, past: number): number {
  const { depth, heads, headDim, attention } = config;
  const weights = shapesRead(config).reduce((total, shape) => total + 4 * elementCount(shape), 0);
  const keysAndValues = attention === 'softmax' ? 4 * depth * heads * 2 * past * headDim : 0;
  const state = bytesOf(stateLayout(config, 1)) + keysAndValues;
  return weights + bytesOf(projectionLayout(config)) + state;
}
