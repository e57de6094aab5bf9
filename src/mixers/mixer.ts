/**
 * A mixer: the branch of a block that lets tokens see each other, and what is known of it before it runs. There is one
 * for each layer, so that layers may differ. A family of mixers is one record with the options that choose it.
 */
import type * as z from 'zod';
import type { AttendedRows, Branch, SourceContext, Weights } from '../blocks/index.js';
import type { Tensor } from '../graph/index.js';
import type { QueryKeyNorm } from './query-key-norm.js';

/** What a mixer is built for. */
export interface MixerSizes {
  /** Width of the residual stream. */
  readonly dim: number;
  readonly heads: number;
  /** Heads of keys and values, of which `heads` is a multiple: as many query heads in a row share one. */
  readonly keyHeads: number;
  readonly headDim: number;
  /** Whether a token sees those before it and itself alone. */
  readonly isCausal: boolean;
  /** Of the layer that writes to the residual stream: 1/√(2·depth) keeps its variance level. */
  readonly outputGain: number;
  /** Tokens that causal attention takes at once; changes the speed alone. */
  readonly chunk: number;
  /** Whether queries, keys and values have biases; not unless given. */
  readonly qkvBias?: boolean | undefined;
  /** Whether the output has one; it has unless given. */
  readonly outputBias?: boolean | undefined;
  /** Whether queries and keys are normalised; not unless given. */
  readonly queryKeyNorm?: QueryKeyNorm | undefined;
}

/** What is known of a mixer before it runs. */
export interface MixerTraits {
  /** Whether the state has one size, grows with the text, or is none at all. */
  readonly state: 'fixed' | 'growing' | 'none';
  /** Whether whole chunks of tokens are read at once, to which a text is padded. */
  readonly isChunked: boolean;
  /** Whether no gradient reaches its queries and keys. */
  readonly isFlat: boolean;
  /** Features of a head, where queries and keys go through a feature map. */
  readonly featureCount?: number | undefined;
}

/** Operations by formula, over all heads; entrywise ones are not counted. */
export interface MixerOperations {
  /** From queries, keys and values to outputs, for a text of `length` tokens. */
  readonly attention: number;
  /** The part of those whose second factor has no gradient: products with random projections. */
  readonly withoutGradient: number;
}

/** Buffers that are measured on what attention compares, in place of being drawn. */
export interface MeasuredBuffers {
  /** The buffers that are measured. */
  readonly names: readonly string[];
  /** What is measured of what a layer compares in a batch: a tree of tensors, of arrays once it has run. */
  moments(attended: AttendedRows, mask: Tensor<'bool'> | undefined): object;
  /** The buffers that follow from that, which take the place of those that the mixer has. */
  buffers(moments: object): object;
}

/** What lets the tokens of a layer see each other: a branch with traits. */
export interface Mixer<
  P extends object = object,
  B extends object = object,
  S extends object = object,
  R extends object = object,
> extends Branch<P, B, S, R> {
  readonly traits: MixerTraits;
  readonly measured?: MeasuredBuffers | undefined;
  /** What later layers may share, an `AttentionCore`; absent where there is nothing of its own to be shared. */
  readonly core?: object | undefined;
  /** Floating-point operations over so many tokens. */
  operations(length: number): MixerOperations;
}

/** A branch whose tokens look at a source (`cross-mixer.ts`). */
export interface CrossMixer<P extends object = object, B extends object = object, S extends object = object>
  extends Branch<P, B, S> {
  /** What is kept of a source. */
  keep(weights: Weights<P, B>, source: SourceContext): S;
}

/** The sizes by which options are wrong. */
export interface ProblemSizes extends Pick<MixerSizes, 'heads' | 'keyHeads' | 'headDim' | 'isCausal'> {
  /** Whether an encoder without a causal order has the same options beside a causal trunk; not unless given. */
  readonly hasEncoder?: boolean | undefined;
}

/** What is wrong with an option, and where it stands. */
export type Problem = readonly [path: readonly string[], message: string];

/** A kind of mixer as one record: its options, and how the mixer of a layer is built. */
export interface MixerFamily<K extends string, O extends z.ZodRawShape> {
  readonly kind: K;
  /** What it is for, in a few words for the help. */
  readonly text: string;
  /** Whether it looks where an earlier layer looked, which must be there. */
  readonly isShared?: boolean | undefined;
  /** Whether no token sees another; not unless given. */
  readonly isBlind?: boolean | undefined;
  /** Its options, each with its help. */
  readonly own: O;
  /** What is wrong with options for these sizes, which their schema alone cannot see. */
  problems?(options: MixerOptionsOf<O>, sizes: ProblemSizes): readonly Problem[];
  /** The options with all that follows from the sizes filled in. */
  complete?(options: MixerOptionsOf<O>, sizes: Pick<MixerSizes, 'headDim'>): MixerOptionsOf<O>;
  /**
   * The mixer of one layer, for options that were checked and the sizes of the model. `source` is that of the nearest
   * earlier layer that is not shared, if any.
   */
  build(options: MixerOptionsOf<O>, sizes: MixerSizes, source?: Mixer): Mixer;
  /** How tokens look at a source by it; absent where they cannot. */
  cross?(options: MixerOptionsOf<O>, sizes: MixerSizes): CrossMixer;
}

/** The options of a mixer, with defaults filled in. */
export type MixerOptionsOf<O extends z.ZodRawShape> = { readonly [K in keyof O]: z.output<O[K]> };

/** A family whose options are not known to the type checker. */
export type AnyMixerFamily = MixerFamily<string, Record<never, never>>;

/** A family with the types of its kind and of its options. */
export function mixerFamily<const K extends string, O extends z.ZodRawShape>(
  family: MixerFamily<K, O>,
): MixerFamily<K, O> {
  return family;
}
