/**
 * The feature maps by name: what each is made of, and how. A model's configuration, the command line, comparisons and
 * reports choose among these.
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { spec, type Tensor, type TensorSpec } from '../graph/index.js';
import { cosformerFeatures } from './cosformer.js';
import type { FeatureMap } from './feature-map.js';
import { type FeatureShape, neutralShape, type ShapeMethod, shapeLayout, shapeMethods } from './feature-shape.js';
import { generalizedFeatures, type NonlinearityName, nonlinearities } from './generalized.js';
import { type LearnedFeatureParams, learnedFeatures } from './learned.js';
import { largestTaylorDim, polynomialFeatures, taylorFeatureCount, taylorFeatures } from './polynomial.js';
import { exponentialMap, hyperbolicFeatures, positiveFeatures } from './positive.js';
import {
  defaultFeatureCount,
  drawnRows,
  drawProjection,
  drawSigns,
  mostEntries,
  type ProjectionKind,
  projectionKinds,
  rowNorms,
} from './projection.js';
import { shapedFeatures } from './shaped.js';
import { trigonometricFeatures } from './trigonometric.js';

const generalizedNames = Object.keys(nonlinearities) as NonlinearityName[];

export const featureMapNames = [
  'positive',
  'hyperbolic',
  'trigonometric',
  ...shapeMethods,
  'exponential',
  ...generalizedNames,
  'polynomial',
  'taylor',
  'cosformer',
  'hedgehog',
] as const;
export type FeatureMapName =
  | 'positive'
  | 'hyperbolic'
  | 'trigonometric'
  | ShapeMethod
  | 'exponential'
  | NonlinearityName
  | 'polynomial'
  | 'taylor'
  | 'cosformer'
  | 'hedgehog';

/** What a map is chosen by. */
export interface FeatureMapOptions {
  readonly name: FeatureMapName;
  readonly headDim: number;
  /** Columns of φ. Maps without random features have as many as `headDim` gives. */
  readonly featureCount: number;
  /** How the projection is drawn; none: generalised maps apply their function to x itself. */
  readonly projectionKind: ProjectionKind | 'none';
  readonly rowNorm: 'chi' | 'root';
  /** Of generalised maps: see `generalizedFeatures`. */
  readonly kernelEpsilon?: number | undefined;
  /** Of the polynomial map. */
  readonly degree?: number | undefined;
  readonly offset?: number | undefined;
  /** Of cosFormer: the longest distance. */
  readonly span?: number | undefined;
}

/** What a map is made of beside its options. Random parts are inputs of a graph; learned ones are parameters. */
export interface FeatureMapParts<T = Tensor> {
  /** Ω, or the signs of the polynomial map. */
  readonly projection?: T;
  /** Of maps that are shaped by moments. */
  readonly shape?: FeatureShape<T>;
  readonly learned?: LearnedFeatureParams<T>;
}

interface Family {
  /** Rows and columns of the projection; absent for maps that have none. */
  readonly projection?: (options: FeatureMapOptions) => readonly [rows: number, columns: number];
  /** The number of features where it follows from the head's dim. */
  readonly fixedCount?: (dim: number) => number;
  /** What the number of features must be a multiple of. */
  readonly multiple?: number;
  readonly build: (options: FeatureMapOptions, parts: FeatureMapParts) => FeatureMap;
}

function need<T>(part: T | undefined, what: string, { name }: FeatureMapOptions): T {
  if (part === undefined) throw new PerformerError('CONFIG', `${name} features: expected ${what}, got none.`);
  return part;
}

const whole = ({ featureCount, headDim }: FeatureMapOptions) => [featureCount, headDim] as const;
const half = ({ featureCount, headDim }: FeatureMapOptions) => [featureCount / 2, headDim] as const;
/** Of the polynomial kernel at x·y = 0, with room in float32 for the others. */
const largestConstant = 1e30;
const degreeOf = ({ degree }: FeatureMapOptions) => degree ?? 2;

function shaped(method: ShapeMethod): Family {
  return {
    projection: whole,
    build: (options, { projection, shape }) =>
      shapedFeatures(method, need(projection, 'a projection', options), need(shape, 'a shape', options)),
  };
}

function generalized(name: NonlinearityName): Family {
  return {
    projection: whole,
    build: (options, { projection }) => {
      const isDirect = options.projectionKind === 'none';
      const drawn = isDirect ? undefined : need(projection, 'a projection', options);
      const { kernelEpsilon: epsilon } = options;
      return generalizedFeatures(name, options.headDim, drawn, epsilon === undefined ? {} : { epsilon });
    },
  };
}

