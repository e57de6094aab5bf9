/**
 * The feature maps by name. A model's options, the command line, comparisons and reports choose among these, and
 * `registerFeatureMap` adds others.
 */
import type * as z from 'zod';
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type BufferSpec, drawBuffers, type ParameterSpec } from '../base/layout.js';
import { memoized } from '../base/memoized.js';
import { choice } from '../base/options.js';
import type { Random } from '../base/random.js';
import type { Tensor } from '../graph/index.js';
import { cosformerFamily } from './cosformer.js';
import { type AnyFamily, type CommonFeatureOptions, type FeatureFamily, familySchema } from './family.js';
import type { FeatureMap } from './feature-map.js';
import { generalizedFamilies } from './generalized.js';
import { hedgehogFamily } from './learned.js';
import type { FeatureMapParts, LearnedFeatureParams, ShapeMethod } from './parts.js';
import { polynomialFamily, taylorFamily } from './polynomial.js';
import { exponentialFamily, hyperbolicFamily, positiveFamily } from './positive.js';
import { defaultFeatureCount, drawnRows, mostEntries, projectionKinds, rowNorms } from './projection.js';
import { shapedFamilies } from './shaped.js';
import { trigonometricFamily } from './trigonometric.js';

const builtIn = [
  positiveFamily,
  hyperbolicFamily,
  trigonometricFamily,
  ...shapedFamilies,
  exponentialFamily,
  ...generalizedFamilies,
  polynomialFamily,
  taylorFamily,
  cosformerFamily,
  hedgehogFamily,
] as const;

type BuiltIn = (typeof builtIn)[number];

/** Maps from outside, by name and with their options: to be extended by whoever registers one. */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be extended
export interface CustomFeatureMaps {}

/** The names of feature maps: those built in, and those that a package declares in `CustomFeatureMaps`. */
export type FeatureMapName = BuiltIn['name'] | (keyof CustomFeatureMaps & string);

type OwnOf<F> =
  F extends FeatureFamily<string, infer O> ? { readonly [K in keyof O]?: z.output<O[K]> | undefined } : never;
type Every<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer I) => void ? I : never;

/** What a map is chosen by: the options that all have, and those of the named one. */
export type FeatureMapOptions = CommonFeatureOptions & { readonly name: FeatureMapName } & Every<OwnOf<BuiltIn>>;

const families = new Map<string, AnyFamily>(builtIn.map((family) => [family.name, family as unknown as AnyFamily]));

/**
 * Adds a map, which can then be used by its name in options, on the command line and in code.
 *
 * @throws CONFIG for a name that is taken.
 */
export function registerFeatureMap<N extends string, O extends z.ZodRawShape>(family: FeatureFamily<N, O>): void {
  if (families.has(family.name)) {
    throw new PerformerError('CONFIG', `registerFeatureMap: expected a name that is free, got ${family.name}.`);
  }
  families.set(family.name, family as unknown as AnyFamily);
}

/** The names of all maps, those that were registered last. */
export function featureMapNames(): readonly FeatureMapName[] {
  return [...families.keys()] as FeatureMapName[];
}

type VariantOf<F> = F extends FeatureFamily<infer N, infer O> ? ReturnType<typeof familySchema<N, O>> : never;

const schemaOf = memoized(familySchema);

/** The choice of a map with its options, as a part of a model's options. */
export function featureMapChoice() {
  return choice(
    'name',
    () => [...families.values()].map(schemaOf) as unknown as readonly VariantOf<BuiltIn>[],
    'positive',
  );
}

/** The family of a name. Throws CONFIG for one that there is none of. */
export function familyOf(name: string): AnyFamily {
  const family = families.get(name);
  if (family !== undefined) return family;
  throw new PerformerError('CONFIG', `feature map: expected one of ${featureMapNames().join(', ')}, got ${name}.`);
}

/** Whether a map has random rows of a kind and a norm; the random part of the polynomial map is signs. */
export function hasRandomRows(name: FeatureMapName): boolean {
  return familyOf(name).hasRandomRows === true;
}

/** Whether a map is shaped by moments of queries and keys, and so named after the way in which it is. */
export function isShaped(name: FeatureMapName): name is ShapeMethod {
  return familyOf(name).shaping !== undefined;
}

/** Whether the number of features follows from the head's dim, and cannot be chosen. */
export function hasFixedCount(name: FeatureMapName): boolean {
  return familyOf(name).fixedCount !== undefined;
}

