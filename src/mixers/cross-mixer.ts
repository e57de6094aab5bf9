/**
 * Cross-attention: the tokens of a text look at a source, which another model has read. In training all of it is looked at
 * at once; a session reads the source once, and keeps of it what its tokens look at.
 *
 * Queries and keys count positions in different texts, so that rotary positions do not turn them.
 */
import type { AttentionInputs } from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import { branchBuffers } from '../base/layout.js';
import type { MapLeaves } from '../base/tree.js';
import { linear, type SourceContext } from '../blocks/index.js';
import { reshape, type Tensor } from '../graph/index.js';
import { type AttentionParams, attentionLayout } from './attention-mixer.js';
import type { CrossMixer, MixerSizes } from './mixer.js';
import { scaleHeads } from './query-key-norm.js';

/** What a core has of the weights: what it learns, and what is drawn. */
export interface CoreWeights<F, B> {
  readonly features: F | undefined;
  readonly buffers: B;
}

/** How queries meet a source. */
export interface CrossCore<F extends object = object, B extends object = object, S extends object = object> {
  readonly features?: MapLeaves<F, ParameterSpec> | undefined;
  readonly buffers: MapLeaves<B, BufferSpec>;
  /** What is kept of no source. */
  state(batch: Dim): MapLeaves<S, StateSpec>;
  /** All queries and keys at once, with gradients: [batch, length, heads, headDim]. */
  attend(inputs: AttentionInputs, weights: CoreWeights<F, B>): Tensor;
  /** What is kept of keys and values. */
  keep(inputs: Omit<AttentionInputs, 'query' | 'queryPosition'>, weights: CoreWeights<F, B>): S;
  /** The same as `attend`, from what was kept. */
  read(inputs: Pick<AttentionInputs, 'query' | 'queryPosition'>, weights: CoreWeights<F, B>, state: S): Tensor;
}

const nothing = {};

/** The branch around a core: x [batch, length, dim] → [batch, length, dim]. */
export function crossMixer<F extends object, B extends object, S extends object>(
  sizes: MixerSizes,
  core: CrossCore<F, B, S>,
): CrossMixer<AttentionParams<F>, B, S> {
  const { heads, keyHeads, headDim } = sizes;
  const split = (y: Tensor, count: number) => reshape(y, [y.dim(0), y.dim(1), count, headDim]);
  const normed = ({ queryKeyScale: scale }: AttentionParams, y: Tensor, count: number) =>
    scaleHeads(split(y, count), scale, sizes.queryKeyNorm);
  const keysOf = (params: AttentionParams, { hidden, mask, positions }: SourceContext) => ({
    key: normed(params, linear(params.key, hidden), keyHeads),
    value: split(linear(params.value, hidden), keyHeads),
    keyMask: mask,
    keyPosition: positions,
  });
  return {
    params: attentionLayout(sizes, core.features) as CrossMixer<AttentionParams<F>, B, S>['params'],
    // Other random rows than those of the self-attention of the same layer.
    buffers: branchBuffers(core.buffers, 'cross'),
    state: core.state,
    // What is kept does not change as tokens are read.
    deferral: {
      state: () => nothing as MapLeaves<S, StateSpec>,
      rows: () => nothing,
      settle: () => nothing as S,
      isTaken: () => true,
    },
    apply({ params, buffers }, x, { source, positions }, memory) {
      const own = { features: params.features, buffers };
      const query = { query: normed(params, linear(params.query, x), heads), queryPosition: positions };
      const merge = (attended: Tensor) =>
        linear(params.output, reshape(attended, [x.dim(0), x.dim(1), heads * headDim]));
      if (source !== undefined) {
        const keys = keysOf(params, source);
        return { output: merge(core.attend({ ...query, ...keys }, own)), state: core.keep(keys, own) };
      }
      if (memory === undefined) throw internalError('cross-attention has neither a source nor what was kept of one');
      const output = merge(core.read(query, own, memory.state));
      return {
        output,
        ...(memory.rows === undefined ? { state: memory.state } : { state: nothing as S, row: nothing }),
      };
    },
    keep: ({ params, buffers }, source) => core.keep(keysOf(params, source), { features: params.features, buffers }),
  };
}
