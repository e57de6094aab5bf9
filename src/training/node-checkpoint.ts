/**
 * Checkpoints on disk. A run's folder is a model folder as Hugging Face has it, holding the best model so far, with
 *
 *   config.json, tokenizer.json, generation_config.json, model.safetensors    the best model so far
 *   checkpoints/step-00000500/   the same files for one step, training.json and training.safetensors
 *   metrics.jsonl                one line a step
 *
 * A checkpoint is written beside its place and renamed, so that what has its name is whole.
 */
import { copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { HostTensor } from '../base/array.js';
import { messageOf, PerformerError } from '../base/errors.js';
import { type Leaf, leavesOf, mapTree, treeFromLeaves } from '../base/tree.js';
import { byteTokenizerJson } from '../data/index.js';
import { reasonOf } from '../data/node-read.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import {
  initialState,
  type LanguageModelConfig,
  type LanguageModelParams,
  languageModelConfig,
  languageModelLayout,
  type Projections,
  projectionLayout,
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

const stepName = /^step-(\d{8,})$/;

/** The checkpoints of a run's folder, oldest first. */
async function listCheckpoints(folder: string): Promise<{ step: number; path: string }[]> {
  const parent = join(folder, 'checkpoints');
  const names = await readdir(parent).catch(() => []);
  return names
    .flatMap((name) => {
      const match = stepName.exec(name);
      return match === null ? [] : [{ step: Number(match[1]), path: join(parent, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/** The newest checkpoint of a run's folder. Throws CHECKPOINT when there is none. */
export async function loadLatestSnapshot(folder: string): Promise<Snapshot> {
  const latest = (await listCheckpoints(folder)).at(-1);
  if (latest === undefined) {
    throw new PerformerError('CHECKPOINT', `${folder}: expected a run to resume, got a folder without checkpoints.`);
  }
  const { config, params, projections } = await loadModel(latest.path);
  const jsonPath = join(latest.path, 'training.json');
  const parsed = trainingFileSchema.safeParse(await readJson(jsonPath));
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    throw new PerformerError('CHECKPOINT', `${jsonPath}: expected the state of a run of version 1, got ${issues}.`);
  }
  const { step, best, states, statesDigest, options } = parsed.data;
  const training = trainingConfig(options, jsonPath);
  const path = join(latest.path, 'training.safetensors');
  const { tensors } = await readSafetensors(path);
  const paramsLike = mapTree(params, ({ dtype, shape }: Leaf) => ({ dtype, shape }));
  const like = {
    firstMoment: paramsLike,
    secondMoment: paramsLike,
    states: Array.from({ length: states }, () => initialState(config, training.batch)),
  };
  const loaded = treeFromLeaves(path, like, tensors) as unknown as Snapshot['moments'] & Pick<Snapshot, 'states'>;
  return {
    model: config,
    training,
    step,
    params,
    projections,
    moments: { firstMoment: loaded.firstMoment, secondMoment: loaded.secondMoment },
    states: loaded.states,
    statesDigest,
    ...(best === undefined ? {} : { best }),
  };
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

/** The checkpoints of a run, kept to the last few and the best. Lock the folder before (`lockFolder`). */
export class CheckpointFolder implements CheckpointStore {
  private constructor(
    private readonly folder: string,
    private readonly keep: number,
  ) {}

  /** Makes the folder where needed and clears away what an earlier run left half written. */
  static async open(folder: string, keep: number): Promise<CheckpointFolder> {
    const parent = join(folder, 'checkpoints');
    await mkdir(parent, { recursive: true }).catch((cause: unknown) => {
      throw new PerformerError('CHECKPOINT', `${folder}: expected a folder to write to, got ${messageOf(cause)}.`, {
        cause,
      });
    });
    for (const name of await readdir(parent)) {
      if (name.startsWith('.')) await rm(join(parent, name), { recursive: true, force: true });
    }
    return new CheckpointFolder(folder, keep);
  }

  async save(snapshot: Snapshot): Promise<string> {
    const { step, best, training, moments, states, statesDigest } = snapshot;
    const name = `step-${String(step).padStart(8, '0')}`;
    const place = join(this.folder, 'checkpoints', name);
    const draft = join(this.folder, 'checkpoints', `.${name}.${process.pid}`);
    await rm(draft, { recursive: true, force: true });
    try {
      await mkdir(draft, { recursive: true });
      await writeModel(draft, snapshot);
      const tensors = new Map([...named(moments), ...named({ states })]);
      await writeSafetensors(join(draft, 'training.safetensors'), tensors);
      const file = { version: 1, step, best, states: states.length, statesDigest, options: training };
      await writeJson(join(draft, 'training.json'), file);
      await this.#discard(place);
      await rename(draft, place);
    } catch (cause) {
      await rm(draft, { recursive: true, force: true }).catch(() => undefined);
      throw saveError(place, cause, 'Earlier checkpoints are untouched.');
    }
    try {
      if (best === undefined || best.step === step) await this.#publish(place);
      await this.#prune(best?.step);
    } catch (cause) {
      throw saveError(this.folder, cause, `The checkpoint ${place} is whole.`);
    }
    return place;
  }

  /** Makes the model of a checkpoint the one of the run's folder; config.json comes last, as it says that there is one. */
  async #publish(place: string): Promise<void> {
    for (const name of ['model.safetensors', 'tokenizer.json', 'generation_config.json', 'config.json']) {
      const draft = join(this.folder, `.${name}.${process.pid}`);
      await rm(draft, { force: true });
      try {
        await link(join(place, name), draft).catch(() => copyFile(join(place, name), draft));
        await rename(draft, join(this.folder, name));
      } catch (cause) {
        await rm(draft, { force: true }).catch(() => undefined);
        throw cause;
      }
    }
  }

  async #prune(bestStep: number | undefined): Promise<void> {
    const checkpoints = (await listCheckpoints(this.folder)).filter(({ step }) => step !== bestStep);
    for (const { path } of checkpoints.slice(0, -this.keep)) await this.#discard(path);
  }

  /** Removes a checkpoint: first its name, so that no half of it can be met. */
  async #discard(path: string): Promise<void> {
    const doomed = join(this.folder, 'checkpoints', `.removed.${process.pid}`);
    await rm(doomed, { recursive: true, force: true });
    const isThere = await rename(path, doomed).then(
      () => true,
      () => false,
    );
    if (isThere) await rm(doomed, { recursive: true, force: true });
  }
}
