/**
 * The log-space form of a chunked causal attention, as what its branches compute: everything is written inside of the
 * branch that calls it, the features among it, so that it costs nothing where the chunked form is taken.
 */
import { type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  concatenate,
  exp,
  multiply,
  reshape,
  scalar,
  scope,
  slice,
  subtract,
  sum,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import {
  type LogSpaceInputs,
  logSpaceCausal,
  logSpaceCausalGradient,
  logSpaceScale,
  logSpaceState,
  type StateGradient,
} from './causal-log-space.js';
import { swapHeads } from './layout.js';
import { type KeyTokens, keyRows, type QueryTokens, queryRows, tokenGradients } from './rows.js';
import { type AttentionState, maskedLogScale } from './state.js';
import type { TermGradients } from './terms.js';

export interface TwinInputs {
  /** A map with log-features. */
  readonly map: FeatureMap;
  readonly group: number;
  /** All of them: [batch, length, heads, dim], the mask [batch, 1, length, 1]. */
  readonly tokens: QueryTokens & KeyTokens;
  /** [batch, length, keyHeads, 1]; absent where keys do not decay. */
  readonly logDecay: Tensor | undefined;
  /** Normalized. */
  readonly start: AttentionState;
}

/** The scale of the terms that were given out: those of the chunked form, where it is the state alone that it loses. */
export interface GivenScale {
  /** [batch, length, heads, 1] */
  readonly termScale: Tensor;
}

export interface CausalTwin {
  /** Numerators, denominators and their scales, [batch, length, heads, ·]. */
  terms(): readonly [numerator: Tensor, denominator: Tensor, logScale: Tensor];
  /**
   * The gradients of queries, keys, values and the scales of keys [batch, length, ·, dim or 1], of learned tensors, and of the
   * sum of the start.
   */
  gradients(
    g: TermGradients,
    gState: (StateGradient & GivenScale) | undefined,
  ): { readonly tokens: readonly Tensor[]; readonly learned: readonly Tensor[]; readonly start: Tensor };
  /** The sum and the logScale after all tokens. */
  state(): readonly Tensor[];
}

/** [length, batch, heads, ·] → [length, batch, heads/group, group, ·] */
function grouped(x: Tensor, group: number): Tensor {
  const [length, batch, , dim] = x.shape as [Dim, Dim, Dim, Dim];
  const heads = group === 1 ? x.dim(2) : x.staticDim(2) / group;
  return reshape(x, [length, batch, heads, group, dim]);
}

/** The inverse of `grouped`. */
function ungrouped(x: Tensor): Tensor {
  const [length, batch, heads, group, dim] = x.shape as [Dim, Dim, Dim, number, Dim];
  return reshape(x, [length, batch, multiplyDims(heads, group), dim]);
}

export function causalTwin({ map, group, tokens, logDecay, start }: TwinInputs): CausalTwin {
  // Rows [batch, heads, length, ·] by position, and back.
  const toPositions = (x: Tensor, size: number) => grouped(transpose(x, [2, 0, 1, 3]), size);
  const toRows = (x: Tensor) => transpose(ungrouped(x), [1, 2, 0, 3]);
  // Tokens [batch, length, heads, ·] by position, and back.
  const toTokens = (x: Tensor) => transpose(ungrouped(x), [1, 0, 2, 3]);
  const queries = () => queryRows(map, tokens, group);
  const keysOf = ({ features, value }: ReturnType<typeof keyRows>) => {
    const all = features.logFeatures!;
    const shown = tokens.mask === undefined ? all : where(tokens.mask, all, scalar(maskedLogScale));
    const decay = logDecay && toPositions(swapHeads(logDecay), 1);
    return { key: toPositions(shown, 1), value: toPositions(value, 1), logDecay: decay, state: start };
  };
  const keys = () => keysOf(keyRows(map, tokens));
  return {
    terms: () =>
      scope('logSpace', () => {
        const { logValues, logFeatures } = queries().features;
        const weighted = toTokens(logSpaceCausal({ query: toPositions(logValues!, group), ...keys() }));
        const scale = logSpaceScale({ query: toPositions(logFeatures!, group), ...keys() });
        const dim = weighted.staticDim(-1) - 1;
        return [slice(weighted, -1, 0, dim), slice(weighted, -1, dim), toTokens(scale)];
      }),
    gradients: (g, gState) =>
      scope('logSpace', () => {
        const [query, key] = [queries(), keyRows(map, tokens)];
        const inputs: LogSpaceInputs = { query: toPositions(query.features.logValues!, group), ...keysOf(key) };
        const { logValues, logFeatures } = query.features;
        const given = concatenate([g.numerator, g.denominator], -1);
        const scale = () => toTokens(logSpaceScale({ ...inputs, query: toPositions(logFeatures!, group) }));
        const own = gState === undefined ? given : multiply(given, exp(subtract(scale(), gState.termScale)));
        const gWeighted = grouped(transpose(own, [1, 0, 2, 3]), group);
        const found = logSpaceCausalGradient(inputs, gWeighted, gState);
        const { tokens: rows, learned } = tokenGradients(
          [
            [g.logScale === undefined ? logValues! : logFeatures!, toRows(found.query)],
            [key.features.logFeatures!, toRows(found.key)],
          ],
          [query.rows, key.rows],
          map,
        );
        const others = [found.value, sum(found.key, -1, true)].map((x) => swapHeads(toRows(x)));
        return { tokens: [...rows, ...others], learned, start: found.state };
      }),
    state: () =>
      scope('logSpace', () => {
        const state = logSpaceState(keys());
        return [state.sum, state.logScale];
      }),
  };
}
