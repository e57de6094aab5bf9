/**
 * A family of feature maps as one record: its name, its options, what it is made of, what is known of it before it is
 * built, and how it is built. `registry.ts` has them all.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import type { BufferSpec, ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import type { FeatureMap } from './feature-map.js';
import type { FeatureMapParts, LearnedFeatureParams, ShapeMethod } from './parts.js';
import { drawProjection, type ProjectionKind, projectionKinds, rowNorms } from './projection.js';

/** What every map is chosen by, its own options aside. */
export interface CommonFeatureOptions {
  readonly headDim: number;
  /** Columns of φ. Maps without random features have as many as `headDim` gives. */
  readonly featureCount: number;
  /** How the projection is drawn; none: the map applies its function to x itself. */
  readonly projectionKind: ProjectionKind | 'none';
  readonly rowNorm: 'chi' | 'root';
}

/** The options of a family: the common ones, and its own. */
export type FamilyOptions<O extends z.ZodRawShape> = CommonFeatureOptions & { readonly [K in keyof O]: z.output<O[K]> };

/** A family whose own options are not known to the type checker. */
export type AnyFamily = FeatureFamily<string, Record<never, never>>;

/** A family of feature maps as one record: its options, the arrays it is made of, and how a map is built of them. */
export interface FeatureFamily<N extends string, O extends z.ZodRawShape> {
  readonly name: N;
  /** What sets the map apart, in a few words for the help. */
  readonly text: string;
  /** Options that no other family has, each with its help. */
  readonly own: O;
  /** Random rows of a kind and a norm; signs are none. */
  readonly hasRandomRows?: boolean | undefined;
  /** Whether the function of the map may be applied to x itself, without a projection. */
  readonly canBeDirect?: boolean | undefined;
  /** The number of features where it follows from the head's dim. */
  readonly fixedCount?: ((dim: number) => number) | undefined;
  /** The largest dim of a head. */
  readonly largestDim?: number | undefined;
  /** What the number of features must be a multiple of. */
  readonly multiple?: number | undefined;
  /** The moments of queries and keys by which the map is shaped. */
  readonly shaping?: ShapeMethod | undefined;
  /** Set where φ is constant between jumps, so that no gradient reaches the queries and keys behind it. */
  readonly isFlat?: boolean | undefined;
  /** Whether φ(q)·φ(k) can be zero or negative, known before the map is built. */
  isSigned(options: FamilyOptions<O>): boolean;
  /** Whether φ of a key depends on other positions, known before the map is built; it does not unless given. */
  isSequenceWide?(options: FamilyOptions<O>): boolean;
  /** The random and measured parts of `heads` heads. */
  buffers?(options: FamilyOptions<O>, heads: number): FeatureMapParts<BufferSpec>;
  /** The learned parts of `heads` heads. */
  learned?(options: FamilyOptions<O>, heads: number): LearnedFeatureParams<ParameterSpec>;
  /** The map of such options, for heads of a size, from the symbolic parts. */
  build(options: FamilyOptions<O>, parts: FeatureMapParts): FeatureMap;
}

/** A family with the types of its name and of its own options. */
export function featureFamily<const N extends string, O extends z.ZodRawShape>(
  family: FeatureFamily<N, O>,
): FeatureFamily<N, O> {
  return family;
}

/** A part that a map cannot do without. */
export function need<T>(part: T | undefined, what: string, name: string): T {
  if (part === undefined) throw new PerformerError('CONFIG', `${name} features: expected ${what}, got none.`);
  return part;
}

/** The layout of random rows of the kind and norm that the options name; nothing where they want none. */
export function projectionBuffer(
  options: CommonFeatureOptions,
  rows = options.featureCount,
): FeatureMapParts<BufferSpec> {
  const { projectionKind: kind, rowNorm, headDim } = options;
  if (kind === 'none') return {};
  return {
    projection: {
      dtype: 'float32',
      shape: [rows, headDim],
      draw: (random) => drawProjection(random, rows, headDim, { kind, rowNorm }),
    },
  };
}

const count = z
  .int()
  .min(1)
  .max(2 ** 16);

const commonFields = {
  featureCount: option(count.optional(), 'features of a head', { fallback: 'from the preset, or headDim·ln(headDim)' }),
  projectionKind: option(
    z.enum([...projectionKinds, 'none']).default('orthogonal'),
    'rows of the random projections; none: the function of the features itself',
  ),
  rowNorm: option(z.enum(rowNorms).default('chi'), 'norms of those rows: as of normal vectors, or √headDim'),
};

type CommonFields<N extends string> = { name: z.ZodLiteral<N> } & {
  [K in keyof typeof commonFields]: (typeof commonFields)[K];
};

/** The options of a family as one variant of the choice of a map: those that it cannot have are none of them. */
export function familySchema<N extends string, O extends z.ZodRawShape>({
  name,
  own,
  hasRandomRows = false,
  fixedCount,
}: FeatureFamily<N, O>): z.ZodObject<CommonFields<N> & O> {
  const { featureCount, projectionKind, rowNorm } = commonFields;
  const shape = {
    name: z.literal(name),
    ...(fixedCount === undefined ? { featureCount } : {}),
    ...(hasRandomRows ? { projectionKind, rowNorm } : {}),
    ...own,
  };
  return z.strictObject(shape) as unknown as z.ZodObject<CommonFields<N> & O>;
}
