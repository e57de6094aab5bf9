/** A fitted machine: its configuration and its tensors, plain data. */
import type { HostTensor } from '../base/array.js';
import type { MachineConfig } from './config.js';

/** The numbers of a machine. */
export interface MachineTensors {
  /** What is taken from each input column, and what it is divided by: [dim]. */
  readonly mean: HostTensor<'float64'>;
  readonly scale: HostTensor<'float64'>;
  /** Of maps with random features. */
  readonly projection?: HostTensor;
  /** [features, outputs] */
  readonly weight: HostTensor;
  /** [outputs] */
  readonly intercept: HostTensor<'float64'>;
}

/** A fitted machine: all that predicts, as plain values. */
export interface KernelMachine {
  readonly config: MachineConfig;
  readonly tensors: MachineTensors;
}
