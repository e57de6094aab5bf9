/**
 * Attention shared between layers (Reuse Transformer, Bhojanapalli et al. 2021, arXiv 2110.06821): a layer without queries and
 * keys of its own, which looks where the nearest earlier layer with attention of its own looked. It reuses either
 *
 * - the weights: the queries, keys and feature map of that layer, and so φ(Q), φ(K) and the denominators, for values of its own;
 * - or the output of that layer's attention before its projection, so that all it has is an output projection.
 *
 * Features are computed again from queries and keys, in cache, where the loops of attention need them: to hand them on would
 * take featureCount/headDim times the memory of what they are made of.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { internalError, PerformerError } from '../base/errors.js';
import type { ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { type LinearParams, linear, type SharedAttention, type TokenContext } from '../blocks/index.js';
import { reshape, type Tensor } from '../graph/index.js';
import { type AttentionCore, type AttentionParams, attentionLayout } from './attention-mixer.js';
import { type Mixer, type MixerSizes, mixerFamily } from './mixer.js';

const own = {
  part: option(
    z.enum(['weights', 'output']).default('weights'),
    'what a layer reuses of the nearest earlier attention: its weights, for values of its own, or its whole output',
    { flag: 'shared-part' },
  ),
};

export const sharedMixer = mixerFamily({
  kind: 'shared',
  text: 'looks where the nearest earlier layer with attention of its own looked',
  isShared: true,
  own,
  build: ({ part }, sizes, source) => {
    if (source?.core !== undefined)
      return part === 'weights' ? sharedWeights(sizes, source.core as Core) : sharedOutput(sizes);
    throw new PerformerError(
      'CONFIG',
      'attention: expected an earlier layer with attention of its own, got shared attention alone. Name another kind before it.',
    );
  },
});

/** That of another layer, whose trees only that layer knows. */
type Core = AttentionCore<object, object, object, object>;

interface ValueParams<T = Tensor> {
  readonly value: LinearParams<T>;
  readonly output: LinearParams<T>;
}

/** Values of its own, seen by the weights of the source. */
function sharedWeights(sizes: MixerSizes, core: Core): Mixer<ValueParams> {
  const { keyHeads, headDim } = sizes;
  const { attend, traits, deferral, state, operations } = core;
  const { value, output } = attentionLayout(sizes, undefined);
  return {
    params: { value, output },
    buffers: {},
    ...{ traits, deferral, state, operations },
    apply({ params }, x, context, memory) {
      const { rows, weights } = handedOn(context);
      const { query, key, logDecay } = rows;
      const [batch, length] = x.shape as [Dim, Dim];
      const { mask: keyMask, positions } = context;
      const inputs = {
        ...{ query, key, logDecay, keyMask, queryPosition: positions, keyPosition: positions },
        value: reshape(linear(params.value, x), [batch, length, keyHeads, headDim]),
      };
      const { features } = weights.params as AttentionParams;
      const result = attend(inputs, { features, buffers: weights.buffers }, memory, context.length);
      return {
        ...result,
        output: project(sizes, params.output, result.output),
        attended: { query, key, value: inputs.value },
      };
    },
  };
}

/** The output of the source's attention, projected anew. */
function sharedOutput(sizes: MixerSizes): Mixer<Pick<ValueParams, 'output'>> {
  return {
    params: { output: attentionLayout(sizes, undefined).output as LinearParams<ParameterSpec> },
    buffers: {},
    traits: { state: sizes.isCausal ? 'fixed' : 'none', isChunked: false, isFlat: false },
    state: () => ({}),
    operations: () => ({ attention: 0, withoutGradient: 0 }),
    apply: ({ params }, _, context) => ({
      output: project(sizes, params.output, handedOn(context).rows.output),
      state: {},
    }),
  };
}

function handedOn({ shared }: TokenContext): SharedAttention {
  if (shared === undefined) throw internalError('no earlier layer has handed on its attention');
  return shared;
}

/** Heads [batch, length, heads, headDim] → [batch, length, dim]. */
function project({ heads, headDim }: MixerSizes, output: LinearParams, attended: Tensor): Tensor {
  return linear(output, reshape(attended, [attended.dim(0), attended.dim(1), heads * headDim]));
}
