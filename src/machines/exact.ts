/**
 * The exact twin for small data: ridge regression in the space of the kernel itself, by its matrix over all pairs of rows,
 *
 *   (HKH + rows·λI) α = Hy,   f(x) = Σⱼ αⱼ K(x, xⱼ) + b,   b = ȳ − mean(Kα),   H = I − 11ᵀ/rows
 *
 * the same problem as that of `fit.ts` when K is φ·φ, with the same λ and the same standardised rows: what the random
 * features converge to, at a cost of rows² numbers and more work than that to solve.
 */
import { float32, type HostTensor, hostTensor } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Engine, Executable } from '../engine/index.js';
import { matmul, spec, type Tensor, type TensorSpec } from '../graph/index.js';
import { type Columns, centredOnly, standardized, untouched } from './columns.js';
import type { KernelMatrix } from './exact-kernel.js';
import { checkPredictions, type Predictor } from './predictor.js';
import { standardizeRow } from './rows.js';
import { arraySamples, checkInputs, type SampleBatch, type Task } from './samples.js';
import { ridgeSolver } from './solve.js';
import { survey } from './survey.js';

/** A kernel matrix of so many rows is half a gigabyte in float64. */
export const mostExactRows = 8192;

/** How an exact machine is fitted. */
export interface ExactOptions {
  readonly task: Task;
  /** One of `performer-ts/kernels`, or what the features of a machine estimate (`exactKernel`); of standardised rows. */
  readonly kernel: KernelMatrix;
  /** λ > 0 */
  readonly lambda: number;
  /** Default true. Without it, rows keep their scale; kernels that are invariant under shifts still see them centred. */
  readonly standardize?: boolean;
}

/**
 * Fits the exact machine to rows in memory. Throws DATA for more than `mostExactRows` rows, SHAPE, DTYPE or DATA for data
 * that does not fit, and NUMERIC when λ is too small.
 */
export async function fitExactMachine(
  engine: Engine,
  { inputs, targets }: SampleBatch,
  { task, kernel, lambda, standardize = true }: ExactOptions,
): Promise<Predictor> {
  const where = 'fitExactMachine';
  const rows = inputs.shape[0] as number;
  if (rows > mostExactRows) {
    throw new PerformerError(
      'DATA',
      `${where}: expected at most ${mostExactRows} rows for an exact kernel matrix, got ${rows}. Use fitKernelMachine.`,
    );
  }
  if (!(lambda > 0 && lambda < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `${where}: expected lambda > 0, got ${lambda}.`);
  }
  const seen = await survey(where, arraySamples(inputs, targets), task, Random.fromSeed(0));
  const shifted = kernel.isShiftInvariant ? centredOnly(seen.inputs) : undefined;
  const columns = standardize ? seen.inputs : (shifted ?? untouched(where, seen.inputs));
  const support = standardizedRows(inputs, columns);
  const matrix = await kernelMatrix(engine, support, kernel);
  const y = rightSide({ inputs, targets }, task, seen.targets);
  const outputs = seen.targets.mean.length;
  const solver = await ridgeSolver(engine, { size: rows, outputs, matrix: centre(matrix, rows), right: y });
  let alpha: Float64Array;
  try {
    alpha = await solver.solve(rows * lambda);
  } finally {
    await solver.dispose();
  }
  const intercept = interceptOf(matrix, alpha, rows);
  return ExactPredictor.create(engine, { task, columns, support, kernel, targets: seen.targets, alpha, intercept });
}

function standardizedRows({ shape, data }: SampleBatch['inputs'], columns: Columns): HostTensor {
  const [rows, dim] = shape as [number, number];
  const result = new Float32Array(rows * dim);
  for (let row = 0; row < rows; row++) standardizeRow(data, row, columns, result, row);
  return float32([rows, dim], result);
}

/** K(xᵢ, xⱼ) of all rows, [rows, rows]: the one place where the kernel matrix is made. */
async function kernelMatrix(engine: Engine, rows: HostTensor, kernel: ExactOptions['kernel']): Promise<Float64Array> {
  const executable = await engine.compile(
    ({ x }: { x: Tensor }) => kernel.matrix(x, x),
    [{ x: spec('float32', rows.shape) }],
  );
  try {
    const { data } = await executable.run([{ x: rows }]);
    return Float64Array.from(data);
  } finally {
    await executable.dispose();
  }
}

