/**
 * Batches of labelled texts of about the same length, so that little of them is padding.
 *
 * Each epoch is a permutation of the texts. It is cut into pools of several batches; a pool is sorted by length and cut
 * into batches, which come in an order of chance. Which texts a batch has is a function of its number, the seed and the
 * texts, so that a resumed run needs no stored position.
 */
import { type HostTensor, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { LabelledTokens, Target } from './labelled.js';

/** Batches of a pool. */
const poolBatches = 16;

/** Texts side by side, as tokens that are padded with zeros to the longest of them. */
export interface TextRows {
  /** [batch, length], with one token at least. */
  readonly tokens: HostTensor<'int32'>;
  /** How many tokens of each row are real, [batch]. */
  readonly lengths: HostTensor<'int32'>;
}

/** Token rows of any lengths as one array, each cut at `window` tokens. */
export function textRows(rows: readonly ArrayLike<number>[], window: number): TextRows {
  const lengths = rows.map((row) => Math.min(row.length, window));
  const length = Math.max(1, ...lengths);
  const tokens = new Int32Array(rows.length * length);
  rows.forEach((row, at) => {
    for (let index = 0; index < (lengths[at] as number); index++) tokens[at * length + index] = row[index] as number;
  });
  return { tokens: int32([rows.length, length], tokens), lengths: int32([rows.length], lengths) };
}

/** Numbers of items by the length of each, the shortest first and otherwise in their order. */
function byLength(indices: ArrayLike<number>, lengthOf: (index: number) => number): number[] {
  return Array.from(indices).sort((a, b) => lengthOf(a) - lengthOf(b));
}

/** The places of all items in batches of about one length, by the length of each; the last may be smaller. */
export function batchesByLength(lengths: readonly number[], batch: number): readonly (readonly number[])[] {
  const order = byLength([...lengths.keys()], (index) => lengths[index] as number);
  return Array.from({ length: Math.ceil(order.length / batch) }, (_, at) => order.slice(at * batch, (at + 1) * batch));
}

/** Which texts are in which batch, as a function of the seed. */
export interface TextBatches {
  /** The numbers of the texts of a batch, by the number of the batch from 0: as many as a batch has. */
  of(number: number): readonly number[];
}

/** The batches of every epoch. Where there are fewer texts than a batch has rows, they are repeated. Throws DATA for none. */
export function textBatches(
  texts: Pick<LabelledTokens, 'length' | 'sizes'>,
  { batch, window, random }: { readonly batch: number; readonly window: number; readonly random: Random },
): TextBatches {
  const { length, sizes } = texts;
  if (length === 0) throw new PerformerError('DATA', 'textBatches: expected texts to learn from, got none.');
  const perEpoch = Math.max(1, Math.floor(length / batch));
  let known: { readonly epoch: number; readonly order: Uint32Array } | undefined;
  const orderOf = (epoch: number) => {
    if (known?.epoch !== epoch) known = { epoch, order: random.split('order').split(epoch).permutation(length) };
    return known.order;
  };
  return {
    of(number) {
      const epoch = Math.floor(number / perEpoch);
      const at = number % perEpoch;
      const first = at - (at % poolBatches);
      const count = Math.min(poolBatches, perEpoch - first);
      const order = orderOf(epoch);
      const pool = Array.from({ length: count * batch }, (_, row) => order[(first * batch + row) % length] as number);
      const sorted = byLength(pool, (index) => Math.min(sizes[index] as number, window));
      const turn = random.split('pools').split(epoch).split(first).permutation(count)[at - first] as number;
      return sorted.slice(turn * batch, (turn + 1) * batch);
    },
  };
}

/** A batch of labelled texts. */
export interface LabelledRows extends TextRows {
  readonly targets: readonly Target[];
}

/** Reads texts by their numbers. */
export async function readTexts(
  texts: LabelledTokens,
  indices: readonly number[],
  window: number,
): Promise<LabelledRows> {
  const found = await Promise.all(indices.map((index) => texts.read(index)));
  return {
    ...textRows(
      found.map(({ tokens }) => tokens),
      window,
    ),
    targets: found.map(({ target }) => target),
  };
}
