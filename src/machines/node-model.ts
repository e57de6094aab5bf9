/** Machines on disk: a folder with config.json and model.safetensors, written beside its place and renamed. */
import { chmod, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { leavesOf, treeFromLeaves } from '../base/tree.js';
import { checkDigest, expectFinite, seal, unseal } from '../interop/index.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import { locateFolder, writeFolder } from '../interop/node-folders.js';
import { machineConfig } from './config.js';
import { machineProjectionLayout } from './features.js';
import type { KernelMachine, MachineTensors } from './machine.js';
import { configName, expectOwnFolder, placeError, tensorsName } from './node-place.js';

/**
 * Saves a machine in the place of what a folder held before, whose modes it keeps; a link stays, and its target is
 * replaced. Readers see the old machine or the new one, whole. Throws CHECKPOINT, also where the folder holds anything but
 * a machine.
 */
export async function saveMachine(folder: string, { config, tensors }: KernelMachine): Promise<void> {
  try {
    await expectOwnFolder(folder);
    await writeFolder(folder, async (draft) => {
      const named = new Map(leavesOf(tensors) as [string, HostTensor][]);
      const digest = await writeSafetensors(join(draft, tensorsName), named, { producer: 'performer-ts' });
      const sealed = seal(config, { [tensorsName]: digest });
      await writeFileAtomic(join(draft, configName), [`${JSON.stringify(sealed, undefined, 2)}\n`]);
      await keepModes(folder, draft);
    });
  } catch (cause) {
    throw placeError(folder, cause);
  }
}

/** A folder that only its owner may read stays so when it is replaced. */
async function keepModes(folder: string, draft: string): Promise<void> {
  for (const name of ['', configName, tensorsName]) {
    const old = await stat(join(folder, name)).catch(() => undefined);
    if (old !== undefined) await chmod(join(draft, name), old.mode & 0o7777);
  }
}

/** Readings of one folder that is replaced again and again meanwhile. */
const mostReadings = 100;

export interface LoadOptions {
  /** Gets a sentence about what is worth knowing, such as that no digest was kept. */
  readonly onNote?: ((note: string) => void) | undefined;
}

/**
 * Reads a machine; where another one takes its place meanwhile, that one. Throws CHECKPOINT when the folder holds none, its
 * parts do not fit, or they are not as they were saved.
 */
export async function loadMachine(folder: string, { onNote }: LoadOptions = {}): Promise<KernelMachine> {
  for (let reading = 1; ; reading++) {
    const before = await identityOf(folder);
    try {
      const { machine, note } = await readMachine(folder);
      if (note !== undefined) onNote?.(note);
      return machine;
    } catch (cause) {
      // One file of the old machine and one of the new, or none for a moment: it was replaced while it was read.
      if (reading === mostReadings || (await identityOf(folder)) === before) throw cause;
    }
  }
}

/** Changes whenever a machine is saved. */
async function identityOf(folder: string): Promise<string> {
  const found = await locateFolder(folder);
  const stats = [configName, tensorsName].map((name) =>
    stat(join(found, name), { bigint: true }).catch(() => undefined),
  );
  return (await Promise.all(stats)).map((each) => `${each?.ino} ${each?.mtimeNs} ${each?.size}`).join(', ');
}

async function readMachine(
  folder: string,
): Promise<{ readonly machine: KernelMachine; readonly note: string | undefined }> {
  const found = await locateFolder(folder);
  const configPath = join(found, configName);
  if ((await stat(configPath).catch(() => undefined)) === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a kernel machine, got one without config.json. ` +
        `Fit one with: performer kernel fit <file.csv> --out ${folder}`,
    );
  }
  const { content, digests } = unseal(configPath, await readJson(configPath));
  const config = machineConfig(content, configPath);
  const path = join(found, tensorsName);
  const like = layoutOf(config, configPath);
  const { tensors, digest } = await readSafetensors(path, (layout) => void treeFromLeaves(path, like, layout));
  const note = checkDigest(path, digests, tensorsName, digest);
  expectFinite(path, tensors);
  const loaded = treeFromLeaves(path, like, tensors) as MachineTensors;
  if (loaded.scale.data.some((value) => value < 0)) {
    throw new PerformerError('CHECKPOINT', `${path}: expected 0 or above in scale, got less. Fit it again.`);
  }
  return { machine: { config, tensors: loaded }, note };
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
