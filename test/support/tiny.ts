/** A model and a corpus small enough to train in a test. */
import { type HostTensor, leavesOf } from '../../src/base/index.js';
import { bytesSource, byteTokenizer, splitCorpus } from '../../src/data/index.js';
import type { Engine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type LanguageModelOptions, languageModelConfig, modelOf } from '../../src/models/index.js';
import { languageModelling, type Task } from '../../src/tasks/index.js';
import {
  initialSnapshot,
  type Snapshot,
  Trainer,
  type TrainerOptions,
  type TrainingOptions,
  trainingConfig,
} from '../../src/training/index.js';

export const engine = nodeEngine({ threads: 1 });

export const tinyModel = {
  ...{ dim: 16, depth: 2, heads: 2, headDim: 8 },
  attention: { features: { featureCount: 16 } },
} as const;
export const tinyTraining = {
  steps: 8,
  batch: 2,
  window: 32,
  chunk: 16,
  learningRate: 3e-3,
  heldOut: 0.2,
  evaluationInterval: 4,
  checkpointInterval: 4,
} as const;

const sentence = 'the white whale swam before him as the monomaniac incarnation of all those malicious agencies; ';
export const corpus = new TextEncoder().encode(sentence.repeat(40));

export function snapshotOf(
  model: Partial<LanguageModelOptions> = {},
  training: Partial<TrainingOptions> = {},
): Snapshot {
  return initialSnapshot(
    languageModelConfig({ ...tinyModel, ...model }),
    trainingConfig({ ...tinyTraining, ...training }),
  );
}

/** Language modelling on the corpus, as a run of the snapshot has it. */
export async function taskFor({ model, training }: Pick<Snapshot, 'model' | 'training'>): Promise<Task> {
  const data = await splitCorpus(bytesSource(corpus), byteTokenizer, training);
  return languageModelling(modelOf(model, training), training, data);
}

export async function trainerFor(
  snapshot: Snapshot,
  on: Engine = engine,
  options: Pick<TrainerOptions, 'onGradients'> = {},
): Promise<Trainer> {
  return Trainer.create(snapshot, { ...options, engine: on, task: await taskFor(snapshot) });
}

/** The leaf of a tree at a path. */
export function leafAt(tree: object, path: string): HostTensor {
  const found = leavesOf(tree).find(([name]) => name === path);
  if (found === undefined) throw new Error(`expected a leaf at ${path}`);
  return found[1] as HostTensor;
}
