/**
 * Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): a training that leaves the weights of a trained model as they
 * are, and learns for each matrix W [inputs, outputs] of queries, keys, values, outputs and feed-forward layers a change of it:
 *
 *   x(W + alpha/rank · AB),   A [inputs, rank] drawn from N(0, 1/inputs), B [rank, outputs] of zeros at first.
 *
 * The change is added to the rows, not to W, so that no gradient of the size of W is computed. What the trained model does
 * not have, such as a new head, is learned whole. All else stays: embeddings, norms, biases and heads that are known.
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { drawn, filled, initialize, type ParameterSpec } from '../base/layout.js';
import { Random } from '../base/random.js';
import { formatShape } from '../base/shape.js';
import { type Leaf, leavesOf, mapTree, mergeTrees } from '../base/tree.js';
import type { Adapter, Weights } from '../blocks/index.js';
import { multiply, type Tensor } from '../graph/index.js';
import type { ModelWeights } from '../models/index.js';
import type { Task } from '../tasks/index.js';
import { isBlockMatrix } from './block-matrices.js';
import type { TrainingConfig } from './config.js';

/** What a training has of the parameters of a model: a part of a `Snapshot`, which says what they are. */
export interface HeldParams {
  readonly params: object;
  readonly base?: object | undefined;
  readonly training: TrainingConfig;
}

/** What is learned: adapters by the paths that they have beside their weights, and whole leaves by their own. */
type Learned<T> = Readonly<Record<string, T | Adapter<T>>>;

function adapterPath(path: string): string {
  return path.replace(/weight$/, 'adapter');
}

/** The matrices of a model's layout that are adapted, by their paths: those that `isNew` does not name. */
function adaptedWeights<L extends Leaf>(params: object, isNew: (path: string) => boolean = () => false): [string, L][] {
  return leavesOf<object, L>(params).filter(([path]) => isBlockMatrix(path) && !isNew(path));
}

/** Why a model has no adapters of this rank; undefined where it does. */
export function rankProblem(params: object, rank: number | undefined): string | undefined {
  if (rank === undefined) return undefined;
  const sizeOf = ({ shape }: ParameterSpec) => Math.min(...shape);
  const [least] = adaptedWeights<ParameterSpec>(params).sort(([, a], [, b]) => sizeOf(a) - sizeOf(b));
  if (least === undefined) return 'expected a model whose blocks have matrices, got one without';
  const [path, leaf] = least;
  if (rank <= sizeOf(leaf)) return undefined;
  return `expected at most ${sizeOf(leaf)}, the rank of ${path} ${formatShape(leaf.shape)}, got ${rank}`;
}

/** What is learned of a model's layout, or of its weights, where `isNew` says what the trained model does not have. */
export function learnedLayout<L extends Leaf>(
  params: object,
  rank: number,
  isNew: (path: string) => boolean,
): Learned<L | ParameterSpec> {
  const adapters = adaptedWeights<ParameterSpec>(params, isNew).map(([path, { shape }]) => {
    const [inputs, outputs] = shape as [number, number];
    const adapter: Adapter<ParameterSpec> = {
      down: drawn([inputs, rank], inputs ** -0.5),
      up: filled([rank, outputs], 0),
    };
    return [adapterPath(path), adapter] as const;
  });
  const whole = leavesOf<object, L>(params).filter(([path]) => isNew(path));
  return Object.fromEntries<L | ParameterSpec | Adapter<ParameterSpec>>([...whole, ...adapters]);
}

/** First values of what is learned beside the weights `base`. Throws CONFIG for a rank that the matrices do not have. */
export function firstLearned(base: object, rank: number, seed: number, isNew: (path: string) => boolean): object {
  const problem = rankProblem(base, rank);
  if (problem !== undefined) throw new PerformerError('CONFIG', `loraRank: ${problem}. Choose a lower one.`);
  const random = Random.fromSeed(seed).split('adapters');
  const layout = learnedLayout<HostTensor>(base, rank, isNew);
  return mapTree<object, HostTensor | ParameterSpec, HostTensor>(layout, (leaf, path) =>
    'data' in leaf ? leaf : initialize(leaf, random.split(path)),
  );
}

/** The matrices of `base` that `params` adapts, by their paths. */
export function weightsUnder<L extends Leaf>(base: object, params: object): Readonly<Record<string, L>> {
  return Object.fromEntries(adaptedWeights<L>(base, (path) => !(adapterPath(path) in params)));
}

/** The task of a model whose parameters are what a training by adapters learns, and one of whose buffers is what stays. */
export function adaptedTask(task: Task, { params, base, training }: HeldParams): Task {
  if (base === undefined) return task;
  const { model } = task;
  return {
    ...task,
    model: { ...model, params, buffers: { ...model.buffers, base } },
    loss(weights, batch, options) {
      const { base: stays, ...buffers } = weights.buffers as { readonly base: object };
      return task.loss({ params: adapted(stays, weights.params, training), buffers }, batch, options);
    },
  };
}

function scaleOf({ loraAlpha = 1, loraRank = 1 }: TrainingConfig): number {
  return loraAlpha / loraRank;
}

/** The parameters of the model, adapters among them. */
function adapted(base: object, params: object, training: TrainingConfig): Weights['params'] {
  const learned = params as Learned<Tensor>;
  const whole = mapTree(base, (leaf: Tensor, path) => learned[path] ?? leaf) as object;
  return Object.entries(learned).reduce((tree, [path, own]) => {
    if (!('up' in own)) return tree;
    const adapter: object = { ...own, up: multiply(own.up, scaleOf(training)) };
    return mergeTrees(
      tree,
      path.split('.').reduceRight((inner, key) => ({ [key]: inner }), adapter),
    );
  }, whole);
}

/**
 * The weights of the model that a snapshot is of: those of a training by adapters with alpha/rank · AB added to each matrix, others
 * as they are.
 */
export function weightsOfSnapshot({ params, base, buffers, training }: ModelWeights & HeldParams): ModelWeights {
  if (base === undefined) return { params, buffers };
  const learned = params as Learned<HostTensor>;
  const whole = mapTree<object, HostTensor, HostTensor>(base, (leaf, path) => {
    const adapter = isBlockMatrix(path) ? learned[adapterPath(path)] : undefined;
    if (adapter !== undefined) return merged(leaf, adapter as Adapter<HostTensor>, scaleOf(training));
    return (learned[path] as HostTensor | undefined) ?? leaf;
  });
  return { params: whole, buffers };
}

/** W + scale · AB, each number rounded once. */
function merged(weight: HostTensor, { down, up }: Adapter<HostTensor>, scale: number): HostTensor {
  const [inputs, outputs] = weight.shape as readonly [number, number];
  const rank = up.shape[0] as number;
  const data = weight.data.slice();
  const row = new Float64Array(outputs);
  for (let input = 0; input < inputs; input++) {
    row.fill(0);
    for (let at = 0; at < rank; at++) {
      const factor = scale * (down.data[input * rank + at] as number);
      for (let output = 0; output < outputs; output++)
        row[output]! += factor * (up.data[at * outputs + output] as number);
    }
    for (let output = 0; output < outputs; output++) data[input * outputs + output]! += row[output]!;
  }
  return { ...weight, data };
}
