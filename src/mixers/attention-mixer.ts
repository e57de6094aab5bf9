/**
 * Multi-head attention around a core: projections to queries, keys and values, rotary positions, the core, and the
 * output projection. Cores differ in how queries and keys meet, and in what they keep of the tokens before.
 */
import type { AttentionInputs } from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import type { MapLeaves } from '../base/tree.js';
import { type Deferral, type LinearParams, linear, linearLayout, type TokenContext } from '../blocks/index.js';
import { reshape, rotary, type Tensor } from '../graph/index.js';
import type { Forgetting } from './forgetting.js';
import type { MeasuredBuffers, Mixer, MixerOperations, MixerSizes, MixerTraits } from './mixer.js';
import { queryKeyScaleLayout, scaleHeads } from './query-key-norm.js';

/** What is learned around a core, and by it. */
export interface AttentionParams<F extends object = object, T = Tensor> {
  /** [dim, heads·headDim] */
  readonly query: LinearParams<T>;
  /** [dim, keyHeads·headDim] */
  readonly key: LinearParams<T>;
  readonly value: LinearParams<T>;
  /** [heads·headDim, dim] */
  readonly output: LinearParams<T>;
  /** What normalised queries and keys are multiplied by, [keyHeads]. */
  readonly queryKeyScale?: T | undefined;
  /** [dim, keyHeads], of gates that forget. */
  readonly forgetGate?: LinearParams<T> | undefined;
  /** What the core learns; absent where it learns nothing. */
  readonly features?: F | undefined;
}

/** What a core gives. */
export interface CoreResult<S extends object, R extends object> {
  /** [batch, length, heads, headDim] */
  readonly output: Tensor;
  readonly state: S;
  readonly row?: R | undefined;
}

/** What is between the projections. */
export interface AttentionCore<F extends object, B extends object, S extends object, R extends object> {
  readonly features?: MapLeaves<F, ParameterSpec> | undefined;
  readonly buffers: MapLeaves<B, BufferSpec>;
  readonly traits: MixerTraits;
  readonly deferral?: Deferral<S, R> | undefined;
  readonly measured?: MeasuredBuffers | undefined;
  /** How a causal core forgets; absent where it does not. */
  readonly forgetting?: Forgetting | undefined;
  /** The layout of what is kept of the tokens read, for so many rows. */
  state(batch: Dim): MapLeaves<S, StateSpec>;
  /** Floating-point operations over so many tokens. */
  operations(length: number): MixerOperations;
  /** Attention itself, from queries, keys and values to outputs of the same layout. */
  attend(
    inputs: AttentionInputs,
    weights: { readonly features: F | undefined; readonly buffers: B },
    memory: { readonly state: S; readonly rows?: R | undefined } | undefined,
    /** Tokens without the padding to whole chunks, which other layers may need. */
    length: Dim,
  ): CoreResult<S, R>;
}

/** The parameters around a core. */
export function attentionLayout<F extends object>(
  { dim, heads, keyHeads, headDim, outputGain, qkvBias = false, outputBias = true, queryKeyNorm }: MixerSizes,
  features: MapLeaves<F, ParameterSpec> | undefined,
  forgetGate?: LinearParams<ParameterSpec>,
) {
  const inner = heads * headDim;
  const branch = (count: number) => linearLayout(dim, count * headDim, { bias: qkvBias });
  return {
    ...{ query: branch(heads), key: branch(keyHeads), value: branch(keyHeads) },
    output: linearLayout(inner, dim, { bias: outputBias, gain: outputGain }),
    queryKeyScale: queryKeyNorm && queryKeyScaleLayout(queryKeyNorm, keyHeads),
    forgetGate,
    features,
  };
}

/** The mixer around a core. */
export function attentionMixer<F extends object, B extends object, S extends object, R extends object>(
  sizes: MixerSizes,
  core: AttentionCore<F, B, S, R>,
): Mixer<AttentionParams<F>, B, S, R> {
  const { heads, headDim } = sizes;
  const inner = heads * headDim;
  const { features, attend, forgetting, ...known } = core;
  return {
    ...known,
    core,
    params: attentionLayout(sizes, features, forgetting?.gate) as Mixer<AttentionParams<F>, B, S, R>['params'],
    apply({ params, buffers }, x, context, memory) {
      const inputs = {
        ...attentionInputs(params, x, sizes, context),
        logDecay: forgetting?.logDecay(params.forgetGate, x),
      };
      const result = attend(inputs, { features: params.features, buffers }, memory, context.length);
      const [batch, length] = x.shape as [Dim, Dim];
      const { query, key, value, logDecay } = inputs;
      return {
        ...result,
        output: linear(params.output, reshape(result.output, [batch, length, inner])),
        attended: { query, key, value },
        shared: { query, key, logDecay, output: result.output },
      };
    },
  };
}

/**
 * x [batch, length, dim] → queries [batch, length, heads, headDim], keys and values [batch, length, keyHeads, headDim], turned
 * by their positions.
 */
function attentionInputs(
  params: AttentionParams,
  x: Tensor,
  { heads, keyHeads, headDim, queryKeyNorm }: MixerSizes,
  { angles, mask, positions }: TokenContext,
): AttentionInputs {
  const [batch, length] = x.shape as [Dim, Dim];
  const { queryKeyScale: scale } = params;
  const split = (y: Tensor, count: number) => reshape(y, [batch, length, count, headDim]);
  const normed = (y: Tensor, count: number) =>
    reshape(scaleHeads(split(y, count), scale, queryKeyNorm), [batch, length, count * headDim]);
  const turn = (y: Tensor, count: number) =>
    split(angles === undefined ? y : rotary(y, angles.cosine, angles.sine, count), count);
  return {
    query: turn(normed(linear(params.query, x), heads), heads),
    key: turn(normed(linear(params.key, x), keyHeads), keyHeads),
    value: split(linear(params.value, x), keyHeads),
    keyMask: mask,
    queryPosition: positions,
    keyPosition: positions,
  };
}
