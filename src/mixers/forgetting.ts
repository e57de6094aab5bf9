/**
 * How causal attention forgets: each token multiplies all keys before it by a factor γ, one for each key head, in numerator and
 * denominator alike, so that a key which is n tokens away counts for γⁿ of what it would (the state S ← γS + φ(k)[v, 1]).
 *
 *   decay  γ_h = 1 − 2^{−5−h} (RetNet, Sun et al. 2023, arXiv 2307.08621, section 3.1): nothing is learned, and distance is seen
 *          without positions. Heads remember some 32, 64, 128, … tokens.
 *   gates  γ_h = σ(w_h·x + b_h + log(γ⁰/(1 − γ⁰))), with the γ⁰_h of `decay`, at which a gate begins: the token decides, a scalar
 *          for each head (as in Mamba-2, Dao & Gu 2024, and the forget gates of Lin et al. 2025; GLA, Yang et al. 2023, has one
 *          for each feature). Who wants a learned decay has it in b_h.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import type { ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { type LinearParams, linear, linearLayout } from '../blocks/index.js';
import { add, broadcastTo, constant, negate, softplus, type Tensor } from '../graph/index.js';
import type { Problem } from './mixer.js';

const kinds = z.enum(['none', 'decay', 'gates']);

/** The option of all mixers that can forget. */
export const forgettingOption = option(
  kinds.default('none'),
  'what a token makes of those before it: less by a factor of the head (decay), or by one that it decides (gates)',
  { flag: 'forgetting' },
);

/** Without a causal order nothing is forgotten. */
export function forgettingProblems(
  kind: z.output<typeof kinds>,
  { isCausal }: { readonly isCausal: boolean },
): readonly Problem[] {
  if (isCausal || kind === 'none') return [];
  return [[['forgetting'], `expected none where tokens see those after them too, got ${kind}`]];
}

/** What a mixer that forgets learns for it, and the factors. */
export interface Forgetting {
  /** [dim, keyHeads], of gates. */
  readonly gate: LinearParams<ParameterSpec> | undefined;
  /** log γ [batch, length, keyHeads] of tokens x [batch, length, dim]. */
  logDecay(gate: LinearParams | undefined, x: Tensor): Tensor;
}

/**
 * How a causal mixer forgets; absent where it does not. The encoder of an encoder-decoder has the options of its decoder, and
 * no order in which it could forget.
 */
export function forgettingOf(
  kind: z.output<typeof kinds>,
  { dim, keyHeads, isCausal }: { readonly dim: number; readonly keyHeads: number; readonly isCausal: boolean },
): Forgetting | undefined {
  if (kind === 'none' || !isCausal) return undefined;
  const heads = Array.from({ length: keyHeads }, (_, head) => 2 ** (-5 - head));
  const ofHeads = (value: (forgotten: number) => number) => constant('float32', [keyHeads], heads.map(value));
  return {
    gate: kind === 'gates' ? linearLayout(dim, keyHeads) : undefined,
    logDecay(gate, x) {
      const [batch, length] = x.shape as [Dim, Dim];
      if (gate === undefined)
        return broadcastTo(
          ofHeads((forgotten) => Math.log1p(-forgotten)),
          [batch, length, keyHeads],
        );
      const logits = add(
        linear(gate, x),
        ofHeads((forgotten) => Math.log(1 / forgotten - 1)),
      );
      return negate(softplus(negate(logits))); // log σ
    },
  };
}