/** Whether φ(q)·φ(k) can be zero or negative, known before the map is built. */
export function isSignedMap(options: FeatureMapOptions): boolean {
  return familyOf(options.name).isSigned(options);
}

/** Whether φ of a key depends on other positions, so that no causal order can have it. */
export function isSequenceWideMap(options: FeatureMapOptions): boolean {
  return familyOf(options.name).isSequenceWide?.(options) ?? false;
}

/** Whether φ is constant between jumps, so that no gradient reaches the queries and keys behind it. */
export function isFlatMap(name: FeatureMapName): boolean {
  return familyOf(name).isFlat === true;
}

/** The number of features of a map: as asked for, or what its head's dim gives. */
export function featureCountOf({
  name,
  headDim,
  featureCount,
  projectionKind,
}: Pick<FeatureMapOptions, 'name' | 'headDim' | 'projectionKind'> & {
  readonly featureCount?: number | undefined;
}): number {
  const { fixedCount, multiple = 1, canBeDirect } = familyOf(name);
  if (projectionKind === 'none' && canBeDirect) return headDim;
  const fixed = fixedCount?.(headDim);
  return fixed ?? featureCount ?? Math.ceil(defaultFeatureCount(headDim) / multiple) * multiple;
}

/** Rows and columns of the projection of a map; none for maps without one. */
export function projectionSize(options: FeatureMapOptions): readonly [rows: number, columns: number] | undefined {
  const shape = bufferParts(options, 1).projection?.shape;
  return shape && [shape[0] as number, shape[1] as number];
}

/** What is wrong with an option, and its name. */
export type Problem = readonly [key: string, message: string];

/** What is wrong with options, as [option, message] pairs: empty for those that can be built. */
export function featureMapProblems(options: FeatureMapOptions): readonly Problem[] {
  const problems = plainProblems(options);
  if (problems.length > 0) return problems;
  return [...countProblems(options), ...rowProblems(options), ...ownProblems(options)];
}

function plainProblems(options: FeatureMapOptions): Problem[] {
  const problems: Problem[] = [];
  const oneOf = (key: 'name' | 'projectionKind' | 'rowNorm', allowed: readonly string[]) => {
    if (!allowed.includes(String(options[key])))
      problems.push([key, `expected one of ${allowed.join(', ')}, got ${options[key]}`]);
  };
  oneOf('name', featureMapNames());
  oneOf('projectionKind', [...projectionKinds, 'none']);
  oneOf('rowNorm', rowNorms);
  for (const key of ['headDim', 'featureCount'] as const) {
    const value = options[key];
    if (!Number.isSafeInteger(value) || value < 1) problems.push([key, `expected a positive integer, got ${value}`]);
  }
  return problems;
}

function countProblems(options: FeatureMapOptions): Problem[] {
  const { name, featureCount, headDim } = options;
  const { multiple = 1 } = familyOf(name);
  if (featureCount !== featureCountOf(options))
    return [['featureCount', `${name} features of dim ${headDim} are ${featureCountOf(options)}`]];
  return featureCount % multiple === 0 ? [] : [['featureCount', `${name} features need a multiple of ${multiple}`]];
}

function rowProblems({ name, projectionKind, rowNorm, headDim, ...rest }: FeatureMapOptions): Problem[] {
  const { hasRandomRows: hasRows = false, canBeDirect = false, shaping } = familyOf(name);
  const problems: Problem[] = [];
  if (projectionKind !== 'orthogonal' && !hasRows)
    problems.push(['projectionKind', `${name} features have no rows of another kind than orthogonal`]);
  else if (projectionKind === 'none' && !canBeDirect)
    problems.push(['projectionKind', `${name} features need a projection`]);
  else if (projectionKind === 'structured' && (headDim & (headDim - 1)) !== 0)
    problems.push(['projectionKind', 'structured projections need a headDim that is a power of two']);
  if (rowNorm === 'root' && shaping !== undefined)
    problems.push(['rowNorm', `${name} features need rows of norm chi: others scale what they estimate`]);
  else if (rowNorm === 'root' && (projectionKind === 'none' || !hasRows))
    problems.push(['rowNorm', `${name} features have no rows of another norm than chi`]);
  return [...problems, ...sizeProblems({ name, projectionKind, rowNorm, headDim, ...rest })];
}

