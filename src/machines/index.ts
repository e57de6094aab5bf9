/** Kernel machines: ridge regression and classification on random features, streaming, and their exact twin. */
export {
  type FitOptions,
  fitSchema,
  type KernelName,
  kernelNames,
  type MachineConfig,
  mapsOfKernel,
  mostFeatures,
  type TableNames,
} from './config.js';
export { type ExactOptions, fitExactMachine, mostExactRows } from './exact.js';
export { exactKernel, type KernelChoice, type KernelMatrix } from './exact-kernel.js';
export {
  type FitCallbacks,
  type FitReport,
  type FitStage,
  type Fitted,
  fitKernelMachine,
} from './fit.js';
export type { TriedLambda } from './lambda.js';
export type { KernelMachine, MachineTensors } from './machine.js';
export { type ClassificationMetrics, type Metrics, measure, type RegressionMetrics } from './metrics.js';
export { classesOf, MachinePredictor, type Predictor } from './predictor.js';
export { arraySamples, type SampleBatch, type Samples, type Task } from './samples.js';
export { type TableChoice, type TableSamples, tableInputs, tableLabels, tableSamples } from './table.js';
