/** The feature maps that the figures compare, with names that fit into a legend. */
import type { FeatureMapName, FeatureMapOptions } from '../src/features/index.js';

export interface Candidate {
  readonly label: string;
  readonly options: Pick<FeatureMapOptions, 'name' | 'projectionKind' | 'rowNorm'> & Partial<FeatureMapOptions>;
}

function candidate(
  label: string,
  name: FeatureMapName,
  projectionKind: FeatureMapOptions['projectionKind'] = 'orthogonal',
  rowNorm: FeatureMapOptions['rowNorm'] = 'chi',
): Candidate {
  return { label, options: { name, projectionKind, rowNorm } };
}

/** Those of the paper's figure. */
export const paperCandidates: readonly Candidate[] = [
  candidate('positive, orthogonal', 'positive'),
  candidate('positive, iid', 'positive', 'iid'),
  candidate('trigonometric, orthogonal', 'trigonometric'),
  candidate('trigonometric, iid', 'trigonometric', 'iid'),
];

/** Every map that estimates the softmax kernel. */
export const softmaxCandidates: readonly Candidate[] = [
  candidate('positive (FAVOR+)', 'positive'),
  candidate('positive, √d norms', 'positive', 'orthogonal', 'root'),
  candidate('positive, simplex', 'positive', 'simplex'),
  candidate('hyperbolic', 'hyperbolic'),
  candidate('trigonometric', 'trigonometric'),
  candidate('oprf (FAVOR++)', 'oprf'),
  candidate('sderf (FAVOR#)', 'sderf'),
  candidate('aderf (FAVOR#)', 'aderf'),
];

/** Those whose error `kernelError` knows. */
export const closedFormCandidates: readonly Candidate[] = [
  candidate('positive (FAVOR+)', 'positive'),
  candidate('positive, √d norms', 'positive', 'orthogonal', 'root'),
  candidate('hyperbolic', 'hyperbolic'),
  candidate('trigonometric', 'trigonometric'),
  candidate('oprf (FAVOR++)', 'oprf'),
  candidate('sderf (FAVOR#)', 'sderf'),
  candidate('aderf (FAVOR#)', 'aderf'),
  candidate('exponential', 'exponential'),
  candidate('relu', 'relu'),
  candidate('step', 'step'),
  candidate('polynomial, degree 2', 'polynomial'),
  candidate('taylor, order 2', 'taylor'),
];

/** Ways to draw the rows of one map. */
export const projectionCandidates: readonly Candidate[] = [
  candidate('iid', 'positive', 'iid'),
  candidate('orthogonal', 'positive'),
  candidate('structured (HD)³', 'positive', 'structured'),
  candidate('givens (Kac)', 'positive', 'givens'),
  candidate('simplex', 'positive', 'simplex'),
  candidate('orthogonal, √d norms', 'positive', 'orthogonal', 'root'),
];

/** Maps of kernels other than softmax's. */
export const otherCandidates: readonly Candidate[] = [
  ...(
    [
      'relu',
      'step',
      'elu',
      'softplus',
      'sigmoid',
      'abs',
      'square',
      'exponential',
      'gelu',
      'tanh',
      'cos',
      'identity',
    ] as const
  ).map((name) => candidate(name, name)),
  candidate('polynomial, degree 2', 'polynomial'),
  {
    label: 'polynomial, degree 4',
    options: { name: 'polynomial', projectionKind: 'orthogonal', rowNorm: 'chi', degree: 4 },
  },
];

/** Maps without random features; cosFormer's span is the sequence. */
export function fixedCandidates(length: number): readonly Candidate[] {
  return [
    candidate('taylor, order 2', 'taylor'),
    { label: 'cosformer', options: { name: 'cosformer', projectionKind: 'orthogonal', rowNorm: 'chi', span: length } },
    candidate('hedgehog, W = 2·I', 'hedgehog'),
    candidate('relu(x)', 'relu', 'none'),
    candidate('elu(x) + 1', 'elu', 'none'),
  ];
}
