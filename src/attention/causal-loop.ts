/** The loop over the chunks of a causal attention, and the one back through them for the gradient. */
import {
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
import { type Listed, listed } from './blocks.js';
import {
  type ChunkForm,
  type ChunkSaved,
  type ChunkState,
  type ChunkTerms,
  type ChunkTokens,
  chunkGradients,
  readChunk,
} from './causal-chunk.js';
import { readRows, rowGradients } from './causal-rows.js';
import { toSequence } from './layout.js';
import { type AttentionState, raiseBy } from './state.js';
import { splitSums } from './sums.js';
import type { TermGradients } from './terms.js';

/** [..., features, dim + 1] → [..., dim + 1, features], and back. */
export function swapLast(x: Tensor): Tensor {
  return transpose(x, [0, 1, 3, 2]);
}

/** The tokens of all chunks as sequences of a loop, in the order of their names. */
type Sequences = { readonly [K in keyof ChunkTokens]: ChunkTokens[K] };

interface LoopInputs {
  readonly form: ChunkForm;
  /** Whether each row has a scale of its own: see causal-rows.ts. */
  readonly hasRowScales: boolean;
  readonly tokens: Sequences;
  readonly start: AttentionState;
}

/**
 * The gradients of queries, keys, values and the scales of keys [chunks, batch, chunk, ·, dim or 1], of learned tensors, and of
 * the sum of the start.
 */
export interface LoopGradients {
  readonly tokens: readonly Tensor[];
  readonly learned: readonly Tensor[];
  readonly start: Tensor;
}

export interface ChunkLoop {
  /** [chunks, batch, heads, chunk, ·] */
  readonly terms: ChunkTerms;
  readonly final: ChunkState;
  /** From the gradients of the terms [batch, length, heads, ·], and of the last sums, as `joinSums` has them, if any. */
  gradients(g: TermGradients, gFinal: Tensor | undefined): LoopGradients;
}

/** The sums of a start as the loop has them, [batch, keyHeads, dim + 1, features], and what a state's sums are multiplied by for it. */
function initialState({ sum: total, logScale }: AttentionState, headroom: number) {
  const scale = reshape(max(logScale, -1, true), [...logScale.shape.slice(0, 2), 1, 1]); // one for each head
  const relative = exp(subtract(reshape(logScale, [...logScale.shape, 1]), scale));
  const factor = raiseBy(relative, headroom); // [batch, keyHeads, features, 1]
  return { joined: swapLast(multiply(total, factor)), scale, factor };
}

/** The loop over the chunks, and how gradients get back through it. */
export function chunkLoop({ form, hasRowScales, tokens, start }: LoopInputs): ChunkLoop {
  const [read, gradientsOf] = hasRowScales ? [readRows, rowGradients] : [readChunk, chunkGradients];
  const { joined, scale: startScale, factor } = initialState(start, form.headroom);
  const { values: startValues, weights: startWeights } = splitSums(joined);
  const sequences = listed(tokens);
  let found: { readonly terms: Listed<ChunkTerms>; readonly saved: Listed<ChunkSaved> } | undefined;
  const forward = scan(
    [startValues, startWeights, startScale],
    sequences.tensors,
    ([values, weights, scale], items) => {
      const before = { sums: { values: values!, weights: weights! }, scale: scale! };
      const { next, terms, saved } = read(form, before, sequences.named(items));
      found = { terms: listed(terms), saved: listed(saved) };
      return {
        states: [next.sums.values, next.sums.weights, next.scale],
        items: [...found.terms.tensors, ...found.saved.tensors],
      };
    },
  );
  const { terms, saved } = found!;
  const [values, weights, scale] = forward.states as [Tensor, Tensor, Tensor];

  const gradients = (g: TermGradients, gFinal: Tensor | undefined): LoopGradients => {
    const learned = (form.map.learned ?? []).map(({ shape }) => broadcastTo(scalar(0), shape));
    const byChunk = (x: Tensor) => toSequence(x, form.tril.staticDim(1));
    // Features with logarithms need to know that their scale counts, and not by how much.
    const gScale = form.isLogarithmic ? undefined : g.logScale;
    const given = listed({
      gNumerator: byChunk(g.numerator),
      gDenominator: byChunk(g.denominator),
      gScale: gScale && byChunk(gScale),
    });
    const sources = [sequences.tensors, forward.items.slice(terms.tensors.length), given.tensors];
    const [first, second] = [sources[0]!.length, sources[0]!.length + sources[1]!.length];
    const backward = scan(
      [gFinal ?? broadcastTo(scalar(0), joined.shape), ...learned],
      sources.flat(),
      ([later, ...totals], items) => {
        const own = given.named(items.slice(second));
        const result = gradientsOf(form, sequences.named(items), saved.named(items.slice(first)), {
          ...own,
          gScale: form.isLogarithmic ? g.logScale : own.gScale,
          later: later!,
        });
        return {
          states: [result.earlier, ...totals.map((total, at) => add(total, result.learned[at]!))],
          items: [result.query, result.key, result.value, result.keyScale],
        };
      },
      { reverse: true },
    );
    const [ofStart, ...ofLearned] = backward.states as [Tensor, ...Tensor[]];
    return { tokens: backward.items, learned: ofLearned, start: multiply(swapLast(ofStart), factor) };
  };
  return { terms: terms.named(forward.items), final: { sums: { values, weights }, scale }, gradients };
}
