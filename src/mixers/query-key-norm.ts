/**
 * Queries and keys of one length, which each head learns (Henry et al. 2020, arXiv 2010.04245): q ← √τ·d^¼·q/‖q‖, and k
 * alike, so that the logits qᵀk/√d are τ·cos(q, k) and the temperature τ is the largest that there can be.
 *
 * An estimate by random features has a relative variance of e^{‖q+k‖²/√d}/m or less, here e^{4τ}/m at most and e^{2τ}/m
 * for queries and keys at right angles: what training makes of the projections cannot bring it out of that bound. Rotary
 * positions turn what was normalised and leave its length.
 *
 * With `temperature` they stay as they are projected, but for a factor √τ that each head learns: the kernel becomes e^{τ·q·k/√d}.
 */
import * as z from 'zod';
import { filled, type ParameterSpec } from '../base/layout.js';
import { choice, option } from '../base/options.js';
import { broadcastTo, constant, multiply, reshape, rmsNorm, type Tensor } from '../graph/index.js';

/** The norm of queries and keys as an option of mixers. */
export const queryKeyNormChoice = choice(
  'kind',
  [
    z.strictObject({ kind: z.literal('none') }),
    z.strictObject({
      kind: z.literal('unit'),
      temperature: option(
        z.number().positive().max(1000).default(4),
        'the largest logit of normalised queries and keys before training',
        { flag: 'query-key-temperature' },
      ),
    }),
    z.strictObject({ kind: z.literal('temperature') }),
  ],
  'none',
);

/** What is done to queries and keys before they meet. */
export type QueryKeyNorm = z.output<typeof queryKeyNormChoice>;

/** √τ of each key head and of the query heads that share it, whose square cannot be negative. */
export function queryKeyScaleLayout(norm: QueryKeyNorm, keyHeads: number): ParameterSpec | undefined {
  if (norm.kind === 'none') return undefined;
  return filled([keyHeads], norm.kind === 'unit' ? Math.sqrt(norm.temperature) : 1);
}

/**
 * x [batch, length, heads, headDim] times scale [keyHeads], of which as many heads in a row share an entry; of `unit` with rows of
 * length headDim^¼ before.
 */
export function scaleHeads(x: Tensor, scale: Tensor | undefined, norm: QueryKeyNorm | undefined): Tensor {
  if (scale === undefined) return x;
  const [heads, keyHeads] = [x.staticDim(-2), scale.staticDim(0)];
  const shared = broadcastTo(reshape(scale, [keyHeads, 1]), [keyHeads, heads / keyHeads]);
  return multiply(
    norm?.kind === 'unit' ? ofUnitLength(x) : x,
    reshape(heads === keyHeads ? scale : shared, [heads, 1]),
  );
}

/** Rows of length dim^¼: RMSNorm gives rows of length √dim. */
function ofUnitLength(x: Tensor): Tensor {
  const dim = x.staticDim(-1);
  return rmsNorm(x, constant('float32', [dim], new Array<number>(dim).fill(dim ** -0.25)));
}
