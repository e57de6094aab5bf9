/**
 * From one text to another: each token of the target is predicted from the source and the tokens before it (teacher
 * forcing), and after the last one the end. Pairs of about one length stand side by side.
 *
 * `exactMatch` is the part of the pairs of which every token is the likeliest: those that are written whole where the
 * likeliest token is taken each time.
 */
import { float32 } from '../base/array.js';
import { withArticle } from '../base/article.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { batchesByLength, type PairData, type TokenPair, textBatches, textRows } from '../data/index.js';
import {
  argMax,
  cast,
  equal,
  less,
  max,
  multiply,
  reshape,
  scalar,
  spec,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import type { Model } from '../models/index.js';
import { crossEntropy } from './cross-entropy.js';
import type { Batch, BatchSize, Task } from './task.js';

type PairTensors = {
  /** [batch, source] */
  readonly source: Tensor<'int32'>;
  /** [batch] */
  readonly sourceLengths: Tensor<'int32'>;
  /** The beginning and the target, [batch, length]. */
  readonly tokens: Tensor<'int32'>;
  /** The target and the end, [batch, length]. */
  readonly targets: Tensor<'int32'>;
  /** 1 for tokens that count, [batch, length]. */
  readonly mask: Tensor;
};

/**
 * The task for an encoder-decoder and pairs of texts.
 *
 * @throws CONFIG for a model that reads no source, and where a state is to be carried.
 */
export function sequenceToSequence(model: Model, size: BatchSize, { train, heldOut }: PairData): Task {
  const { batch, window, accumulation, carryState, seed } = size;
  const { boundary, readSource } = model;
  if (boundary === undefined || readSource === undefined || carryState) {
    const got = carryState ? 'carryState' : withArticle(model.config.model);
    throw new PerformerError('CONFIG', `sequence-to-sequence: expected pairs for an encoder-decoder, got ${got}.`);
  }
  const [ending = boundary] = model.config.endTokens ?? [];
  const random = Random.fromSeed(seed).split('batches');
  const sizes = (pairs: readonly TokenPair[]) => pairs.map(({ source, target }) => source.length + target.length);
  const [text, source] = [symbol('length'), symbol('source')];
  const specs = {
    source: spec('int32', [batch, source]),
    sourceLengths: spec('int32', [batch]),
    tokens: spec('int32', [batch, text]),
    targets: spec('int32', [batch, text]),
    mask: spec('float32', [batch, text]),
  };
  const read = (pairs: readonly TokenPair[], indices: readonly number[]) =>
    batchOf(pairs, indices, { batch, window, boundary, ending });
  const batches =
    train.length === 0
      ? undefined
      : textBatches({ length: train.length, sizes: sizes(train) }, { batch, window: 2 * window, random });
  const meanTarget =
    train.reduce((total, { target }) => total + Math.min(target.length, window - 1) + 1, 0) / Math.max(1, train.length);
  return {
    name: 'sequence-to-sequence',
    model,
    size,
    specs,
    tokensPerStep: Math.round(batch * accumulation * meanTarget),
    loss(weights, { targets, mask, ...inputs }: PairTensors, options) {
      const result = model.apply(weights, inputs, options);
      const losses = crossEntropy(result.output, targets); // [batch, length]
      const isWrong = where(equal(argMax(result.output, -1), cast(targets, 'int64')), scalar(0), scalar(1));
      const wrong = max(multiply(isWrong, mask), 1); // [batch], 1 where a token is
      const real = max(mask, 1); // [batch], 0 for rows that only fill the batch
      const sums = {
        exact: reshape(sum(multiply(real, where(less(0, wrong), scalar(0), scalar(1)))), [1]),
        pairs: reshape(sum(real), [1]),
        wrong: reshape(sum(multiply(isWrong, mask)), [1]),
      };
      return { total: sum(multiply(losses, mask)), count: sum(mask), sums, result };
    },
    async step(step) {
      const numbers = Array.from({ length: accumulation }, (_, index) => step * accumulation + index);
      return { batches: numbers.map((number) => read(train, batches?.of(number) ?? [])), isStart: true };
    },
    evaluations: [
      {
        ...{ name: 'pairs', batch, carriesState: false, specs },
        async *batches() {
          for (const indices of batchesByLength(sizes(heldOut), batch)) yield read(heldOut, indices);
        },
      },
    ],
    measures(_, { total, count, sums }) {
      const of = (name: string) => sums[name]?.[0] ?? 0;
      const loss = total / count;
      return {
        loss,
        perplexity: Math.exp(loss),
        accuracy: 1 - of('wrong') / count,
        exactMatch: of('exact') / of('pairs'),
      };
    },
  };
}

interface PairSize {
  readonly batch: number;
  /** Sources, and targets with their ends, are cut at so many tokens. */
  readonly window: number;
  readonly boundary: number;
  readonly ending: number;
}

/** A batch of some pairs; rows beyond them repeat the first, and count nothing. */
function batchOf(
  pairs: readonly TokenPair[],
  indices: readonly number[],
  { batch, window, boundary, ending }: PairSize,
): Batch {
  const own = Array.from({ length: batch }, (_, row) => pairs[indices[row] ?? (indices[0] as number)] as TokenPair);
  const source = textRows(
    own.map((pair) => pair.source),
    window,
  );
  const texts = own.map(({ target }) => Array.from(target.subarray(0, window)));
  const tokens = textRows(
    texts.map((text) => [boundary, ...text]),
    window,
  );
  const targets = textRows(
    texts.map((text) => [...text, ending]),
    window,
  );
  const [, length] = tokens.tokens.shape as readonly [number, number];
  const mask = float32(
    [batch, length],
    Array.from({ length: batch * length }, (_, at) => {
      const row = Math.floor(at / length);
      return row < indices.length && at % length < (tokens.lengths.data[row] as number) ? 1 : 0;
    }),
  );
  return {
    source: source.tokens,
    sourceLengths: source.lengths,
    tokens: tokens.tokens,
    targets: targets.tokens,
    mask,
  };
}
