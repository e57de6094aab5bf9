/**
 * Checkpoints on disk. A run's folder is a model folder as Hugging Face has it, holding the best model so far, with
 *
 *   config.json, tokenizer.json, generation_config.json, model.safetensors    the best model so far
 *   checkpoints/step-00000500/   the same files for one step, training.json and training.safetensors
 *   metrics.jsonl                one line a step
 *
 * A checkpoint is written beside its place and renamed, so that what has its name is whole. A process that is killed at any
 * moment leaves a newest checkpoint; what else it leaves, the next `open` brings in order.
 */
import { copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import type { HostTensor } from '../base/array.js';
import { messageOf, PerformerError } from '../base/errors.js';
import { type Leaf, leavesOf, mapTree, treeFromLeaves } from '../base/tree.js';
import { byteTokenizerJson } from '../data/index.js';
import { reasonOf } from '../data/node-read.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import { draftOf, removeDrafts } from '../interop/node-files.js';
import { locateFolder, namesIn, recoverFolder, replaceFolder } from '../interop/node-folders.js';
import {
  describeIssues,
  type LanguageModelConfig,
  type LanguageModelParams,
  languageModelConfig,
  languageModelLayout,
  type Projections,
  projectionLayout,
  stateLayout,
} from '../models/index.js';
import { trainingConfig } from './config.js';
import type { CheckpointStore } from './run.js';
import type { Snapshot } from './snapshot.js';

export interface LoadedModel {
  readonly config: LanguageModelConfig;
  readonly params: LanguageModelParams<HostTensor>;
  readonly projections: Projections<HostTensor<'float32'>>;
}

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

function named(tree: unknown): [string, HostTensor][] {
  return leavesOf(tree).map(([path, leaf]) => [path, leaf as unknown as HostTensor]);
}

/** Reads a saved model: config.json and model.safetensors of a folder. Throws CHECKPOINT when it is none, or not whole. */
export async function loadModel(folder: string): Promise<LoadedModel> {
  const configPath = join(folder, 'config.json');
  if ((await stat(configPath).catch(() => undefined)) === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a model, got one without config.json. Train one with: performer train <files…> --out ${folder}`,
    );
  }
  const config = languageModelConfig(await readJson(configPath), configPath);
  const path = join(folder, 'model.safetensors');
  const { tensors } = await readSafetensors(path);
  checkListed(path, tensors, 'blocks', config.depth);
  const like = { ...languageModelLayout(config) };
  const projectionsLike = projectionLayout(config);
  const names = new Set(leavesOf(projectionsLike).map(([name]) => name));
  const projections = treeFromLeaves(
    path,
    projectionsLike,
    pick(tensors, (name) => names.has(name)),
  );
  const params = treeFromLeaves(
    path,
    like,
    pick(tensors, (name) => !names.has(name)),
  );
  return { config, params, projections: projections as Projections<HostTensor<'float32'>> };
}

function pick(tensors: ReadonlyMap<string, HostTensor>, keep: (name: string) => boolean): Map<string, HostTensor> {
  return new Map([...tensors].filter(([name]) => keep(name)));
}

/** Throws CHECKPOINT unless a list has as many items by its tensors' names, before a layout of that many is built. */
function checkListed(where: string, tensors: ReadonlyMap<string, HostTensor>, list: string, expected: number): void {
  const paths = [...tensors.keys()].map((name) => name.split('.'));
  const items = new Set(paths.filter(([name]) => name === list).map(([, item]) => item));
  if (items.size === expected) return;
  const got = `those of ${items.size}. Use the files that were saved together.`;
  throw new PerformerError('CHECKPOINT', `${where}: expected the tensors of ${expected} ${list}, got ${got}`);
}

const stepName = /^step-(\d{8,})$/;

interface SavedCheckpoint {
  readonly step: number;
  /** Where it is, or will be when its folder is opened: see `locateFolder`. */
  readonly place: string;
}

function placeOf(folder: string, step: number): string {
  return join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}`);
}

/** The checkpoints of a run's folder, oldest first. */
async function listCheckpoints(folder: string): Promise<SavedCheckpoint[]> {
  return (await namesIn(join(folder, 'checkpoints')))
    .flatMap((name) => stepName.exec(name)?.[1] ?? [])
    .map((digits) => ({ step: Number(digits), place: placeOf(folder, Number(digits)) }))
    .sort((a, b) => a.step - b.step);
}

/** training.json of a checkpoint. Throws CHECKPOINT when it is not whole. */
async function readTrainingFile(checkpoint: string): Promise<z.output<typeof trainingFileSchema>> {
  const path = join(checkpoint, 'training.json');
  const parsed = trainingFileSchema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const got = describeIssues(parsed.error);
  throw new PerformerError('CHECKPOINT', `${path}: expected the state of a run of version 1, got ${got}.`);
}

/** The newest checkpoint of a run's folder. Throws CHECKPOINT when there is none. */
export async function loadLatestSnapshot(folder: string): Promise<Snapshot> {
  const latest = (await listCheckpoints(folder)).at(-1);
  if (latest === undefined) {
    throw new PerformerError('CHECKPOINT', `${folder}: expected a run to resume, got a folder without checkpoints.`);
  }
  const checkpoint = await locateFolder(latest.place);
  const { config, params, projections } = await loadModel(checkpoint);
  const { step, best, states, statesDigest, isEvaluationDue, options } = await readTrainingFile(checkpoint);
  const training = trainingConfig(options, join(checkpoint, 'training.json'));
  const path = join(checkpoint, 'training.safetensors');
  const { tensors } = await readSafetensors(path);
  checkStateCount(join(checkpoint, 'training.json'), states, training);
  checkListed(path, tensors, 'states', states);
  const paramsLike = mapTree(params, ({ dtype, shape }: Leaf) => ({ dtype, shape }));
  const like = {
    firstMoment: paramsLike,
    secondMoment: paramsLike,
    states: Array.from({ length: states }, () => stateLayout(config, training.batch)),
  };
  const loaded = treeFromLeaves(path, like, tensors) as unknown as Snapshot['moments'] & Pick<Snapshot, 'states'>;
  return {
    model: config,
    training,
    step,
    location: latest.place,
    params,
    projections,
    moments: { firstMoment: loaded.firstMoment, secondMoment: loaded.secondMoment },
    states: loaded.states,
    statesDigest,
    ...(best === undefined ? {} : { best }),
    ...(isEvaluationDue === undefined ? {} : { isEvaluationDue }),
  };
}

/** Throws CHECKPOINT unless a state is carried for each micro-batch, or none is. */
function checkStateCount(where: string, states: number, { carryState, accumulation }: Snapshot['training']): void {
  const all = carryState ? accumulation : 0;
  if (states === 0 || states === all) return;
  const expected = all === 0 ? 'no carried states' : `0 or ${all} carried states`;
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected} by its options, got ${states}.`);
}

/** The files of one model, written into a folder. */
async function writeModel(folder: string, { model, params, projections }: Snapshot): Promise<void> {
  await writeJson(join(folder, 'config.json'), model);
  await writeJson(join(folder, 'tokenizer.json'), byteTokenizerJson());
  await writeJson(join(folder, 'generation_config.json'), { temperature: 0.8, top_p: 0.95 });
  const tensors = new Map([...named(params), ...named(projections)]);
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt', producer: 'performer-ts' });
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [`${JSON.stringify(value, undefined, 2)}\n`]);
}

/** One line about a save that failed, in place of what the system said of a file that only the save knows. */
function saveError(place: string, cause: unknown, rest: string): PerformerError {
  const reason = reasonOf(cause instanceof PerformerError ? (cause.cause ?? cause) : cause);
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(reason);
  const told = isFull ? `room on the disk, got ${reason}. Free some space.` : `to write a checkpoint, got ${reason}.`;
  return new PerformerError('CHECKPOINT', `save ${place}: expected ${told} ${rest}`, { cause });
}

/** The files of the model that a run's folder shows; config.json comes last, as it says that there is one. */
const published = ['model.safetensors', 'tokenizer.json', 'generation_config.json', 'config.json'];

/** Whether two paths lead to one file, as links do. */
async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** The checkpoints of a run, kept to the last few and the best. Lock the folder before (`lockFolder`). */
export class CheckpointFolder implements CheckpointStore {
  private constructor(
    private readonly folder: string,
    private readonly keep: number,
  ) {}

  /**
   * Makes the folder where needed, and brings in order what a killed run left: what is half written goes, and the model of
   * the folder is again the best.
   */
  static async open(folder: string, keep: number): Promise<CheckpointFolder> {
    const parent = join(folder, 'checkpoints');
    await mkdir(parent, { recursive: true }).catch((cause: unknown) => {
      throw new PerformerError('CHECKPOINT', `${folder}: expected a folder to write to, got ${messageOf(cause)}.`, {
        cause,
      });
    });
    for (const { place } of await listCheckpoints(folder)) await recoverFolder(place);
    for (const name of await readdir(parent)) {
      if (name.startsWith('.')) await rm(join(parent, name), { recursive: true, force: true });
    }
    for (const name of published) await removeDrafts(join(folder, name));
    const store = new CheckpointFolder(folder, keep);
    await store.#publishBest();
    return store;
  }

  async save(snapshot: Snapshot): Promise<string> {
    const { step, best, training, moments, states, statesDigest, isEvaluationDue } = snapshot;
    const place = placeOf(this.folder, step);
    const draft = join(dirname(place), `.${basename(place)}.${process.pid}`);
    await rm(draft, { recursive: true, force: true });
    try {
      await mkdir(draft, { recursive: true });
      await writeModel(draft, snapshot);
      const tensors = new Map([...named(moments), ...named({ states })]);
      await writeSafetensors(join(draft, 'training.safetensors'), tensors);
      const file = { version: 1, step, best, states: states.length, statesDigest, isEvaluationDue, options: training };
      await writeJson(join(draft, 'training.json'), file);
      await replaceFolder(draft, place);
    } catch (cause) {
      await rm(draft, { recursive: true, force: true }).catch(() => undefined);
      throw saveError(place, cause, 'Earlier checkpoints are untouched.');
    }
    if (best === undefined || best.step === step) await this.#publish(place);
    await this.#prune(best?.step).catch((cause: unknown) => {
      throw saveError(this.folder, cause, `The checkpoint ${place} is whole.`);
    });
    return place;
  }

  /** Makes the model of a checkpoint the one of the run's folder, where it is not yet. */
  async #publish(place: string): Promise<void> {
    for (const name of published) {
      const [source, path] = [join(place, name), join(this.folder, name)];
      if (await isSameFile(source, path)) continue;
      const draft = draftOf(path);
      try {
        await rm(draft, { force: true });
        await link(source, draft).catch(() => copyFile(source, draft));
        await rename(draft, path);
      } catch (cause) {
        await rm(draft, { force: true }).catch(() => undefined);
        throw saveError(this.folder, cause, `The checkpoint ${place} is whole.`);
      }
    }
  }

  /** Publishes the best checkpoint, since a kill may have come between it and that. */
  async #publishBest(): Promise<void> {
    const checkpoints = await listCheckpoints(this.folder);
    const newest = checkpoints.at(-1);
    if (newest === undefined) return;
    const { best } = await readTrainingFile(newest.place);
    const shown = checkpoints.find(({ step }) => step === (best?.step ?? newest.step));
    if (shown !== undefined) await this.#publish(shown.place);
  }

  async #prune(bestStep: number | undefined): Promise<void> {
    const checkpoints = (await listCheckpoints(this.folder)).filter(({ step }) => step !== bestStep);
    for (const { place } of checkpoints.slice(0, -this.keep)) await this.#discard(place);
  }

  /** Removes a checkpoint: first its name, so that no half of it can be met. */
  async #discard(place: string): Promise<void> {
    const doomed = join(dirname(place), `.removed.${process.pid}`);
    await rm(doomed, { recursive: true, force: true });
    await rename(place, doomed).catch(() => undefined); // somebody may have removed it by hand
    await rm(doomed, { recursive: true, force: true });
  }
}
