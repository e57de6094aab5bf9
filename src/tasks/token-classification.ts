/**
 * Token classification: the class of each word of a text is told, by the cross-entropy of one logit for each class at the
 * word's first token. Its other tokens count nothing (BERT, Devlin et al. 2019, section 5.3). Texts of about one length stand
 * side by side.
 *
 * Where classes are of the form BIO, spans are measured, too: one is right where its first word, its last word and its kind
 * are (Tjong Kim Sang and De Meulder 2003).
 */
import { float32, type HostTensor, int32 } from '../base/array.js';
import { withArticle } from '../base/article.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { elementCount } from '../base/shape.js';
import {
  areBio,
  batchesByLength,
  type Span,
  spansOf,
  type TaggedData,
  type TaggedTokens,
  textBatches,
  textRows,
} from '../data/index.js';
import { argMax, cast, multiply, oneHot, reshape, spec, sum, type Tensor } from '../graph/index.js';
import { expectTargets, type Model } from '../models/index.js';
import { accuracyOf, confusionOf, confusionTallies, weightOf } from './confusion.js';
import { crossEntropy } from './cross-entropy.js';
import { f1Of, macroF1Of, type Tally, totalOf } from './f1.js';
import type { Batch, BatchSize, Task } from './task.js';

/** All [batch, length], but for `lengths` [batch]. */
type WordTensors = {
  readonly tokens: Tensor<'int32'>;
  readonly lengths: Tensor<'int32'>;
  /** The classes of words, at their first tokens. */
  readonly targets: Tensor<'int32'>;
  /** 1 at the first tokens of words. */
  readonly mask: Tensor;
};

/**
 * The task for a token classifier and texts whose words have labels.
 *
 * @throws CONFIG for a model of another family, and where a state is to be carried; DATA, when a batch is made, for a label
 *   that the model does not know.
 */
export function tokenClassification(model: Model, size: BatchSize, { train, heldOut }: TaggedData): Task {
  const { names, weights: classWeights } = expectTargets('token-classification', model, 'classes');
  const { batch, window, accumulation, carryState, seed } = size;
  if (model.kind !== 'token-classifier' || carryState) {
    const got = carryState ? 'carryState' : withArticle(model.config.model);
    throw new PerformerError('CONFIG', `token-classification: expected texts for a token-classifier, got ${got}.`);
  }
  const random = Random.fromSeed(seed).split('batches');
  const classes = names.length;
  const rows = { batch, window, numberOf: numbersOf(names) };
  const sizes = (texts: readonly TaggedTokens[]) => texts.map(({ tokens }) => tokens.length);
  const tokens = spec('int32', [batch, symbol('length')]);
  const mask = spec('float32', tokens.shape);
  const specs = { tokens, lengths: spec('int32', [batch]), targets: tokens, mask };
  const batches =
    train.length === 0
      ? undefined
      : textBatches({ length: train.length, sizes: sizes(train) }, { batch, window, random });
  const meanSize = sizes(train).reduce((total, each) => total + Math.min(each, window), 0) / Math.max(1, train.length);
  return {
    name: 'token-classification',
    model,
    size,
    specs,
    tokensPerStep: Math.round(batch * accumulation * meanSize),
    loss(given, { targets, mask, ...inputs }: WordTensors, options) {
      const result = model.apply(given, inputs, options);
      const count = elementCount(mask.shape);
      const flat = reshape(result.output, [count, classes]);
      const own = reshape(mask, [count]);
      const hot = oneHot(reshape(targets, [count]), classes);
      const losses = crossEntropy(flat, reshape(targets, [count]));
      const counted = classWeights === undefined ? own : multiply(own, weightOf(hot, classWeights));
      const sums = { confusion: confusionOf(flat, hot, own) };
      const told = cast(argMax(result.output, -1), 'float32'); // [batch, length]
      return { total: sum(multiply(losses, counted)), count: sum(counted), sums, told, result };
    },
    tally: (given, told) => (areBio(names) ? spanTallies(names, given, told) : {}),
    async step(step) {
      const numbers = Array.from({ length: accumulation }, (_, index) => step * accumulation + index);
      return { batches: numbers.map((number) => batchOf(train, batches?.of(number) ?? [], rows)), isStart: true };
    },
    evaluations: [
      {
        ...{ name: 'words', batch, carriesState: false, specs },
        async *batches() {
          for (const indices of batchesByLength(sizes(heldOut), batch)) yield batchOf(heldOut, indices, rows);
        },
      },
    ],
    measures(_, { total, count, sums }) {
      const confusion = sums.confusion ?? new Float64Array(classes ** 2);
      const measures = {
        loss: total / count,
        accuracy: accuracyOf(confusion, classes),
        macroF1: macroF1Of(confusionTallies(confusion, classes)),
      };
      return sums.spans === undefined ? measures : { ...measures, spanF1: f1Of(totalOf(tripletsOf(sums.spans))) };
    },
    details({ sums: { confusion = new Float64Array(classes ** 2), spans } }) {
      const ofWords = { kind: 'labels', unit: 'words', names, tallies: confusionTallies(confusion, classes) } as const;
      if (spans === undefined) return [ofWords];
      return [ofWords, { kind: 'spans', unit: 'spans', names: kindsOf(names), tallies: tripletsOf(spans) }];
    },
  };
}

