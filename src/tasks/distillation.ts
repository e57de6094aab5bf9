/**
 * Learning from a teacher: a model whose attention was replaced learns to give what the model gives that it was made of
 * (Hinton et al. 2015, arXiv 1503.02531). It comes in two parts, one after the other:
 *
 * - block by block: each block reads what that of the teacher reads, and learns to give what that gives, so that no error of
 *   an earlier block reaches it (attention transfer: Zhang et al. 2024, arXiv 2402.04347 and 2410.10254);
 * - as a whole: the model reads the text itself. Its blocks learn the same, and its logits the distribution that the teacher
 *   gives; of a model without logits that count, its last hidden layer learns that of the teacher.
 *
 * The error of a block is relative to what the teacher's block adds to the stream x: Σ|y − y′|²/Σ|y′ − x′|². It is 1 for a
 * block that adds nothing. What is learned from is the mean over the blocks, and as a whole the Kullback–Leibler divergence
 * of the logits beside it.
 */
import type { HostTensor } from '../base/array.js';
import { addDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { mapTree } from '../base/tree.js';
import {
  type AnyTensor,
  add,
  cast,
  concatenate,
  constant,
  divide,
  exp,
  log,
  max,
  mean,
  multiply,
  reshape,
  scalar,
  slice,
  square,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import type { Model, ModelResult, ModelWeights } from '../models/index.js';
import type { Batch, Task } from './task.js';

/** What a model learns from: the same task of another model, and the weights of that. */
export interface Teacher {
  readonly task: Task;
  readonly weights: ModelWeights;
}

/** Which part of the learning it is. */
export interface DistillationOptions {
  /** Whether each block learns by itself, from what the teacher's block reads. */
  readonly byBlock: boolean;
}

/**
 * The task of learning what the teacher gives for the batches of `task`. Its measures are `blocks`, the mean error of the
 * blocks, `block 1` and so on, and as a whole also `loss`, that of the task itself, and `divergence` in nats a token of a
 * model that continues texts.
 *
 * @throws CONFIG for models of another form than the teacher's, for reversible ones, and for a state that is to be carried.
 */
export function distillation(task: Task, teacher: Teacher, { byBlock }: DistillationOptions): Task {
  checkForm(task, teacher);
  const { model } = task;
  const { tally, details, context, ...base } = task;
  return {
    ...base,
    name: byBlock ? 'attention-transfer' : 'distillation',
    loss(weights, given, options) {
      const batch = unmasked(given);
      const exact = teacher.task.loss(constantsOf(teacher.weights), batch, {}).result;
      const streams = byBlock ? exact.streams.slice(0, -1) : undefined;
      const own = task.loss(weights, batch, { ...options, streams });
      const errors = blockErrors(exact, own.result);
      const apart = byBlock ? scalar(0) : difference(exact, own.result, model);
      const of = (value: Tensor) => reshape(multiply(value, own.count), [value.rank === 0 ? 1 : value.staticDim(0)]);
      return {
        total: multiply(add(mean(errors), apart), own.count),
        count: own.count,
        sums: { errors: of(errors), divergence: of(apart), loss: reshape(own.total, [1]) },
        result: own.result,
      };
    },
    evaluations: task.evaluations.filter(({ carriesState }) => !carriesState),
    measures(_, { count, sums }) {
      const errors = [...(sums.errors ?? [])].map((total) => total / count);
      const [divergence = 0, loss = 0] = [sums.divergence?.[0], sums.loss?.[0]];
      return {
        ...(byBlock ? {} : { loss: loss / count, divergence: divergence / count }),
        blocks: errors.reduce((left, right) => left + right, 0) / errors.length,
        ...Object.fromEntries(errors.map((error, block) => [`block ${block + 1}`, error])),
      };
    },
  };
}

function checkForm({ model: { config }, size }: Task, { task: { model } }: Teacher): void {
  const refuse = (expected: string, got: string) => {
    throw new PerformerError('CONFIG', `distillation: expected ${expected}, got ${got}.`);
  };
  const formOf = ({ model, dim, depth }: typeof config) => `${model}, ${depth} blocks of ${dim}`;
  if (formOf(config) !== formOf(model.config)) refuse(`${formOf(model.config)}, as the teacher is`, formOf(config));
  if (config.reversible || model.config.reversible) refuse('blocks with one stream', 'a reversible model');
  if (size.carryState) refuse('windows on their own', 'carryState');
}

/** A batch whose tokens are those that were to be guessed, where some are masked: what a model gives for texts is learned. */
function unmasked(batch: Batch<AnyTensor>): Batch<AnyTensor> {
  return batch.targets === undefined ? batch : { ...batch, tokens: batch.targets };
}

/** The weights as a part of the graph, which no step changes. */
function constantsOf({ params, buffers }: ModelWeights) {
  const placed = (tree: object): object =>
    mapTree(tree, ({ dtype, shape, data }: HostTensor) => constant(dtype, shape, data));
  return { params: placed(params), buffers: placed(buffers) };
}

/** The error of each block [depth]. */
function blockErrors(exact: ModelResult, own: ModelResult): Tensor {
  const depth = exact.streams.length - 1;
  const errors = Array.from({ length: depth }, (_, block) => {
    const [before, after] = [exact.streams[block]!, exact.streams[block + 1]!];
    const apart = squares(exact, subtract(own.streams[block + 1]!, after));
    return reshape(divide(apart, add(squares(exact, subtract(after, before)), 1e-12)), [1]);
  });
  return concatenate(errors, 0);
}

/** The sum of the squares of x [batch, rows, dim] over all rows that are real, of which the first stands at `from`. */
function squares({ mask }: ModelResult, x: Tensor, from = 0): Tensor {
  const rows = sum(square(x), -1);
  return sum(mask === undefined ? rows : where(realRows(mask, rows, from), rows, scalar(0)));
}

function realRows(mask: Tensor<'bool'>, rows: Tensor, from: number): Tensor<'bool'> {
  return slice(mask, 1, from, addDims(from, rows.dim(1)));
}

/** How far what a model predicts is from what the teacher does, over all tokens: a mean. */
function difference(exact: ModelResult, own: ModelResult, { isCausal, config: { memoryTokens } }: Model): Tensor {
  if (!isCausal) {
    const squaresOf = (x: Tensor) => squares(exact, x, memoryTokens);
    return divide(squaresOf(subtract(own.hidden, exact.hidden)), squaresOf(exact.hidden));
  }
  const [expected, got] = [logProbabilities(exact.output), logProbabilities(own.output)];
  const divergence = sum(multiply(exp(expected), subtract(expected, got)), -1); // [batch, length]
  const { mask } = exact;
  if (mask === undefined) return mean(divergence);
  const isReal = realRows(mask, divergence, memoryTokens);
  return divide(sum(where(isReal, divergence, scalar(0))), sum(cast(isReal, 'float32')));
}

function logProbabilities(logits: Tensor): Tensor {
  const shifted = subtract(logits, stopGradient(max(logits, -1, true)));
  return subtract(shifted, log(sum(exp(shifted), -1, true)));
}