/** Standardised targets [outputs, rows]. */
function rightSide({ targets }: SampleBatch, task: Task, { mean, scale }: Columns): Float64Array {
  const outputs = mean.length;
  const rows = targets.shape[0] as number;
  return Float64Array.from({ length: outputs * rows }, (_, at) => {
    const [output, row] = [Math.floor(at / rows), at % rows];
    const isClass = task === 'classification';
    const value = isClass ? Number(targets.data[row] === output) : (targets.data[row * outputs + output] as number);
    return standardized(value, mean[output] as number, scale[output] as number);
  });
}

/** HKH, symmetric to the last bit. */
function centre(matrix: Float64Array, rows: number): Float64Array {
  const means = new Float64Array(rows);
  for (let at = 0; at < matrix.length; at++) {
    const row = Math.floor(at / rows);
    means[row] = (means[row] as number) + (matrix[at] as number) / rows;
  }
  const grand = means.reduce((a, b) => a + b, 0) / rows;
  const result = new Float64Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = row; column < rows; column++) {
      const value =
        (matrix[row * rows + column] as number) - (means[row] as number) - (means[column] as number) + grand;
      result[row * rows + column] = value;
      result[column * rows + row] = value;
    }
  }
  return result;
}

/** −mean(Kα) for each output, in standardised targets. */
function interceptOf(matrix: Float64Array, alpha: Float64Array, rows: number): Float64Array {
  const columnSums = new Float64Array(rows);
  for (let at = 0; at < matrix.length; at++) {
    columnSums[at % rows] = (columnSums[at % rows] as number) + (matrix[at] as number) / rows;
  }
  return Float64Array.from({ length: alpha.length / rows }, (_, output) => {
    let total = 0;
    for (let row = 0; row < rows; row++) total -= (columnSums[row] as number) * (alpha[output * rows + row] as number);
    return total;
  });
}

interface ExactParts {
  readonly task: Task;
  readonly columns: Columns;
  readonly support: HostTensor;
  readonly kernel: ExactOptions['kernel'];
  readonly targets: Columns;
  readonly alpha: Float64Array;
  readonly intercept: Float64Array;
}

/** Rows whose kernel with the support is made at once. */
const batchRows = 1024;

/** What a prediction is computed from, as constants of the session. */
interface SupportArrays {
  readonly weight: HostTensor;
  readonly support: HostTensor;
}

class ExactPredictor implements Predictor {
  private constructor(
    private readonly parts: ExactParts,
    private readonly executable: Executable<readonly [SupportArrays, { readonly inputs: TensorSpec }], Tensor>,
  ) {}

  static async create(engine: Engine, parts: ExactParts): Promise<ExactPredictor> {
    const { support, alpha, kernel, targets } = parts;
    const [rows, dim] = support.shape as [number, number];
    const outputs = targets.mean.length;
    const weight = Float32Array.from(
      alpha,
      (_, at) => alpha[(at % outputs) * rows + Math.floor(at / outputs)] as number,
    );
    const executable = await engine.compile(
      (fixed: { weight: Tensor; support: Tensor }, { inputs }: { inputs: Tensor }) =>
        matmul(kernel.matrix(inputs, fixed.support), fixed.weight),
      [{ weight: float32([rows, outputs], weight), support }, { inputs: spec('float32', [symbol('rows'), dim]) }],
    );
    return new ExactPredictor(parts, executable);
  }

  get task(): Task {
    return this.parts.task;
  }

  get dim(): number {
    return this.parts.columns.mean.length;
  }

  get outputs(): number {
    return this.parts.targets.mean.length;
  }

  async predict(inputs: SampleBatch['inputs'], first = 0): Promise<HostTensor<'float64'>> {
    const { dim, outputs } = this;
    checkInputs('predict', inputs, first, dim);
    const { columns, targets, intercept } = this.parts;
    const rows = inputs.shape[0] as number;
    const x = standardizedRows(inputs, columns);
    const result = new Float64Array(rows * outputs);
    for (let start = 0; start < rows; start += batchRows) {
      const batch = x.data.subarray(start * dim, Math.min(rows, start + batchRows) * dim);
      const given = { inputs: float32([batch.length / dim, dim], batch) };
      const scores = await this.executable.run([given]);
      scores.data.forEach((score, at) => {
        const output = at % outputs;
        result[start * outputs + at] =
          (score + (intercept[output] as number)) * (targets.scale[output] as number) +
          (targets.mean[output] as number);
      });
    }
    checkPredictions(result, outputs, first);
    return hostTensor('float64', [rows, outputs], result);
  }

  dispose(): Promise<void> {
    return this.executable.dispose();
  }
}
