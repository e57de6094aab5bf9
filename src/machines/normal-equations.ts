/**
 * The normal equations of ridge regression, accumulated over a stream: for features φ [rows, features] and targets
 * y [rows, outputs],
 *
 *   ΦᵀΦ [features, features],  Φᵀy,  Σφ,  Σy,  Σy²,  rows.
 *
 * A batch's products are float32 in the engine; their sums are float64 here, so rounding does not grow with the rows. An
 * intercept that is not penalised is what centring does: ΦᵀΦ − rows·φ̄φ̄ᵀ and Φᵀy − rows·φ̄ȳᵀ.
 */
import { float32, type HostTensor, zeros } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import type { Engine, Executable } from '../engine/index.js';
import { matmul, spec, sum, type Tensor } from '../graph/index.js';
import type { MachineFeatures } from './features.js';
import { multiplyRows, type RidgeSystem } from './solve.js';

export interface Products<T = Tensor> {
  /** [features, features] */
  readonly gram: T;
  /** [outputs, features] */
  readonly cross: T;
  /** [features] */
  readonly total: T;
}

/** ΦᵀΦ, yᵀΦ and Σφ of one batch, in the engine. */
export class BatchProducts {
  readonly #buffers: Products<HostTensor>;

  private constructor(
    private readonly executable: Executable<readonly unknown[], Products>,
    private readonly features: MachineFeatures,
    readonly size: number,
    readonly outputs: number,
  ) {
    this.#buffers = {
      gram: zeros('float32', [size, size]),
      cross: zeros('float32', [outputs, size]),
      total: zeros('float32', [size]),
    };
  }

  static async compile(engine: Engine, features: MachineFeatures, outputs: number): Promise<BatchProducts> {
    const { dim, featureCount } = features;
    const rows = symbol('rows');
    const executable = await engine.compile(
      ({ inputs, targets }: { inputs: Tensor; targets: Tensor }, parts: { projection?: Tensor }): Products => {
        const phi = features.apply(inputs, parts.projection); // [rows, features]
        return {
          gram: matmul(phi, phi, { transposeLeft: true }),
          cross: matmul(targets, phi, { transposeLeft: true }),
          total: sum(phi, 0),
        };
      },
      [
        { inputs: spec('float32', [rows, dim]), targets: spec('float32', [rows, outputs]) },
        features.projection === undefined ? {} : { projection: spec('float32', features.projection.shape) },
      ],
    );
    return new BatchProducts(executable, features, featureCount, outputs);
  }

  /** The products of rows [rows, dim] and their targets; the next call overwrites them. */
  async run(inputs: Float32Array, targets: Float32Array): Promise<Products<HostTensor>> {
    const { dim, parts } = this.features;
    const rows = inputs.length / dim;
    const batch = { inputs: float32([rows, dim], inputs), targets: float32([rows, this.outputs], targets) };
    await this.executable.run([batch, parts], { outputs: this.#buffers });
    return this.#buffers;
  }

  dispose(): Promise<void> {
    return this.executable.dispose();
  }
}

/** The centred system, and the means that bring the intercept back. */
export interface CentredSystem extends RidgeSystem {
  readonly featureMean: Float64Array;
  readonly targetMean: Float64Array;
  /** The mean of |φ − φ̄|², by which λ is measured. */
  readonly spread: number;
  /** The mean of |y|². */
  readonly targetSquares: number;
}

export class NormalEquations {
  rows = 0;
  /** The upper triangle; the rest is zero. */
  readonly #gram: Float64Array;
  readonly #cross: Float64Array;
  readonly #total: Float64Array;
  readonly #targetTotal: Float64Array;
  #targetSquares = 0;

  constructor(
    readonly size: number,
    readonly outputs: number,
  ) {
    this.#gram = new Float64Array(size * size);
    this.#cross = new Float64Array(outputs * size);
    this.#total = new Float64Array(size);
    this.#targetTotal = new Float64Array(outputs);
  }

  /** Adds the products of a batch with these targets [rows, outputs]. */
  add({ gram, cross, total }: Products<HostTensor>, targets: Float32Array): void {
    for (let row = 0; row < this.size; row++) {
      for (let at = row * this.size + row; at < (row + 1) * this.size; at++) {
        this.#gram[at] = (this.#gram[at] as number) + (gram.data[at] as number);
      }
    }
    addTo(this.#cross, cross.data);
    addTo(this.#total, total.data);
    targets.forEach((value, at) => {
      this.#targetTotal[at % this.outputs] = (this.#targetTotal[at % this.outputs] as number) + value;
      this.#targetSquares += value * value;
    });
    this.rows += targets.length / this.outputs;
  }

  /** Takes in the sums of other rows. */
  merge(other: NormalEquations): void {
    addTo(this.#gram, other.#gram);
    addTo(this.#cross, other.#cross);
    addTo(this.#total, other.#total);
    addTo(this.#targetTotal, other.#targetTotal);
    this.#targetSquares += other.#targetSquares;
    this.rows += other.rows;
  }

  /** The mean over the rows: minimising |ΦW − y|²/rows + λ|W|² is solving (matrix + λI) W = right. */
  centred(): CentredSystem {
    const { size, outputs, rows } = this;
    const featureMean = this.#total.map((total) => total / rows);
    const targetMean = this.#targetTotal.map((total) => total / rows);
    const matrix = new Float64Array(size * size);
    let spread = 0;
    for (let row = 0; row < size; row++) {
      const own = featureMean[row] as number;
      for (let column = row; column < size; column++) {
        const value = (this.#gram[row * size + column] as number) / rows - own * (featureMean[column] as number);
        matrix[row * size + column] = value;
        matrix[column * size + row] = value;
      }
      spread += matrix[row * size + row] as number;
    }
    const right = this.#cross.map(
      (total, at) => total / rows - (featureMean[at % size] as number) * (targetMean[Math.floor(at / size)] as number),
    );
    return { size, outputs, matrix, right, featureMean, targetMean, spread, targetSquares: this.#targetSquares / rows };
  }
}

/** |ΦW + b − y|²/rows of weights [outputs, features] and intercepts on the rows of a system, without reading them again. */
export function squaredError(system: CentredSystem, weights: Float64Array, intercepts: Float64Array): number {
  const { size, outputs, right, featureMean, targetMean, targetSquares } = system;
  const image = multiplyRows(system, weights);
  let total = targetSquares;
  weights.forEach((weight, at) => {
    total += weight * ((image[at] as number) - 2 * (right[at] as number));
  });
  for (let output = 0; output < outputs; output++) {
    const mean = targetMean[output] as number;
    let bias = (intercepts[output] as number) - mean;
    for (let at = 0; at < size; at++) bias += (featureMean[at] as number) * (weights[output * size + at] as number);
    total += bias * bias - mean * mean;
  }
  return Math.max(0, total);
}

function addTo(sums: Float64Array, values: ArrayLike<number>): void {
  for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] as number) + (values[at] as number);
}
