/** The compiled functions of a training run: the step in one graph, or its two halves for several micro-batches. */
import { type HostTensor, zeros } from '../base/array.js';
import { mapTree } from '../base/tree.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { less, scalar, spec, specsOf, sum, type TensorSpec, where } from '../graph/index.js';
import {
  type LanguageModelConfig,
  type LanguageModelParams,
  type LanguageModelState,
  languageModelLayout,
  type Projections,
  projectionLayout,
  stateLayout,
  usesDropout,
} from '../models/index.js';
import type { TrainingConfig } from './config.js';
import { type Moments, type OptimizerConfig, updateParams } from './optimizer.js';
import {
  accumulateGradients,
  lossGradient,
  type StepInputs,
  trainingStep,
  type UpdateScalars,
  windowLosses,
} from './step.js';

export interface StepArguments {
  readonly params: LanguageModelParams<EngineTensor>;
  readonly moments: Moments<LanguageModelParams<EngineTensor>>;
  readonly projections: Projections<EngineTensor>;
  /** The carried state of each micro-batch, or none. */
  readonly states: readonly LanguageModelState<EngineTensor>[];
  /** One for each micro-batch. */
  readonly batches: readonly StepInputs<HostTensor>[];
  readonly scalars: UpdateScalars<HostTensor>;
  /** What receives the next parameters, moments and carried states (new arrays unless given); not those that are read. */
  readonly next: {
    readonly params: LanguageModelParams<EngineTensor>;
    readonly moments: Moments<LanguageModelParams<EngineTensor>>;
    readonly states?: readonly LanguageModelState<EngineTensor>[];
  };
}

export interface StepValues {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly states: readonly LanguageModelState<EngineTensor>[];
}

export interface CompiledStep {
  run(args: StepArguments): Promise<StepValues>;
  dispose(): Promise<void>;
}

const scalarSpec = spec('float32', []);
const scalarSpecs = { learningRate: scalarSpec, update: scalarSpec };

function numberOf(value: HostTensor): number {
  return Number(value.data[0]);
}

/** The specification of the carried state, in a list of one or none. */
function stateSpecs(
  model: LanguageModelConfig,
  { batch, carryState }: Pick<TrainingConfig, 'batch' | 'carryState'>,
): readonly LanguageModelState<TensorSpec>[] {
  return carryState ? [stateLayout(model, batch)] : [];
}

function stepSpecs(model: LanguageModelConfig, training: TrainingConfig) {
  const { batch, window } = training;
  const params = specsOf(languageModelLayout(model));
  const word = spec('uint32', []);
  const inputs: StepInputs<TensorSpec> = {
    tokens: spec('int32', [batch, window + 1]),
    ...(usesDropout(model) ? { dropout: { seed: word, step: word } } : {}),
  };
  return {
    params,
    moments: { firstMoment: params, secondMoment: params },
    projections: projectionLayout(model),
    states: stateSpecs(model, training),
    inputs,
  };
}

/** Compiles one optimizer step over `training.accumulation` micro-batches. */
export async function compileStep(
  engine: Engine,
  model: LanguageModelConfig,
  training: TrainingConfig,
): Promise<CompiledStep> {
  const { beta1, beta2, adamEpsilon, weightDecay, clipNorm } = training;
  const optimizer: OptimizerConfig = { beta1, beta2, epsilon: adamEpsilon, weightDecay, clipNorm };
  const compile = training.accumulation === 1 ? compileWhole : compileHalves;
  return compile(engine, model, training, optimizer);
}

async function compileWhole(
  engine: Engine,
  model: LanguageModelConfig,
  training: TrainingConfig,
  optimizer: OptimizerConfig,
): Promise<CompiledStep> {
  const specs = stepSpecs(model, training);
  const step = await engine.compile(
    (params, moments, projections, { states }, inputs) => {
      const result = trainingStep(model, optimizer, params, moments, inputs, projections, {
        state: states[0],
        recompute: training.recompute,
      });
      const { loss, gradientNorm, state } = result;
      const next = { params: result.params, moments: result.moments };
      return { next, loss, gradientNorm, states: training.carryState ? [state] : [] };
    },
    [specs.params, specs.moments, specs.projections, { states: specs.states }, { ...specs.inputs, ...scalarSpecs }],
  );
  return {
    async run({ params, moments, projections, states, batches, scalars, next }) {
      const inputs = { ...(batches[0] as StepInputs<HostTensor>), ...scalars };
      const { states: nextStates, ...weights } = next;
      const outputs = { next: weights, ...(nextStates === undefined ? {} : { states: nextStates }) };
      const result = await step.run([params, moments, projections, { states }, inputs], { outputs });
      return { loss: numberOf(result.loss), gradientNorm: numberOf(result.gradientNorm), states: result.states };
    },
    dispose: () => step.dispose(),
  };
}