/** Sizes that no memory holds. */
function sizeProblems(options: FeatureMapOptions): Problem[] {
  const { name, headDim, projectionKind } = options;
  const size = projectionSize(options);
  const kind = projectionKind === 'none' ? 'iid' : projectionKind;
  const { largestDim = Number.POSITIVE_INFINITY } = familyOf(name);
  if (headDim > largestDim) return [['headDim', `${name} features need it to be at most ${largestDim}`]];
  if (size === undefined || drawnRows(kind, ...size) * size[1] <= mostEntries) return [];
  return [['featureCount', `expected a projection of at most ${mostEntries} entries, got ${size.join(' × ')}`]];
}

/** Of the polynomial kernel at x·y = 0, with room in float32 for the others. */
const largestConstant = 1e30;

/** Options that belong to other maps, or that no float32 can hold. */
function ownProblems(options: FeatureMapOptions): Problem[] {
  const own = familyOf(options.name).own;
  const endless = Object.entries(options).find(([, value]) => typeof value === 'number' && !Number.isFinite(value));
  if (endless !== undefined) return [[endless[0], `expected a finite number, got ${endless[1]}`]];
  const { degree = 2, offset = 0 } = options;
  const largestOffset = largestConstant ** (1 / degree);
  if (offset > largestOffset) return [['offset', `at most ${largestOffset}, got ${offset}`]];
  return Object.entries(options).flatMap(([key, value]): Problem[] => {
    if (value === undefined || key in own) return [];
    const owners = [...families.values()].filter((family) => key in family.own).map(({ name }) => name);
    return owners.length === 0 ? [] : [[key, `only ${owners.join(', ')} features have it`]];
  });
}

/** Throws SHAPE for parts that are not of the sizes that the options give them; any number of heads will do. */
function checkParts(options: FeatureMapOptions, given: FeatureMapParts): void {
  const expected: FeatureMapParts<{ readonly shape: readonly number[] }> = {
    ...bufferParts(options, 1),
    learned: learnedLayout(options, 1),
  };
  const check = (what: string, want: { readonly shape: readonly number[] } | undefined, part: Tensor | undefined) => {
    if (part === undefined) return;
    const shape = want?.shape ?? [];
    const isByHead = what !== 'a projection';
    const fits =
      part.rank === shape.length && shape.every((size, axis) => (isByHead && axis === 0) || part.dim(axis) === size);
    if (fits) return;
    const sizes = shape.map((size, axis) => (isByHead && axis === 0 ? 'heads' : size)).join(', ');
    throw new PerformerError('SHAPE', `${options.name} features: expected ${what} [${sizes}], got ${part}.`);
  };
  check('a projection', expected.projection, given.projection);
  for (const side of ['query', 'key'] as const) {
    check(`a shape of the ${side}`, expected.shape?.[side], given.shape?.[side]);
    check(`weights of the ${side}`, expected.learned?.[side], given.learned?.[side]);
  }
  check('a curvature', expected.shape?.curvature, given.shape?.curvature);
}

/**
 * Builds a map for one head's rows.
 *
 * @throws CONFIG for options that do not fit or a part that is missing, SHAPE for a part of another size.
 */
export function featureMap(options: FeatureMapOptions, parts: FeatureMapParts): FeatureMap {
  const problems = featureMapProblems(options);
  if (problems.length > 0) {
    const text = problems.map(([key, message]) => `${key}: ${message}`).join('; ');
    throw new PerformerError('CONFIG', `featureMap: expected options that fit, got ${text}.`);
  }
  checkParts(options, parts);
  return familyOf(options.name).build(options, parts);
}

/** The random and measured parts of a map for `heads` heads of keys, without their values. */
export function bufferParts(options: FeatureMapOptions, heads: number): FeatureMapParts<BufferSpec> {
  return familyOf(options.name).buffers?.(options, heads) ?? {};
}

/** The learned parts of a map for so many heads of queries and of keys; none for most. */
export function learnedLayout(
  options: FeatureMapOptions,
  heads: number,
  keyHeads = heads,
): LearnedFeatureParams<ParameterSpec> | undefined {
  const { learned } = familyOf(options.name);
  return learned && { query: learned(options, heads).query, key: learned(options, keyHeads).key };
}

/** Draws the random parts of a map; a shape begins neutral. Learned parts are parameters and not drawn here. */
export function drawFeatureParts(
  options: FeatureMapOptions,
  heads: number,
  random: Random,
): FeatureMapParts<HostTensor> {
  return drawBuffers(bufferParts(options, heads), random);
}
