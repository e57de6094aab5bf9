/** Machines on disk: a folder with config.json and model.safetensors, written beside its place and renamed. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { HostTensor } from '../base/array.js';
import { messageOf, PerformerError } from '../base/errors.js';
import { leavesOf, treeFromLeaves } from '../base/tree.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import { locateFolder, replaceFolder } from '../interop/node-folders.js';
import { machineConfig } from './config.js';
import { machineProjectionLayout } from './features.js';
import type { KernelMachine, MachineTensors } from './machine.js';

const files = ['config.json', 'model.safetensors'];

/**
 * Throws CHECKPOINT unless a machine may be saved at a folder: there is none yet, an empty one, or one that holds nothing
 * but a machine. Worth asking before a long fit.
 */
export async function checkMachineFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) return;
  const names = found.isDirectory() ? await readdir(folder) : undefined;
  const isOurs = names?.every((name) => files.includes(name)) ?? false;
  if (!isOurs) {
    const got = names === undefined ? 'a file' : `one with ${names.slice(0, 5).join(', ')}`;
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a new folder, or one of a kernel machine, got ${got}. Choose another.`,
    );
  }
  if (names?.includes('config.json')) {
    const path = join(folder, 'config.json');
    machineConfig(await readJson(path), path);
  }
}

/** Saves a machine in the place of what a folder held before. Throws CHECKPOINT; what was there is whole until the end. */
export async function saveMachine(folder: string, { config, tensors }: KernelMachine): Promise<void> {
  await checkMachineFolder(folder);
  const place = resolve(folder);
  const draft = join(dirname(place), `.${basename(place)}.${process.pid}.tmp`);
  try {
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    await writeFileAtomic(join(draft, 'config.json'), [`${JSON.stringify(config, undefined, 2)}\n`]);
    const named = new Map(leavesOf(tensors) as [string, HostTensor][]);
    await writeSafetensors(join(draft, 'model.safetensors'), named, { producer: 'performer-ts' });
    await replaceFolder(draft, place);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    if (cause instanceof PerformerError) throw cause;
    throw new PerformerError('CHECKPOINT', `save ${folder}: expected to write a folder, got ${messageOf(cause)}.`, {
      cause,
    });
  }
}

/** Reads a machine. Throws CHECKPOINT when the folder holds none, or its parts do not fit. */
export async function loadMachine(folder: string): Promise<KernelMachine> {
  const found = await locateFolder(folder);
  const configPath = join(found, 'config.json');
  if ((await stat(configPath).catch(() => undefined)) === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a kernel machine, got one without config.json. ` +
        `Fit one with: performer kernel fit <file.csv> --out ${folder}`,
    );
  }
  const config = machineConfig(await readJson(configPath), configPath);
  const path = join(found, 'model.safetensors');
  const { tensors } = await readSafetensors(path);
  const like = layoutOf(config, configPath);
  const loaded = treeFromLeaves(path, like, tensors) as unknown as MachineTensors;
  for (const [name, { data }] of leavesOf(loaded) as [string, HostTensor][]) {
    const isSound = (data as Float64Array).every((value) => Number.isFinite(value) && (name !== 'scale' || value > 0));
    if (!isSound) {
      const expected = name === 'scale' ? 'finite numbers above 0' : 'finite numbers';
      throw new PerformerError('CHECKPOINT', `${path}: expected ${expected} in ${name}, got others. Fit it again.`);
    }
  }
  return { config, tensors: loaded };
}

function layoutOf(config: KernelMachine['config'], where: string) {
  const { dim, outputs, featureCount } = config;
  const { projection, featureCount: expected } = machineProjectionLayout(where, config, dim);
  if (expected !== featureCount) {
    throw new PerformerError('CHECKPOINT', `${where}: expected a featureCount of ${expected}, got ${featureCount}.`);
  }
  return {
    mean: { dtype: 'float64', shape: [dim] } as const,
    scale: { dtype: 'float64', shape: [dim] } as const,
    ...(projection === undefined ? {} : { projection }),
    weight: { dtype: 'float32', shape: [featureCount, outputs] } as const,
    intercept: { dtype: 'float64', shape: [outputs] } as const,
  };
}