/** The two halves apart: the mean of the micro-batches' gradients is built up between them. */
async function compileHalves(
  engine: Engine,
  model: LanguageModelConfig,
  training: TrainingConfig,
  optimizer: OptimizerConfig,
): Promise<CompiledStep> {
  const specs = stepSpecs(model, training);
  const half = await engine.compile(
    (params, { total }, projections, { states }, inputs) => {
      const { loss, gradients, state } = lossGradient(model, params, inputs, projections, {
        state: states[0],
        recompute: training.recompute,
      });
      const next = accumulateGradients(total, gradients, 1 / training.accumulation);
      return { next, loss, states: training.carryState ? [state] : [] };
    },
    [specs.params, { total: specs.params }, specs.projections, { states: specs.states }, specs.inputs],
  );
  const update = await engine
    .compile(
      (params, { total }, moments, scalars) => {
        const result = updateParams(params, total, moments, scalars, optimizer);
        return { next: { params: result.params, moments: result.moments }, gradientNorm: result.gradientNorm };
      },
      [specs.params, { total: specs.params }, specs.moments, scalarSpecs],
    )
    .catch(async (cause: unknown) => {
      await half.dispose();
      throw cause;
    });
  const buffers = await engine.place(
    [0, 1, 2].map(() =>
      mapTree(specs.params, ({ shape }: { shape: readonly number[] } & TensorSpec) => zeros('float32', shape)),
    ),
  );
  return {
    async run({ params, moments, projections, states, batches, scalars, next }) {
      let total = buffers[2] as LanguageModelParams<EngineTensor>; // stays zero
      let loss = 0;
      const { states: nextStates, ...weights } = next;
      const written: LanguageModelState<EngineTensor>[] = [];
      for (const [index, inputs] of batches.entries()) {
        const target = buffers[index % 2] as LanguageModelParams<EngineTensor>;
        const before = { states: states.slice(index, index + 1) };
        const own = nextStates?.slice(index, index + 1);
        const outputs = { next: target, ...(own === undefined ? {} : { states: own }) };
        const result = await half.run([params, { total }, projections, before, inputs], { outputs });
        total = target;
        loss += numberOf(result.loss) / batches.length;
        written.push(...result.states);
      }
      const result = await update.run([params, { total }, moments, scalars], { outputs: { next: weights } });
      return { loss, gradientNorm: numberOf(result.gradientNorm), states: written };
    },
    async dispose() {
      engine.free(buffers);
      await half.dispose();
      await update.dispose();
    },
  };
}

export interface CompiledEvaluation {
  /** The sum of the losses of the real targets, and the state after the window. */
  run(args: {
    readonly params: LanguageModelParams<EngineTensor>;
    readonly projections: Projections<EngineTensor>;
    readonly states: readonly LanguageModelState<EngineTensor>[];
    /** [batch, window + 1] int32 */
    readonly tokens: HostTensor;
    /** [batch, window] float32, 1 where a target counts. */
    readonly mask: HostTensor;
    /** What receives the state after the window; new arrays unless given. */
    readonly nextStates?: readonly LanguageModelState<EngineTensor>[];
  }): Promise<{ readonly total: number; readonly states: readonly LanguageModelState<EngineTensor>[] }>;
  dispose(): Promise<void>;
}

/** Compiles the loss of a window, alone or after a state. */
export async function compileEvaluation(
  engine: Engine,
  model: LanguageModelConfig,
  { batch, window, carryState }: Pick<TrainingConfig, 'batch' | 'window' | 'carryState'>,
): Promise<CompiledEvaluation> {
  const evaluation = await engine.compile(
    (params, projections, { states }, { tokens, mask }) => {
      const { losses, state } = windowLosses(model, params, { tokens }, projections, { state: states[0] });
      const counted = where(less(0, mask), losses, scalar(0));
      return { total: sum(counted), states: carryState ? [state] : [] };
    },
    [
      specsOf(languageModelLayout(model)),
      projectionLayout(model),
      { states: stateSpecs(model, { batch, carryState }) },
      { tokens: spec('int32', [batch, window + 1]), mask: spec('float32', [batch, window]) },
    ],
  );
  return {
    async run({ params, projections, states, tokens, mask, nextStates }) {
      const options = nextStates === undefined ? {} : { outputs: { states: nextStates } };
      const result = await evaluation.run([params, projections, { states }, { tokens, mask }], options);
      return { total: numberOf(result.total), states: result.states };
    },
    dispose: () => evaluation.dispose(),
  };
}
