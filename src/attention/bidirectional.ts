/**
 * Bidirectional (and cross) FAVOR+ (Choromanski et al. 2021, eq. 4).
 *
 *   Q, K   the features of queries and keys
 *   Ṽ      [V, 1]: the values and a column of ones
 *   S      ṼᵀK, the sums over all keys
 *   G, Z   the gradients of [num, den] and of S
 *
 *   [num, den] = Q Sᵀ;   dQ = G S;   Z = GᵀQ;   dK = Ṽ Z;   dṼ = K Zᵀ
 *
 * The loops are in bidirectional-loop.ts; those of the gradient compute the features again. The largest scale of the keys is
 * taken out of the weights, and is a part of the scale of [num, den], which is taken as a constant. Where float32 loses
 * weights that count (underflow.ts), sums and gradients come from a branch in log space (bidirectional-log-space.ts).
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
  concatenate,
  conditional,
  less,
  max,
  reshape,
  scalar,
  scope,
  slice,
  stopGradient,
  sum,
  type Tensor,
  transpose,
  where,
  withGradient,
} from '../graph/index.js';
import {
  logSpaceBidirectional,
  logSpaceBidirectionalGradient,
  logSpaceBidirectionalScale,
} from './bidirectional-log-space.js';
import { type BidirectionalLoop, bidirectionalLoop } from './bidirectional-loop.js';
import { type Blocks, blocksOf, maskBlocks } from './blocks.js';
import { guarded } from './guard.js';
import { gatherHeads, groupOf, repeatHeads, splitHeads } from './heads.js';
import {
  type AttentionInputs,
  checkInputs,
  chunkRows,
  expectPositions,
  joinRows,
  positionsOf,
  swapHeads,
  withoutHidden,
} from './layout.js';
import { keyRows, queryRows, tokenGradients } from './rows.js';
import { headroomOf, maskedLogScale } from './state.js';
import { type AttentionTerms, divideTerms, type TermGradients } from './terms.js';
import { underflows } from './underflow.js';

/** The two forms of an attention, of which neither is computed yet. */
interface BidirectionalCore {
  readonly loop: BidirectionalLoop;
  /** Of maps with logarithms. */
  readonly twin: BidirectionalTwin | undefined;
  readonly byQuery: Blocks;
  readonly byKey: Blocks;
}

/** The form in log space, as what its branches compute: everything is written inside of the branch that calls it. */
interface BidirectionalTwin {
  /** Numerators, denominators and their scales, [batch, queries, heads, ·]. */
  terms(): readonly Tensor[];
  /** The gradients of queries, keys and values [batch, length, ·, dim], and of learned tensors. */
  gradients(g: TermGradients): { readonly tokens: readonly Tensor[]; readonly learned: readonly Tensor[] };
}

type Tokens = Parameters<typeof queryRows>[1] & Parameters<typeof keyRows>[1];

function bidirectionalTwin(map: FeatureMap, tokens: Tokens, group: number): BidirectionalTwin {
  const keysOf = ({ features, value }: ReturnType<typeof keyRows>) => {
    const all = features.logFeatures!;
    return { key: tokens.mask === undefined ? all : where(tokens.mask, all, scalar(maskedLogScale)), value };
  };
  const queries = tokens.query.dim(1);
  const toTokens = (x: Tensor) => swapHeads(splitHeads(x, group, queries));
  return {
    terms: () =>
      scope('logSpace', () => {
        const { logValues, logFeatures } = queryRows(map, tokens, group).features;
        const keys = keysOf(keyRows(map, tokens));
        const weighted = toTokens(logSpaceBidirectional({ query: gatherHeads(logValues!, group), ...keys }));
        const scale = logSpaceBidirectionalScale({ query: gatherHeads(logFeatures!, group), ...keys });
        const dim = weighted.staticDim(-1) - 1;
        return [slice(weighted, -1, 0, dim), slice(weighted, -1, dim), toTokens(scale)];
      }),
    gradients: (g) =>
      scope('logSpace', () => {
        const [query, key] = [queryRows(map, tokens, group), keyRows(map, tokens)];
        const { logValues, logFeatures } = query.features;
        const gWeighted = gatherHeads(swapHeads(concatenate([g.numerator, g.denominator], -1)), group);
        const given = { query: gatherHeads(logValues!, group), ...keysOf(key) };
        const found = logSpaceBidirectionalGradient(given, gWeighted);
        const results = [
          [g.logScale === undefined ? logValues! : logFeatures!, splitHeads(found.query, group, queries)],
          [key.features.logFeatures!, found.key],
        ] as const;
        const { tokens: rows, learned } = tokenGradients(results, [query.rows, key.rows], map);
        return { tokens: [...rows, swapHeads(found.value)], learned };
      }),
  };
}