/** The number of each label. Throws DATA for one that the model does not know. */
function numbersOf(names: readonly string[]): (label: string) => number {
  const numbers = new Map(names.map((name, index) => [name, index]));
  return (label) => {
    const number = numbers.get(label);
    if (number !== undefined) return number;
    const expected = `labels among ${names.join(', ')}`;
    throw new PerformerError('DATA', `token-classification: expected ${expected}, got ${label}.`);
  };
}

interface BatchRows {
  readonly batch: number;
  /** Texts are cut at so many tokens, and words that begin behind them count nothing. */
  readonly window: number;
  numberOf(label: string): number;
}

/** A batch of some texts; rows beyond them repeat the first, and count nothing. */
function batchOf(
  texts: readonly TaggedTokens[],
  indices: readonly number[],
  { batch, window, numberOf }: BatchRows,
): Batch {
  const own = Array.from({ length: batch }, (_, row) => texts[indices[row] ?? (indices[0] as number)] as TaggedTokens);
  const rows = textRows(
    own.map(({ tokens }) => tokens),
    window,
  );
  const { shape } = rows.tokens;
  const length = shape[1] as number;
  const [targets, mask] = [new Int32Array(batch * length), new Float32Array(batch * length)];
  for (const [row, { places, labels }] of own.slice(0, indices.length).entries()) {
    for (const [word, label] of labels.entries()) {
      const [place, at] = [places[word] as number, row * length + (places[word] as number)];
      if (place >= window || mask[at] === 1) continue; // of words that share a token the first counts
      targets[at] = numberOf(label);
      mask[at] = 1;
    }
  }
  return { ...rows, targets: int32(shape, targets), mask: float32(shape, mask) };
}

/** The kinds of spans that labels of the form BIO tell. */
function kindsOf(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name) => name !== 'O').map((name) => name.slice(2)))].sort();
}

/** Of each kind of spans, how many there are, were told, and rightly: three numbers each, one after another. */
function spanTallies(names: readonly string[], { targets, mask }: Batch, told: HostTensor) {
  const kinds = kindsOf(names);
  const spans = kinds.flatMap(() => [0, 0, 0]);
  const [rows, length] = told.shape as readonly [number, number];
  const add = ({ label }: Span, at: 0 | 1 | 2) => {
    spans[3 * kinds.indexOf(label) + at]! += 1;
  };
  for (let row = 0; row < rows; row++) {
    const places = Array.from({ length }, (_, at) => row * length + at).filter((at) => mask?.data[at] === 1);
    const spansIn = (classes: HostTensor['data'] | Int32Array) =>
      spansOf(places.map((at) => names[classes[at] as number] as string));
    const keyOf = ({ start, end, label }: Span) => `${start} ${end} ${label}`;
    const real = spansIn((targets as HostTensor<'int32'>).data);
    const known = new Set(real.map(keyOf));
    for (const span of real) add(span, 0);
    for (const span of spansIn(told.data)) {
      add(span, 1);
      if (known.has(keyOf(span))) add(span, 2);
    }
  }
  return { spans };
}

function tripletsOf(spans: ArrayLike<number>): readonly Tally[] {
  return Array.from({ length: spans.length / 3 }, (_, kind) => {
    const [texts = 0, told = 0, right = 0] = Array.from(spans).slice(3 * kind, 3 * kind + 3);
    return { texts, told, right };
  });
}
