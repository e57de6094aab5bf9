/** All that a run needs to go on as if it had never stopped. */
import type { AnyHostTensor, HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { drawBuffers, initialize } from '../base/layout.js';
import { Random } from '../base/random.js';
import { leavesOf, mapTree } from '../base/tree.js';
import type { EngineTensor } from '../engine/index.js';
import {
  buffersDigest,
  type ContextRecord,
  type ModelConfig,
  type ModelWeights,
  modelOf,
  type TrunkState,
} from '../models/index.js';
import { firstLearned } from './adapters.js';
import type { TrainingConfig } from './config.js';
import { initMoments, type Moments } from './optimizer.js';

/** The evaluation with the least loss so far. */
export interface BestResult {
  readonly step: number;
  /** The loss by which it was chosen. */
  readonly loss: number;
}

/**
 * Everything random and every batch is a function of the seed and the step, so that neither needs a position. `T` is
 * what states are held in: arrays, or tensors where an engine computes; weights and moments are trees of the same.
 */
export interface Snapshot<T extends EngineTensor = HostTensor> {
  readonly model: ModelConfig;
  readonly training: TrainingConfig;
  /** Steps done. */
  readonly step: number;
  /** Where the checkpoint of this step is, when it was read from there. */
  readonly location?: string | undefined;
  /** What is learned: the parameters of the model; in a training by adapters (`loraRank`) the adapters and what is new, by paths. */
  readonly params: object;
  /** The parameters that a training by adapters began with, which stay: arrays of the host. */
  readonly base?: object | undefined;
  readonly moments: Moments<object>;
  /** Arrays of the host. */
  readonly buffers: object;
  /** The carried state of each batch of a step; empty where none is carried. */
  readonly states: readonly TrunkState<T>[];
  /** The `buffersDigest` of the buffers that the states were made with. */
  readonly statesDigest: string;
  readonly best?: BestResult | undefined;
  /** Whether the evaluation that belongs to this step has still to come, as after a stop. */
  readonly isEvaluationDue?: boolean | undefined;
  /** What the evaluation of this step has shown of long texts, where there was one. */
  readonly context?: ContextRecord | undefined;
}

/** The first snapshot of a run: fresh parameters. */
export function initialSnapshot(config: ModelConfig, training: TrainingConfig): Snapshot {
  const model = modelOf(config);
  const random = Random.fromSeed(training.seed);
  const params: object = initialize(model.params, random.split('parameters'));
  const buffers: object = drawBuffers(model.buffers, random.split('projections').split(0));
  const moments = initMoments(params, training.optimizer) as Moments<object>;
  return {
    model: config,
    training,
    step: 0,
    params,
    moments,
    buffers,
    states: [],
    statesDigest: buffersDigest(buffers),
  };
}

/** Whether all steps of a run are done, and the last evaluation with them. */
export function isFinished({
  step,
  training,
  isEvaluationDue = false,
}: Pick<Snapshot<EngineTensor>, 'step' | 'training' | 'isEvaluationDue'>): boolean {
  return step >= training.steps && !isEvaluationDue;
}

/** Throws CHECKPOINT for carried states that were made with other projections: they would look right and be wrong. */
export function checkStates({ states, statesDigest, buffers }: Snapshot): void {
  const digest = buffersDigest(buffers);
  if (states.length === 0 || statesDigest === digest) return;
  throw new PerformerError(
    'CHECKPOINT',
    `training: expected carried states made with the projections ${digest}, got those of ${statesDigest}. ` +
      'Resume from a checkpoint whose files belong together.',
  );
}

/**
 * The snapshot with the weights and buffers that the model has by the same names, copied. In a training by adapters those
 * stay, and what they lack is learned whole. Throws CONFIG where one of them has another shape, and for a `loraRank` above it.
 */
export function snapshotFrom(snapshot: Snapshot, { params, buffers }: ModelWeights): Snapshot {
  const known = new Map([params, buffers].flatMap((tree) => leavesOf(tree))) as unknown as Map<string, AnyHostTensor>;
  const taken = (tree: object): object =>
    mapTree<object, AnyHostTensor, AnyHostTensor>(tree, (fresh, path) => {
      const own = known.get(path);
      if (own === undefined) return fresh;
      if (`${own.shape}` === `${fresh.shape}`) return { ...own, data: own.data.slice() } as AnyHostTensor;
      const expected = `${path} of the shape [${fresh.shape}] in the model that it goes on from`;
      throw new PerformerError(
        'CONFIG',
        `snapshotFrom: expected ${expected}, got [${own.shape}]. Begin with another model.`,
      );
    });
  const own = taken(snapshot.buffers);
  const begun = { ...snapshot, params: taken(snapshot.params), buffers: own, statesDigest: buffersDigest(own) };
  const { loraRank, seed, optimizer } = snapshot.training;
  if (loraRank === undefined) return begun;
  const base = begun.params;
  const learned = firstLearned(base, loraRank, seed, (path) => !known.has(path));
  return { ...begun, params: learned, base, moments: initMoments(learned, optimizer) as Moments<object> };
}