function bidirectionalCore(inputs: AttentionInputs, map: FeatureMap): BidirectionalCore {
  const { query, key, value, keyMask } = inputs;
  const [batch, keys] = key.shape as [Dim, Dim];
  const group = groupOf(query, key);
  const position = positionsOf('bidirectionalAttention', inputs, map, (x) => x);
  const whole = {
    ...{ query, key, value, queryPosition: position.query, keyPosition: position.key },
    mask: keyMask && reshape(keyMask, [batch, 1, keys, 1]),
  };
  // What kind they are: nothing reads them.
  const [ofQuery, ofKey] = [queryRows(map, whole, group).features, keyRows(map, whole).features];
  const isLogarithmic = ofQuery.logValues !== undefined && ofKey.logFeatures !== undefined;
  const isWhole = map.isSequenceWide === true;
  const [byQuery, byKey] = [blocksOf(query.dim(1), isWhole), blocksOf(keys, isWhole)];
  const real = keyMask ?? (byKey.isPadded ? broadcastTo(cast(scalar(1), 'bool'), [batch, keys]) : undefined);
  const loop = bidirectionalLoop({
    ...{ map, group, isLogarithmic, headroom: headroomOf(isLogarithmic), byQuery, byKey },
    queryTokens: { query: byQuery.split(query), queryPosition: position.query && byQuery.split(position.query) },
    keyTokens: {
      ...{ key: byKey.split(key), value: byKey.split(value), mask: real && maskBlocks(byKey, real) },
      keyPosition: position.key && byKey.split(position.key),
    },
  });
  return { loop, twin: isLogarithmic ? bidirectionalTwin(map, whole, group) : undefined, byQuery, byKey };
}

/** Whether the twin must give the sums; absent where there is none. */
function isLossy(
  { loop, twin }: BidirectionalCore,
  features: number,
  group: number,
  visible: Tensor<'bool'> | undefined,
) {
  if (twin === undefined) return undefined;
  // The features of a key add up to 1, so the sums of the weights over all features are the weight of all keys.
  const seen = repeatHeads(sum(loop.sums.weights, -1, true), group);
  return underflows({ denominator: loop.terms.denominator, seen, visible, sums: loop.sums.values }, features);
}

/** The gradients of queries, keys and values [batch, length, ·, dim], and of learned tensors. */
function bidirectionalGradients(
  { loop, twin, byQuery, byKey }: BidirectionalCore,
  lossy: Tensor<'bool'> | undefined,
  g: TermGradients,
): readonly Tensor[] {
  const blocks = [byQuery, byKey, byKey];
  const found =
    twin === undefined
      ? loop.gradients(g)
      : conditional(
          lossy!,
          () => {
            const own = twin.gradients(g);
            return [...own.tokens.map((x, at) => blocks[at]!.split(x)), ...own.learned];
          },
          () => loop.gradients(g),
        );
  return found.map((each, at) => blocks[at]?.join(each) ?? each);
}

/**
 * The sums of every query over every key, in time and memory linear in both lengths.
 *
 * @throws as `bidirectionalAttention`.
 */
export function bidirectionalTerms(given: AttentionInputs, features: FeatureMap): AttentionTerms {
  checkInputs('bidirectionalAttention', given, false);
  const inputs = withoutHidden(given);
  expectPositions('bidirectionalAttention', inputs, features);
  const { query, key, value, keyMask } = inputs;
  const map = guarded(features);
  const core = bidirectionalCore(inputs, map);
  const { loop, twin, byQuery } = core;
  // A sequence without any key gives zeros.
  const visible = keyMask && reshape(less(0, max(cast(keyMask, 'int32'), 1)), [query.dim(0), 1, 1, 1]);
  const lossy = isLossy(core, map.featureCount, groupOf(query, key), visible);
  const blocked = () => [loop.terms.numerator, loop.terms.denominator, loop.terms.logScale].map(chunkRows);
  const inBlocks = (x: Tensor) => transpose(byQuery.split(x), [1, 0, 2, 3, 4]);
  const rows = twin === undefined ? blocked() : conditional(lossy!, () => twin.terms().map(inBlocks), blocked);
  const outputs = rows.map((x) => joinRows(x, query.dim(1)));
  const leaves = [query, key, value, ...(map.learned ?? [])];
  const [numerator, denominator, logScale] = withGradient(leaves, outputs, ([ofNumerator, ofDenominator, ofScale]) => {
    const orZeros = (x: Tensor | undefined, at: number) => x ?? broadcastTo(scalar(0), outputs[at]!.shape);
    const g = { numerator: orZeros(ofNumerator, 0), denominator: orZeros(ofDenominator, 1), logScale: ofScale };
    return bidirectionalGradients(core, lossy, g);
  }) as [Tensor, Tensor, Tensor];
  const mass = loop.terms.mass && stopGradient(joinRows(chunkRows(loop.terms.mass), query.dim(1)));
  return { numerator, denominator, logScale, mass, visible };
}

/**
 * Attention of every query to every key through a feature map, in time and memory linear in both lengths:
 * [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for the positions of one side alone.
 */
export function bidirectionalAttention(inputs: AttentionInputs, features: FeatureMap): Tensor {
  return divideTerms(bidirectionalTerms(inputs, features));
}
