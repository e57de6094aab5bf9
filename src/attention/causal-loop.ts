/** The loop over the chunks of a causal attention, and the one back through them for the gradient. */
import type { Dim } from '../base/dimension.js';
import {
  type AnyTensor,
  add,
  broadcastTo,
  exp,
  max,
  multiply,
  reshape,
  scalar,
  scan,
  subtract,
  type Tensor,
  transpose,
} from '../graph/index.js';
import {
  type ChunkForm,
  type ChunkSaved,
  type ChunkState,
  type ChunkTokens,
  chunkGradients,
  readChunk,
} from './causal-chunk.js';
import { readRows, rowGradients } from './causal-rows.js';
import { toSequence } from './layout.js';
import type { AttentionState } from './state.js';
import { splitSums } from './sums.js';

/** A state's sums at one scale per head with the headroom in them, and that scale [batch, heads, 1, 1]. */
function unify({ sum: total, logScale }: AttentionState, headroom: number): ChunkState {
  const scale = reshape(max(logScale, -1, true), [...logScale.shape.slice(0, 2), 1, 1]);
  const column = reshape(logScale, [...logScale.shape, 1]);
  const own = multiply(total, exp(subtract(column, scale)));
  return { sums: splitSums(swapLast(headroom === 1 ? own : multiply(own, headroom))), scale };
}

/** [..., features, dim + 1] → [..., dim + 1, features], and back. */
export function swapLast(x: Tensor): Tensor {
  return transpose(x, [0, 1, 3, 2]);
}

/** The tokens of all chunks as sequences of a loop, in the order of their names. */
type Sequences = { readonly [K in keyof ChunkTokens]: ChunkTokens[K] };

function tokensOf(names: readonly string[], items: readonly AnyTensor[]): ChunkTokens {
  return Object.fromEntries(names.map((name, at) => [name, items[at]])) as unknown as ChunkTokens;
}

interface CoreInputs {
  readonly form: ChunkForm;
  /** Whether keys have scales of their own and no logarithms: see causal-rows.ts. */
  readonly hasRowScales: boolean;
  readonly tokens: Sequences;
  readonly start: AttentionState;
}

const savedNames = ['inverse', 'weight', 'values', 'weights', 'decay', 'past', 'isOwn'] as const;

/** The loop over the chunks: the outputs [chunks, batch, heads, chunk, dim] before their gradient, and how to get it. */
export function chunkLoop({ form, hasRowScales, tokens, start }: CoreInputs) {
  const initial = unify(start, form.headroom);
  const [read, gradientsOf] = hasRowScales ? [readRows, rowGradients] : [readChunk, chunkGradients];
  const names = Object.keys(tokens);
  const sequences = Object.values(tokens);
  const has = { past: hasRowScales, isOwn: form.map.isSigned === true };
  const kept = savedNames.filter((name) => (name !== 'past' && name !== 'isOwn') || has[name]);
  const forward = scan(
    [initial.sums.values, initial.sums.weights, initial.scale],
    sequences,
    ([values, weights, scale], items) => {
      const before = { sums: { values: values!, weights: weights! }, scale: scale! };
      const { next, output, saved, seen } = read(form, before, tokensOf(names, items));
      return {
        states: [next.sums.values, next.sums.weights, next.scale],
        items: [output, ...kept.map((name) => saved[name]!), ...(seen === undefined ? [] : [seen])],
      };
    },
  );
  const [output, ...items] = forward.items as [Tensor, ...Tensor[]];
  const saved = items.slice(0, kept.length);
  /** Of maps with logarithms. */
  const rows = { inverse: saved[0]!, seen: items.at(-1)!, visible: tokens.visible, sums: output };

  /** The gradients of queries, keys and values [chunks, batch, chunk, heads, dim] and of learned tensors, from the last chunk to the first. */
  const gradients = (gOutput: Tensor): readonly Tensor[] => {
    const learned = form.map.learned ?? [];
    const [batch, heads, dim, features] = initial.sums.values.shape as [Dim, Dim, number, Dim];
    const nothing = [[batch, heads, dim + 1, features], ...learned.map(({ shape }) => shape)].map((shape) =>
      broadcastTo(scalar(0), shape),
    );
    const chunk = form.tril.staticDim(0);
    const backward = scan(
      nothing,
      [...sequences, ...saved, output, toSequence(gOutput, chunk)],
      ([later, ...totals], all) => {
        const [own, rest] = [all.slice(0, names.length), all.slice(names.length)];
        const held = Object.fromEntries(kept.map((name, at) => [name, rest[at]])) as unknown as ChunkSaved;
        const result = gradientsOf(form, tokensOf(names, own), held, {
          output: rest[kept.length] as Tensor,
          gOutput: rest[kept.length + 1] as Tensor,
          later: later!,
        });
        return {
          states: [result.earlier, ...totals.map((total, at) => add(total, result.learned[at]!))],
          items: [result.query, result.key, result.value],
        };
      },
      { reverse: true },
    );
    return [...backward.items, ...backward.states.slice(1)];
  };
  const [values, weights, scale] = forward.states as [Tensor, Tensor, Tensor];
  return { output, rows, gradients, final: { sums: { values, weights }, scale } };
}
