/**
 * What the features of a machine estimate, E[φ(x)·φ(y)] to the factor, so that the exact twin (`exact.ts`) with the same λ
 * solves the problem that more and more features come to:
 *
 *   gaussian, softmax, polynomial, linear   the kernel of the name
 *   taylor        1 + z + z²/2 = ((z + 1)² + 1)/2, z = x·y/√dim
 *   arc-cosine    relu features have half the arc-cosine kernel of degree 1, step features half that of degree 0
 */
import { PerformerError } from '../base/errors.js';
import { add, multiply } from '../graph/index.js';
import {
  arcCosineKernel,
  gaussianKernel,
  type Kernel,
  linearKernel,
  polynomialKernel,
  softmaxKernel,
} from '../kernels/index.js';
import type { MachineConfig } from './config.js';

/** K of all pairs of rows in a graph: [n, dim] and [m, dim] → [n, m]. */
export type KernelMatrix = Pick<Kernel, 'matrix' | 'isShiftInvariant'>;

/** The part of a config that says which kernel it is. */
export type KernelChoice = Pick<MachineConfig, 'kernel' | 'map' | 'gamma' | 'degree' | 'offset'>;

function half({ matrix }: KernelMatrix, offset: number): KernelMatrix {
  return { matrix: (x, y) => multiply(add(matrix(x, y), offset), 0.5) };
}

/** The kernel of a choice, where it has a closed form here. */
function closedForm({ kernel, map, gamma, degree = 2, offset = 1 }: KernelChoice): KernelMatrix | undefined {
  switch (kernel) {
    case 'gaussian':
      return gaussianKernel({ gamma: gamma ?? Number.NaN });
    case 'softmax':
      return softmaxKernel();
    case 'polynomial':
      return polynomialKernel({ degree, offset });
    case 'linear':
      return linearKernel();
    case 'taylor':
      return half(polynomialKernel({ degree: 2 }), 1);
    case 'arc-cosine':
      return half(arcCosineKernel({ degree: 1 }), 0);
    default:
      return map === 'step' ? half(arcCosineKernel({ degree: 0 }), 0) : undefined;
  }
}

/**
 * The exact kernel of a machine, for `fitExactMachine`.
 *
 * @throws CONFIG for a gaussian kernel without gamma, and for maps whose kernel has no closed form here.
 */
export function exactKernel(choice: KernelChoice): KernelMatrix {
  const kernel = closedForm(choice);
  if (kernel !== undefined) return kernel;
  throw new PerformerError(
    'CONFIG',
    `exactKernel: expected a kernel with a closed form, got that of ${choice.map} features.`,
  );
}

/** Whether what is predicted stays the same when one vector is added to all rows; false where no closed form tells it. */
export function isShiftInvariant(choice: KernelChoice): boolean {
  return closedForm(choice)?.isShiftInvariant ?? false;
}
