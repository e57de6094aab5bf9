/** The compiled functions of a training run: the step in one graph, or its two halves for several batches. */
import { float32Scalar, type HostTensor, zeros } from '../base/array.js';
import { mapTree, zipTrees } from '../base/tree.js';
import type { DropoutKey } from '../blocks/index.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { type AnyTensor, add, divide, spec, specsOf, type Tensor, type TensorSpec } from '../graph/index.js';
import type { ModelWeights, PassOptions, TrunkState } from '../models/index.js';
import type { Batch, TargetLosses, Task, TaskEvaluation } from '../tasks/index.js';
import { type TrainingConfig, usesDropout } from './config.js';
import { type Moments, momentsLike, type OptimizerConfig, updateParams } from './optimizer.js';
import { lossGradient, trainingStep, type UpdateScalars } from './step.js';

type States = readonly TrunkState<EngineTensor>[];

/** What a compiled step is run with. */
export interface StepArguments {
  readonly params: object;
  readonly moments: Moments<object>;
  readonly buffers: object;
  /** The carried state of each batch, or none. */
  readonly states: States;
  readonly batches: readonly Batch[];
  /** The key of dropout of each batch; none where nothing is dropped. */
  readonly dropout: readonly { readonly seed: HostTensor<'uint32'>; readonly step: HostTensor<'uint32'> }[];
  readonly scalars: UpdateScalars<HostTensor>;
  /** What receives the next parameters, moments and carried states (new arrays unless given); not those that are read. */
  readonly next: { readonly params: object; readonly moments: Moments<object>; readonly states?: States | undefined };
}

/** What a step tells beside what it writes. */
export interface StepValues {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly states: States;
}