const families: Record<FeatureMapName, Family> = {
  positive: {
    projection: whole,
    build: (options, { projection }) => positiveFeatures(need(projection, 'a projection', options)),
  },
  hyperbolic: {
    projection: half,
    multiple: 2,
    build: (options, { projection }) => hyperbolicFeatures(need(projection, 'a projection', options)),
  },
  trigonometric: {
    projection: half,
    multiple: 2,
    build: (options, { projection }) => trigonometricFeatures(need(projection, 'a projection', options)),
  },
  oprf: shaped('oprf'),
  sderf: shaped('sderf'),
  aderf: shaped('aderf'),
  exponential: {
    projection: whole,
    build: (options, { projection }) =>
      options.projectionKind === 'none'
        ? exponentialMap(options.headDim)
        : exponentialMap(options.headDim, need(projection, 'a projection', options)),
  },
  ...(Object.fromEntries(generalizedNames.map((name) => [name, generalized(name)])) as Record<
    NonlinearityName,
    Family
  >),
  polynomial: {
    projection: (options) => [degreeOf(options) * options.featureCount, options.headDim + 1],
    build: (options, { projection }) =>
      polynomialFeatures(need(projection, 'signs', options), {
        degree: degreeOf(options),
        offset: options.offset ?? 1,
      }),
  },
  taylor: { fixedCount: taylorFeatureCount, build: ({ headDim }) => taylorFeatures(headDim) },
  cosformer: {
    fixedCount: (dim) => 2 * dim,
    build: ({ headDim, span }) => cosformerFeatures(headDim, span ?? 4096),
  },
  hedgehog: {
    fixedCount: (dim) => 2 * dim,
    build: (options, { learned }) => learnedFeatures(need(learned, 'learned weights', options)),
  },
};

/** Maps that may do without a projection: f(x) itself. */
function canBeDirect(name: FeatureMapName): boolean {
  return name === 'exponential' || name in nonlinearities;
}

/** Whether a map has random rows of a kind and a norm; the random part of the polynomial map is signs. */
export function hasRandomRows(name: FeatureMapName): boolean {
  return families[name].projection !== undefined && name !== 'polynomial';
}

export function isShaped(name: FeatureMapName): name is ShapeMethod {
  return (shapeMethods as readonly string[]).includes(name);
}

/** Whether φ(q)·φ(k) can be zero or negative, known before the map is built. */
export function isSignedMap({ name, kernelEpsilon }: Pick<FeatureMapOptions, 'name' | 'kernelEpsilon'>): boolean {
  if (Object.hasOwn(nonlinearities, name)) {
    return nonlinearities[name as NonlinearityName].isSigned || kernelEpsilon === 0;
  }
  return ['trigonometric', 'polynomial', 'cosformer'].includes(name);
}

/** Whether φ is constant between jumps, so that no gradient reaches the queries and keys behind it. */
export function isFlatMap(name: FeatureMapName): boolean {
  return name === 'step';
}

/** The number of features of a map: as asked for, or what its head's dim gives. */
export function featureCountOf({
  name,
  headDim,
  featureCount,
  projectionKind,
}: Omit<FeatureMapOptions, 'featureCount' | 'rowNorm'> & { readonly featureCount?: number | undefined }): number {
  const { fixedCount, multiple = 1 } = families[name];
  if (projectionKind === 'none' && canBeDirect(name)) return headDim;
  const fixed = fixedCount?.(headDim);
  return fixed ?? featureCount ?? Math.ceil(defaultFeatureCount(headDim) / multiple) * multiple;
}

/** Rows and columns of the projection of a map; none for maps without one. */
export function projectionSize(options: FeatureMapOptions): readonly [rows: number, columns: number] | undefined {
  return options.projectionKind === 'none' ? undefined : families[options.name].projection?.(options);
}

