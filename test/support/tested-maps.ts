/** Every feature map, made of parts drawn from a seed, beside the same map in plain loops. */
import { float32, type HostTensor, Random } from '../../src/base/index.js';
import {
  defaultKernelEpsilon,
  drawFeatureParts,
  type FeatureMap,
  type FeatureMapName,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  isShaped,
  type NonlinearityName,
  nonlinearities,
  shapeFromMoments,
} from '../../src/features/index.js';
import type { TestedMap } from './attention-run.js';
import { normal } from './cases.js';
import type { OracleMap } from './map-oracle.js';
import {
  cosformerRows,
  exponentialRows,
  generalizedRows,
  learnedRows,
  polynomialRows,
  shapedRows,
  taylorRows,
  trigonometricRows,
} from './map-rows.js';

/** erf by 2/√π·e^{−x²}·Σ 2ⁿx^{2n+1}/(2n+1)!!, whose terms all have one sign. */
export function errorFunction(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, total] = [x, 0];
  for (let n = 0; Math.abs(term) > 1e-18 * Math.abs(total) || n < 2; n++) {
    total += term;
    term *= (2 * x * x) / (2 * n + 3);
    if (term === 0) break;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

/** The functions of generalised attention by their definitions. */
export const hostNonlinearities: Readonly<Record<NonlinearityName, (u: number) => number>> = {
  relu: (u) => Math.max(u, 0),
  elu: (u) => (u > 0 ? u + 1 : Math.exp(u)),
  sigmoid: (u) => 1 / (1 + Math.exp(-u)),
  softplus: (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u))),
  abs: Math.abs,
  square: (u) => u * u,
  gelu: (u) => (u * (1 + errorFunction(u / Math.SQRT2))) / 2,
  tanh: Math.tanh,
  cos: Math.cos,
  identity: (u) => u,
  step: (u) => Number(u > 0),
};

export interface MapCase extends TestedMap {
  readonly name: string;
  readonly oracle: OracleMap;
  readonly usesPosition: boolean;
}

export interface MapChoice extends Partial<Omit<FeatureMapOptions, 'name' | 'headDim' | 'featureCount'>> {
  readonly name: FeatureMapName;
}

const span = 64;
const kernelDegree = 3;

/** The choices of a conformance suite: every map, and the variants that take another way through the code. */
export const mapChoices: readonly MapChoice[] = [
  { name: 'positive' },
  { name: 'hyperbolic' },
  { name: 'trigonometric' },
  { name: 'oprf' },
  { name: 'sderf' },
  { name: 'aderf' },
  { name: 'exponential' },
  { name: 'exponential', projectionKind: 'none' },
  ...(Object.keys(nonlinearities) as NonlinearityName[]).map((name) => ({ name })),
  { name: 'relu', projectionKind: 'none' },
  { name: 'elu', projectionKind: 'none' },
  { name: 'relu', kernelEpsilon: 0 },
  { name: 'polynomial' },
  { name: 'polynomial', degree: kernelDegree, offset: 0 },
  { name: 'taylor' },
  { name: 'cosformer', span },
  { name: 'hedgehog' },
];

export function labelOf({ name, projectionKind, kernelEpsilon, degree }: MapChoice): string {
  const notes = [
    projectionKind === 'none' ? 'without a projection' : undefined,
    kernelEpsilon === undefined ? undefined : `epsilon ${kernelEpsilon}`,
    degree === undefined ? undefined : `degree ${degree}`,
  ].filter((note) => note !== undefined);
  return notes.length === 0 ? name : `${name} (${notes.join(', ')})`;
}

/** A map for heads of a dim; random ones get `features` columns. */
export function mapCase(choice: MapChoice, headDim: number, heads: number, features: number): MapCase {
  const partial = { projectionKind: 'orthogonal', rowNorm: 'chi', ...choice, headDim } as const;
  const options: FeatureMapOptions = {
    ...partial,
    featureCount: featureCountOf({ ...partial, featureCount: features }),
  };
  const random = Random.fromSeed(5).split(labelOf(choice));
  const drawn = drawFeatureParts(options, heads, random);
  const parts: FeatureMapParts<HostTensor> = {
    ...drawn,
    ...(isShaped(choice.name) ? { shape: drawnShape(choice.name, heads, headDim) } : {}),
    ...(choice.name === 'hedgehog' ? { learned: drawnWeights(heads, headDim) } : {}),
  };
  const build = (given: FeatureMapParts): FeatureMap => featureMap(options, given);
  const oracle = oracleOf(options, parts);
  return {
    name: labelOf(choice),
    parts,
    build: build as TestedMap['build'],
    stateFeatures: options.featureCount + Number(oracle.isSigned),
    oracle,
    usesPosition: choice.name === 'cosformer',
  };
}

function oracleOf(options: FeatureMapOptions, parts: FeatureMapParts<HostTensor>): OracleMap {
  const { name, kernelEpsilon, degree = 2, offset = 1 } = options;
  const { projection, shape, learned } = parts;
  if (isShaped(name)) return shapedRows(projection!, shape!, name !== 'aderf');
  switch (name) {
    case 'positive':
      return exponentialRows(projection);
    case 'hyperbolic':
      return exponentialRows(projection, { isPaired: true });
    case 'exponential':
      return exponentialRows(projection, { hasNorm: false });
    case 'trigonometric':
      return trigonometricRows(projection!);
    case 'polynomial':
      return polynomialRows(projection!, degree, offset);
    case 'taylor':
      return taylorRows();
    case 'cosformer':
      return cosformerRows(options.span!);
    case 'hedgehog':
      return learnedRows(learned!);
    default: {
      const isNegativeSomewhere = ['gelu', 'tanh', 'cos', 'identity'].includes(name);
      const epsilon = kernelEpsilon ?? (isNegativeSomewhere ? 0 : defaultKernelEpsilon);
      return generalizedRows(hostNonlinearities[name], {
        projection,
        epsilon,
        isSigned: isNegativeSomewhere || epsilon === 0,
      });
    }
  }
}

/** A shape from moments that differ from head to head and between queries and keys, with directions of unlike size. */
function drawnShape(name: 'oprf' | 'sderf' | 'aderf', heads: number, dim: number) {
  const moments = (side: string) => {
    const mean = normal(`${side} mean`, [heads, dim], 0.2);
    const root = normal(`${side} root`, [heads, dim, dim], dim ** -0.5);
    const second = new Float32Array(heads * dim * dim);
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < dim; i++) {
        for (let j = 0; j < dim; j++) {
          let total = (mean.data[head * dim + i]! * mean.data[head * dim + j]!) as number;
          for (let k = 0; k < dim; k++) {
            const at = head * dim * dim;
            total += root.data[at + i * dim + k]! * root.data[at + j * dim + k]!;
          }
          second[(head * dim + i) * dim + j] = total + (i === j ? 0.05 : 0);
        }
      }
    }
    return { mean, second: float32([heads, dim, dim], second) };
  };
  return shapeFromMoments(name, { query: moments('query'), key: moments('key') });
}

/** 2·I and a little of everything. */
function drawnWeights(heads: number, dim: number) {
  const draw = (side: string) => {
    const weight = normal(`${side} weight`, [heads, dim, dim], 0.3 / Math.sqrt(dim));
    for (let at = 0; at < heads * dim; at++) weight.data[at * dim + (at % dim)]! += 2;
    return weight;
  };
  return { query: draw('query'), key: draw('key') };
}