/** A compiled training step. */
export interface CompiledStep {
  /** Runs the step: what is placed is read and written where it is. */
  run(args: StepArguments): Promise<StepValues>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/**
 * Called between gradient and update with the gradients of the total loss, which it may change in place: the place where
 * several machines add theirs up. It is given the total and the count, and returns those of all.
 */
export type GradientHook = (
  gradients: object,
  sums: { readonly total: number; readonly count: number },
) => Promise<{ readonly total: number; readonly count: number }>;

const scalarSpec = spec('float32', []);
const scalarSpecs = { learningRate: scalarSpec, update: scalarSpec };

function numberOf(value: HostTensor): number {
  return Number(value.data[0]);
}

interface PassInputs {
  readonly batch: Batch<AnyTensor>;
  readonly states: readonly TrunkState[];
  readonly dropout?: DropoutKey | undefined;
}

/** How a batch of a training run is read. */
function passOptions(training: TrainingConfig, { states, dropout: key }: PassInputs): PassOptions {
  const { embeddingDropout: embedding, attentionDropout: attention, feedForwardDropout: feedForward } = training;
  return {
    state: states[0],
    recompute: training.recompute,
    dropout: key && { key, rates: { embedding, attention, feedForward } },
  };
}

function stepSpecs(task: Task, training: TrainingConfig) {
  const { model, size } = task;
  const params = specsOf(model.params) as object;
  const word = spec('uint32', []);
  return {
    params,
    moments: momentsLike(params, training.optimizer),
    buffers: specsOf(model.buffers) as object,
    inputs: {
      states: stateSpecs(task, size),
      batch: task.specs,
      ...(usesDropout(training) ? { dropout: { seed: word, step: word } } : {}),
    },
  };
}

/** The specification of the carried state, in a list of one or none. */
function stateSpecs({ model }: Task, { batch, carryState }: { readonly batch: number; readonly carryState: boolean }) {
  return (carryState ? [specsOf(model.state(batch))] : []) as readonly TrunkState<TensorSpec<'int32'>>[];
}

/** Compiles one optimizer step over the batches of a step. */
export async function compileStep(
  engine: Engine,
  task: Task,
  training: TrainingConfig,
  hook?: GradientHook,
): Promise<CompiledStep> {
  const { beta1, beta2, adamEpsilon, momentum, weightDecay, clipNorm } = training;
  const optimizer: OptimizerConfig = { beta1, beta2, epsilon: adamEpsilon, momentum, weightDecay, clipNorm };
  const isWhole = task.size.accumulation === 1 && hook === undefined;
  return isWhole
    ? compileWhole(engine, task, training, optimizer)
    : compileHalves(engine, task, training, optimizer, hook);
}

async function compileWhole(
  engine: Engine,
  task: Task,
  training: TrainingConfig,
  optimizer: OptimizerConfig,
): Promise<CompiledStep> {
  const specs = stepSpecs(task, training);
  const step = await engine.compile(
    (params: object, moments: Moments<object>, buffers: object, inputs: PassInputs, scalars: UpdateScalars) => {
      const options = passOptions(training, inputs);
      const result = trainingStep(task, optimizer, { params, buffers }, moments, inputs.batch, scalars, options);
      const next = { params: result.params, moments: result.moments };
      const states = task.size.carryState ? [result.state] : [];
      return { next, states, loss: result.loss, gradientNorm: result.gradientNorm };
    },
    [specs.params, specs.moments, specs.buffers, specs.inputs, scalarSpecs],
  );
  return {
    async run({ params, moments, buffers, states, batches, dropout, scalars, next }) {
      const inputs = { states, batch: batches[0] ?? {}, ...(dropout[0] && { dropout: dropout[0] }) };
      const { states: nextStates, ...weights } = next;
      const outputs = { next: weights, states: nextStates };
      const result = await step.run([params, moments, buffers, inputs, scalars], { outputs });
      return { loss: numberOf(result.loss), gradientNorm: numberOf(result.gradientNorm), states: result.states };
    },
    dispose: () => step.dispose(),
  };
}

/** The two halves apart: the sum of the batches' gradients is built up between them, and the hook comes before the update. */
async function compileHalves(
  engine: Engine,
  task: Task,
  training: TrainingConfig,
  optimizer: OptimizerConfig,
  hook: GradientHook | undefined,
): Promise<CompiledStep> {
  const specs = stepSpecs(task, training);
  const half = await engine.compile(
    (params: object, { summed }: { summed: object }, buffers: object, inputs: PassInputs) => {
      const result = lossGradient(task, { params, buffers }, inputs.batch, passOptions(training, inputs));
      const next = addTrees(summed, result.gradients);
      return { next, total: result.total, count: result.count, states: task.size.carryState ? [result.state] : [] };
    },
    [specs.params, { summed: specs.params }, specs.buffers, specs.inputs],
  );
  const update = await engine
    .compile(
      (
        params: object,
        { summed, count }: { summed: object; count: Tensor },
        moments: Moments<object>,
        scalars: UpdateScalars,
      ) => {
        const gradients = mapTree(summed, (leaf: Tensor) => divide(leaf, count));
        const result = updateParams(params, gradients, moments, scalars, optimizer);
        return { next: { params: result.params, moments: result.moments }, gradientNorm: result.gradientNorm };
      },
      [specs.params, { summed: specs.params, count: scalarSpec }, specs.moments, scalarSpecs],
    )
    .catch(async (cause: unknown) => {
      await half.dispose();
      throw cause;
    });
  const empty = () =>
    mapTree(specs.params, ({ shape }: { shape: readonly number[] } & TensorSpec) => zeros('float32', shape));
  const [even, odd, nothing] = await engine.place([empty(), empty(), empty()] as const);
  return {
    async run({ params, moments, buffers, states, batches, dropout, scalars, next }) {
      const { states: nextStates, ...weights } = next;
      const written: TrunkState<EngineTensor>[] = [];
      let summed: object = nothing;
      let sums = { total: 0, count: 0 };
      for (const [index, batch] of batches.entries()) {
        const target: object = index % 2 === 0 ? even : odd;
        const inputs = {
          states: states.slice(index, index + 1),
          batch,
          ...(dropout[index] && { dropout: dropout[index] }),
        };
        const outputs = { next: target, states: nextStates?.slice(index, index + 1) };
        const result = await half.run([params, { summed }, buffers, inputs], { outputs });
        summed = target;
        sums = { total: sums.total + numberOf(result.total), count: sums.count + numberOf(result.count) };
        written.push(...result.states);
      }
      if (hook !== undefined) sums = await hook(summed, sums);
      const count = float32Scalar(sums.count);
      const result = await update.run([params, { summed, count }, moments, scalars], { outputs: { next: weights } });
      return { loss: sums.total / sums.count, gradientNorm: numberOf(result.gradientNorm), states: written };
    },
    async dispose() {
      engine.free([even, odd, nothing]);
      await half.dispose();
      await update.dispose();
    },
  };
}

/** The sum of two trees of one form, leaf by leaf. */
function addTrees(left: object, right: object): object {
  return zipTrees<object, Tensor, Tensor>([left, right], ([a, b]) => add(a!, b!));
}

/** A compiled evaluation. */
export interface CompiledEvaluation {
  /** The sums of a batch, and the state after it. */
  run(args: {
    readonly params: object;
    readonly buffers: object;
    readonly states: States;
    readonly batch: Batch;
    /** What receives the state after the batch; new arrays unless given. */
    readonly nextStates?: States | undefined;
  }): Promise<{
    readonly total: number;
    readonly count: number;
    readonly sums: Batch<HostTensor>;
    readonly told?: HostTensor | undefined;
    /** See `TaskLoss`. */
    readonly targets?: TargetLosses<HostTensor> | undefined;
    readonly states: States;
  }>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** Compiles one way of evaluating a task's model, with weights that are inputs, or these constants. */
export async function compileEvaluation(
  engine: Engine,
  task: Task,
  { batch, carriesState, specs }: Pick<TaskEvaluation, 'batch' | 'carriesState' | 'specs'>,
  constants?: ModelWeights,
): Promise<CompiledEvaluation> {
  const { model } = task;
  const evaluation = await engine.compile(
    (params: object, buffers: object, inputs: PassInputs) => {
      const loss = task.loss({ params, buffers }, inputs.batch, { state: inputs.states[0] });
      const { total, count, sums = {}, told, targets, result } = loss;
      const more = { ...(told && { told }), ...(targets && { targets }) };
      return { total, count, sums, ...more, states: carriesState ? [result.state] : [] };
    },
    [
      constants?.params ?? (specsOf(model.params) as object),
      constants?.buffers ?? (specsOf(model.buffers) as object),
      { states: stateSpecs(task, { batch, carryState: carriesState }), batch: specs },
    ],
  );
  return {
    async run({ params, buffers, states, batch: given, nextStates }) {
      const options = { outputs: { states: nextStates } };
      const weights = constants === undefined ? ([params, buffers] as const) : ([{}, {}] as const);
      const result = await evaluation.run([...weights, { states, batch: given }], options);
      return { ...result, total: numberOf(result.total), count: numberOf(result.count), sums: result.sums };
    },
    dispose: () => evaluation.dispose(),
  };
}
