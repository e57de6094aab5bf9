/** f(x) = φ(x)·W + b over rows, in the engine: values, or a score for each class. */
import { float32, type HostTensor, hostTensor } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { Engine, Executable } from '../engine/index.js';
import { matmul, spec, type Tensor, type TensorSpec } from '../graph/index.js';
import { type MachineFeatures, machineFeatures } from './features.js';
import type { KernelMachine } from './machine.js';
import { standardizeRow } from './rows.js';
import { checkInputs, type SampleBatch } from './samples.js';

/** Rows that the engine takes at once. */
const batchRows = 2048;

/** What predicts: random features, or the exact kernel. */
export interface Predictor {
  readonly task: KernelMachine['config']['task'];
  readonly dim: number;
  readonly outputs: number;
  /**
   * Predictions [rows, outputs] for inputs [rows, dim]: values, or scores of the classes, which are estimates of their
   * probabilities by least squares and neither stay in [0, 1] nor are calibrated. `first` is the number of the first row,
   * for messages. Throws SHAPE, DATA for inputs that are not finite, and NUMERIC for predictions that are not.
   */
  predict(inputs: SampleBatch['inputs'], first?: number): Promise<HostTensor<'float64'>>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** The index of the largest score of each row [rows, outputs]. */
export function classesOf({ shape, data }: HostTensor<'float64'>): Int32Array {
  const [rows, outputs] = shape as [number, number];
  return Int32Array.from({ length: rows }, (_, row) => {
    const scores = data.subarray(row * outputs, (row + 1) * outputs);
    return scores.reduce((best, score, index) => (score > (scores[best] as number) ? index : best), 0);
  });
}

/** Throws NUMERIC unless every prediction is finite. */
export function checkPredictions(data: Float64Array, outputs: number, first: number): void {
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new PerformerError(
    'NUMERIC',
    `predict: expected finite predictions, got ${data[bad]} for row ${first + Math.floor(bad / outputs)} (counted ` +
      'from 0). Its values lie too far from those that the machine was fitted to.',
  );
}

type Scores = Executable<
  readonly [{ readonly weight: HostTensor }, { readonly inputs: TensorSpec }, { readonly projection?: TensorSpec }],
  Tensor
>;

export class MachinePredictor implements Predictor {
  private constructor(
    private readonly machine: KernelMachine,
    private readonly features: MachineFeatures,
    private readonly executable: Scores,
  ) {}

  /** Compiles a machine for an engine. */
  static async create(engine: Engine, machine: KernelMachine): Promise<MachinePredictor> {
    const { config, tensors } = machine;
    const features = machineFeatures('predict', config, config.dim, tensors.projection);
    const executable = await engine.compile(
      ({ weight }: { weight: Tensor }, { inputs }: { inputs: Tensor }, parts: { projection?: Tensor }) =>
        matmul(features.apply(inputs, parts.projection), weight),
      [
        { weight: tensors.weight },
        { inputs: spec('float32', [symbol('rows'), config.dim]) },
        features.projection === undefined ? {} : { projection: spec('float32', features.projection.shape) },
      ],
    );
    return new MachinePredictor(machine, features, executable);
  }

  get task(): KernelMachine['config']['task'] {
    return this.machine.config.task;
  }

  get dim(): number {
    return this.machine.config.dim;
  }

  get outputs(): number {
    return this.machine.config.outputs;
  }

  async predict(inputs: SampleBatch['inputs'], first = 0): Promise<HostTensor<'float64'>> {
    const { dim, outputs } = this;
    checkInputs('predict', inputs, first, dim);
    const { mean, scale, intercept } = this.machine.tensors;
    const columns = { mean: mean.data, scale: scale.data };
    const rows = inputs.shape[0] as number;
    const result = new Float64Array(rows * outputs);
    for (let start = 0; start < rows; start += batchRows) {
      const count = Math.min(batchRows, rows - start);
      const batch = new Float32Array(count * dim);
      for (let row = 0; row < count; row++) standardizeRow(inputs.data, start + row, columns, batch, row);
      const scores = await this.executable.run([{ inputs: float32([count, dim], batch) }, this.features.parts]);
      scores.data.forEach((score, at) => {
        result[start * outputs + at] = score + (intercept.data[at % outputs] as number);
      });
    }
    checkPredictions(result, outputs, first);
    return hostTensor('float64', [rows, outputs], result);
  }

  dispose(): Promise<void> {
    return this.executable.dispose();
  }
}