/** What is wrong with options, as [option, message] pairs: empty for those that can be built. */
export function featureMapProblems(options: FeatureMapOptions): (readonly [keyof FeatureMapOptions, string])[] {
  const { name, featureCount, projectionKind, rowNorm, headDim } = options;
  const problems: (readonly [keyof FeatureMapOptions, string])[] = [];
  const oneOf = (key: keyof FeatureMapOptions, allowed: readonly string[]) => {
    if (!allowed.includes(String(options[key])))
      problems.push([key, `expected one of ${allowed.join(', ')}, got ${options[key]}`]);
  };
  oneOf('name', featureMapNames);
  oneOf('projectionKind', [...projectionKinds, 'none']);
  oneOf('rowNorm', rowNorms);
  for (const key of ['headDim', 'featureCount'] as const) {
    const value = options[key];
    if (!Number.isSafeInteger(value) || value < 1) problems.push([key, `expected a positive integer, got ${value}`]);
  }
  if (problems.length > 0) return problems;
  const { multiple = 1 } = families[name];
  const only = (key: keyof FeatureMapOptions, isFitting: boolean, whose: string) => {
    if (options[key] !== undefined && !isFitting) problems.push([key, `only ${whose} have it`]);
  };
  const expected = featureCountOf(options);
  if (featureCount !== expected) problems.push(['featureCount', `${name} features of dim ${headDim} are ${expected}`]);
  else if (featureCount % multiple !== 0)
    problems.push(['featureCount', `${name} features need a multiple of ${multiple}`]);
  if (projectionKind !== 'orthogonal' && !hasRandomRows(name))
    problems.push(['projectionKind', `${name} features have no rows of another kind than orthogonal`]);
  else if (projectionKind === 'none' && !canBeDirect(name))
    problems.push(['projectionKind', `${name} features need a projection`]);
  else if (projectionKind === 'structured' && (headDim & (headDim - 1)) !== 0)
    problems.push(['projectionKind', 'structured projections need a headDim that is a power of two']);
  if (rowNorm === 'root' && isShaped(name))
    problems.push(['rowNorm', `${name} features need rows of norm chi: others scale what they estimate`]);
  else if (rowNorm === 'root' && (projectionKind === 'none' || !hasRandomRows(name)))
    problems.push(['rowNorm', `${name} features have no rows of another norm than chi`]);
  const size = projectionSize(options);
  const kind = projectionKind === 'none' ? 'iid' : projectionKind;
  if (size !== undefined && drawnRows(kind, ...size) * size[1] > mostEntries)
    problems.push(['featureCount', `expected a projection of at most ${mostEntries} entries, got ${size.join(' × ')}`]);
  if (name === 'taylor' && headDim > largestTaylorDim)
    problems.push(['headDim', `taylor features need it to be at most ${largestTaylorDim}`]);
  for (const key of ['kernelEpsilon', 'offset', 'span'] as const) {
    const value = options[key];
    if (value !== undefined && !Number.isFinite(value)) problems.push([key, `expected a finite number, got ${value}`]);
  }
  only('kernelEpsilon', name in nonlinearities, 'generalised features');
  const largestOffset = largestConstant ** (1 / degreeOf(options));
  if ((options.offset ?? 0) > largestOffset)
    problems.push(['offset', `at most ${largestOffset}, got ${options.offset}`]);
  only('degree', name === 'polynomial', 'polynomial features');
  only('offset', name === 'polynomial', 'polynomial features');
  only('span', name === 'cosformer', 'cosformer features');
  return problems;
}

/** Throws SHAPE for parts that are not of the sizes that the options give them. */
function checkParts(options: FeatureMapOptions, { projection, shape, learned }: FeatureMapParts): void {
  const { name, headDim: dim } = options;
  const expectSize = (what: string, part: Tensor | undefined, expected: readonly (number | 'heads')[]) => {
    if (part === undefined) return;
    const fits =
      part.rank === expected.length && expected.every((size, axis) => size === 'heads' || part.dim(axis) === size);
    if (!fits)
      throw new PerformerError('SHAPE', `${name} features: expected ${what} [${expected.join(', ')}], got ${part}.`);
  };
  expectSize('a projection', projection, families[name].projection?.(options) ?? []);
  for (const side of ['query', 'key'] as const) {
    expectSize(`a shape of the ${side}`, shape?.[side], ['heads', dim, dim]);
    expectSize(`weights of the ${side}`, learned?.[side], ['heads', dim, dim]);
  }
  expectSize('a curvature', shape?.curvature, ['heads', dim]);
}

/** Builds a map for one head's rows. Throws CONFIG for options that do not fit or a part that is missing, SHAPE for one of another size. */
export function featureMap(options: FeatureMapOptions, parts: FeatureMapParts): FeatureMap {
  const problems = featureMapProblems(options);
  if (problems.length > 0) {
    const text = problems.map(([key, message]) => `${key}: ${message}`).join('; ');
    throw new PerformerError('CONFIG', `featureMap: expected options that fit, got ${text}.`);
  }
  checkParts(options, parts);
  return families[options.name].build(options, parts);
}

/** What of a map is no parameter: its random parts, and a shape. */
type DrawnParts<T> = Pick<FeatureMapParts<T>, 'projection' | 'shape'>;

/** The parts that `drawFeatureParts` draws, without their values. */
export function featurePartsLayout(options: FeatureMapOptions, heads: number): DrawnParts<TensorSpec> {
  const size = projectionSize(options);
  if (size === undefined) return {};
  const projection = spec('float32', size);
  return isShaped(options.name) ? { projection, shape: shapeLayout(heads, options.headDim) } : { projection };
}

/** Draws the random parts of a map; a shape begins neutral. Learned parts are parameters and not drawn here. */
export function drawFeatureParts(
  options: FeatureMapOptions,
  heads: number,
  random: Random,
): DrawnParts<HostTensor<'float32'>> {
  const { name, projectionKind, rowNorm, headDim } = options;
  const size = projectionSize(options);
  if (size === undefined || projectionKind === 'none') return {};
  if (name === 'polynomial') return { projection: drawSigns(random, ...size) };
  const projection = drawProjection(random, ...size, { kind: projectionKind, rowNorm });
  return isShaped(name) ? { projection, shape: neutralShape(heads, headDim) } : { projection };
}
