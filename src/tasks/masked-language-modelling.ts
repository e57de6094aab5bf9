/**
 * Masked language modelling (BERT, Devlin et al. 2019, section 3.1): 15 % of the tokens of a window are predicted from
 * all others. Of those, 80 % are replaced by the mask token, 10 % by a random one, and 10 % stay as they are. Special tokens
 * are never predicted, and never stand for another.
 */
import { float32, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { randomWindows, type TokenSource, tokenizerNamed } from '../data/index.js';
import { cast, lessOrEqual, max, multiply, oneHot, reshape, spec, sum, type Tensor } from '../graph/index.js';
import { type Model, maskTokenOf, tokenConfig } from '../models/index.js';
import { crossEntropy } from './cross-entropy.js';
import type { Batch, BatchSize, Task, TaskEvaluation, TextData } from './task.js';

/** All [batch, window], but for `lengths` [batch]. */
type MaskedTensors = {
  readonly tokens: Tensor<'int32'>;
  readonly targets: Tensor<'int32'>;
  /** 1 for the tokens that are predicted. */
  readonly predicted: Tensor;
  readonly lengths?: Tensor<'int32'>;
};

const [predictedPart, maskedPart, randomPart] = [0.15, 0.8, 0.1];

/**
 * The task for an encoder and a text.
 *
 * @throws CONFIG where a state is to be carried, which an encoder does not have.
 */
export function maskedLanguageModelling(model: Model, size: BatchSize, { train, heldOut }: TextData): Task {
  const { batch, window, accumulation, carryState, seed } = size;
  if (carryState) {
    throw new PerformerError('CONFIG', 'masked-language-modelling: expected windows on their own, got carryState.');
  }
  const random = Random.fromSeed(seed);
  const tokens = maskingTokens(model);
  return {
    name: 'masked-language-modelling',
    model,
    size,
    tokensPerStep: batch * accumulation * window,
    specs: batchSpecs(batch, window),
    loss(weights, { tokens, targets, predicted, lengths }: MaskedTensors, options) {
      const result = model.apply(weights, { tokens, lengths }, options);
      const losses = crossEntropy(result.output, targets); // [batch, window]
      const total = sum(multiply(losses, predicted));
      return { total, count: sum(predicted), sums: { hits: hits(result.output, targets, predicted) }, result };
    },
    async step(step) {
      const rows = { batch: batch * accumulation, window: window - 1, step };
      const { data } = await randomWindows(train, { ...rows, random: random.split('batches') });
      const batches = Array.from({ length: accumulation }, (_, index) => {
        const own = data.subarray(index * batch * window, (index + 1) * batch * window);
        return masked(own, [batch, window], { ...tokens, random: random.split('masks').split(step).split(index) });
      });
      return { batches, isStart: true };
    },
    evaluations: [evaluationOf(size, heldOut, tokens)],
    measures(_, { total, count, sums }) {
      const loss = total / count;
      return { loss, perplexity: Math.exp(loss), accuracy: (sums.hits?.[0] ?? 0) / count };
    },
  };
}

function batchSpecs(batch: number, window: number) {
  const tokens = spec('int32', [batch, window]);
  return { tokens, targets: tokens, predicted: spec('float32', [batch, window]) };
}

/** How many of the predicted tokens are the likeliest: a scalar. */
function hits(logits: Tensor, targets: Tensor<'int32'>, predicted: Tensor): Tensor {
  const classes = logits.staticDim(-1);
  const [rows, length] = targets.shape as [number, number];
  const hot = reshape(oneHot(reshape(targets, [rows * length]), classes), [rows, length, classes]);
  const isHit = lessOrEqual(max(logits, -1), sum(multiply(logits, hot), -1)); // [batch, window]
  return sum(multiply(cast(isHit, 'float32'), predicted));
}

interface MaskingTokens {
  readonly maskToken: number;
  /** The tokens that stand for text, which alone are predicted. */
  readonly ordinary: Int32Array;
  isOrdinary(token: number): boolean;
}

interface Masking extends MaskingTokens {
  readonly random: Random;
}

function maskingTokens(model: Model): MaskingTokens {
  const { tokenizer, vocabularySize } = tokenConfig(model.config);
  const { special, vocabularySize: own } = tokenizerNamed(tokenizer);
  const maskToken = maskTokenOf(model);
  const isOrdinary = (token: number) => token !== maskToken && special?.all.has(token) !== true;
  const all = Int32Array.from({ length: Math.min(own, vocabularySize) }, (_, token) => token);
  return { maskToken, ordinary: all.filter(isOrdinary), isOrdinary };
}

/** Tokens with some masked, what they were, and which are predicted: always one at least. */
function masked(
  original: Int32Array,
  shape: readonly number[],
  { maskToken, ordinary, isOrdinary, random }: Masking,
  isReal: (at: number) => boolean = () => true,
): Batch {
  const { length } = original;
  const draws = random.split('draws').bits(2 * length);
  const others = random.split('tokens').bits(length);
  const unit = (word: number | undefined) => (word ?? 0) / 2 ** 32;
  const tokens = original.slice();
  const predicted = new Float32Array(length);
  for (let at = 0; at < length; at++) {
    const isGuessed = isReal(at) && isOrdinary(original[at] as number);
    if (!isGuessed || unit(draws[2 * at]) >= predictedPart) continue;
    predicted[at] = 1;
    const choice = unit(draws[2 * at + 1]);
    if (choice < maskedPart) tokens[at] = maskToken;
    else if (choice < maskedPart + randomPart)
      tokens[at] = ordinary[(others[at] as number) % ordinary.length] as number;
  }
  if (!predicted.includes(1)) {
    const first = Math.max(0, original.findIndex(isOrdinary));
    predicted[first] = 1;
    if (isOrdinary(original[first] as number)) tokens[first] = maskToken;
  }
  return { tokens: int32(shape, tokens), targets: int32(shape, original), predicted: float32(shape, predicted) };
}

/** The whole text in windows, with the same masks each time. */
function evaluationOf({ batch, window, seed }: BatchSize, heldOut: TokenSource, tokens: MaskingTokens): TaskEvaluation {
  const random = Random.fromSeed(seed).split('evaluation');
  return {
    name: 'masked',
    batch,
    carriesState: false,
    specs: { ...batchSpecs(batch, window), lengths: spec('int32', [batch]) },
    async *batches() {
      const count = batch * window;
      for (let start = 0; start < heldOut.length; start += count) {
        const found = await heldOut.read(start, Math.min(count, heldOut.length - start));
        const original = new Int32Array(count);
        original.set(found);
        const lengths = Int32Array.from({ length: batch }, (_, row) =>
          Math.max(0, Math.min(window, found.length - row * window)),
        );
        const masking = { ...tokens, random: random.split(start) };
        const given = masked(original, [batch, window], masking, (at) => at < found.length);
        const counts = int32([batch], lengths);
        yield { ...given, lengths: counts };
      }
    },
  };
}
