/**
 * Snapshots on disk: the files of a model, training.safetensors with moments and carried states, and training.json, which
 * keeps the digests of both files of tensors, so that none of them is read with another's.
 *
 * The model of a training by adapters has them in its weights, so that whoever reads it need not know of them; what is learned
 * and the matrices without it stand in training.safetensors beside the moments.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import { type Leaf, mapTree, treeFromLeaves } from '../base/tree.js';
import { checkDigest, seal, unseal } from '../interop/digest.js';
import { readJson, readSafetensors, writeSafetensors } from '../interop/node.js';
import { locateFolder } from '../interop/node-folders.js';
import { checkListed, tensorsOf } from '../models/index.js';
import { loadModelFiles, writeJson, writeModel } from '../models/node.js';
import { learnedLayout, weightsOfSnapshot, weightsUnder } from './adapters.js';
import { readTrainingConfig } from './config.js';
import { listCheckpoints, type SavedCheckpoint } from './node-run-folder.js';
import { momentsLike } from './optimizer.js';
import type { Snapshot } from './snapshot.js';

const trainingFileSchema = z.strictObject({
  version: z.literal(1),
  step: z.int().min(0),
  best: z.strictObject({ step: z.int().min(0), loss: z.number() }).optional(),
  /** How many carried states there are. */
  states: z.int().min(0),
  /** The digest of the projections that they were made with. */
  statesDigest: z.string(),
  isEvaluationDue: z.boolean().optional(),
  options: z.unknown(),
});

/**
 * The newest checkpoint of a run's folder. Throws CHECKPOINT when there is none, or when it is not whole and as it was
 * saved; the newest that is, is named then.
 */
export async function loadLatestSnapshot(folder: string): Promise<Snapshot> {
  const [latest, ...older] = (await listCheckpoints(folder)).reverse();
  if (latest === undefined) {
    throw new PerformerError('CHECKPOINT', `${folder}: expected a run to resume, got a folder without checkpoints.`);
  }
  try {
    return await loadSnapshot(latest.place);
  } catch (cause) {
    if (!(cause instanceof PerformerError) || older.length === 0) throw cause;
    const whole = await newestWhole(older);
    const advice =
      whole === undefined
        ? 'No older checkpoint is whole either.'
        : `The newest whole checkpoint is ${whole.place}: to go on from there, move away those after it.`;
    throw new PerformerError(cause.code, `${cause.message} ${advice}`, { cause });
  }
}

async function newestWhole(checkpoints: readonly SavedCheckpoint[]): Promise<SavedCheckpoint | undefined> {
  for (const checkpoint of checkpoints) {
    const isWhole = await loadSnapshot(checkpoint.place).then(
      () => true,
      () => false,
    );
    if (isWhole) return checkpoint;
  }
  return undefined;
}

/** What is kept of a training by adapters beside its model. */
interface Adapted {
  readonly learned: object;
  /** The matrices that are adapted, by their paths, as they were. */
  readonly base: Readonly<Record<string, Leaf>>;
}

async function loadSnapshot(place: string): Promise<Snapshot> {
  const checkpoint = await locateFolder(place);
  const { model: loaded, digest: modelDigest } = await loadModelFiles(checkpoint);
  const { model, params, buffers, context } = loaded;
  const where = join(checkpoint, 'training.json');
  const { content, digests } = unseal(where, await readJson(where));
  const parsed = trainingFileSchema.safeParse(content);
  if (!parsed.success) {
    const got = describeIssues(parsed.error);
    throw new PerformerError('CHECKPOINT', `${where}: expected the state of a run of version 1, got ${got}.`);
  }
  const { step, best, states, statesDigest, isEvaluationDue, options } = parsed.data;
  const training = readTrainingConfig(options, where);
  checkDigest(join(checkpoint, 'model.safetensors'), digests, 'model.safetensors', modelDigest);
  checkStateCount(where, states, training);
  const path = join(checkpoint, 'training.safetensors');
  const arranged = <L extends Leaf>(tensors: ReadonlyMap<string, L>) => {
    checkListed(path, tensors, 'states', states);
    const { loraRank } = training;
    const isLearned = (name: string) => tensors.has(`firstMoment.${name}`);
    const learned = loraRank === undefined ? model.params : learnedLayout(model.params, loraRank, isLearned);
    const like = {
      ...momentsLike(learned, training.optimizer),
      ...(loraRank !== undefined && { learned, base: weightsUnder(model.params, learned) }),
      states: Array.from({ length: states }, () => model.state(training.batch)),
    };
    return treeFromLeaves(path, like, tensors);
  };
  const { tensors, digest } = await readSafetensors(path, arranged);
  checkDigest(path, digests, 'training.safetensors', digest);
  const kept = arranged(tensors) as Snapshot['moments'] & Pick<Snapshot, 'states'> & Partial<Adapted>;
  return {
    model: model.config,
    training,
    step,
    location: place,
    params: kept.learned ?? params,
    base: kept.base && mapTree(params, (leaf: Leaf, name) => kept.base?.[name] ?? leaf),
    buffers,
    moments: { firstMoment: kept.firstMoment, secondMoment: kept.secondMoment },
    states: kept.states,
    statesDigest,
    best,
    isEvaluationDue,
    context,
  };
}

/** Throws CHECKPOINT unless a state is carried for each micro-batch, or none is. */
function checkStateCount(where: string, states: number, { carryState, accumulation }: Snapshot['training']): void {
  const all = carryState ? accumulation : 0;
  if (states === 0 || states === all) return;
  const expected = all === 0 ? 'no carried states' : `0 or ${all} carried states`;
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected} by its options, got ${states}.`);
}

/** Writes the files of a snapshot into a folder. */
export async function writeSnapshot(folder: string, snapshot: Snapshot): Promise<void> {
  const { step, best, training, params, base, moments, states, statesDigest, isEvaluationDue } = snapshot;
  const { context } = snapshot;
  const modelDigest = await writeModel(folder, snapshot.model, { ...weightsOfSnapshot(snapshot), context });
  const adapted = base && { learned: params, base: weightsUnder(base, params) };
  const tensors = new Map([...tensorsOf(moments), ...tensorsOf({ states, ...adapted })]);
  const digest = await writeSafetensors(join(folder, 'training.safetensors'), tensors);
  const file = { version: 1, step, best, states: states.length, statesDigest, isEvaluationDue, options: training };
  const digests = { 'model.safetensors': modelDigest, 'training.safetensors': digest };
  await writeJson(join(folder, 'training.json'), seal(file, digests));
}
