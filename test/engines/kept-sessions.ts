/**
 * Stands in for `src/engine/node-runtime.ts`: tests compile the same small models again and again, and half of the time of a
 * short training goes into its sessions. A session has no state between runs, so that one of an equal model with equal options
 * is given once more, and the last that were used are kept. They have one thread, since the workers have all cores already.
 * Tests of the engine itself have the runtime as it is.
 */
import { createHash } from 'node:crypto';
import type { InferenceSession } from 'onnxruntime-node';
import { loadNodeRuntime as loadRuntime } from '../../src/engine/node-runtime.js';

type Runtime = ReturnType<typeof loadRuntime>;
type Made = Pick<InferenceSession, 'run' | 'release'>;
type Options = InferenceSession.SessionOptions;

interface Entry {
  readonly session: Promise<InferenceSession>;
  users: number;
}

/** By the digest of model and options, those that were asked for last at the end. */
const kept = new Map<string, Entry>();
const keptCount = 128;

async function closeUnused(entry: Entry): Promise<void> {
  if (entry.users === 0 && ![...kept.values()].includes(entry)) await (await entry.session).release();
}

async function createSession(
  create: Runtime['InferenceSession']['create'],
  bytes: Uint8Array,
  options: Options,
): Promise<Made> {
  if (options.enableProfiling) return create(bytes, options);
  const { externalData = [], ...others } = options;
  const hash = createHash('sha256').update(bytes).update(JSON.stringify(others));
  for (const { path, data } of externalData as readonly { path: string; data: Uint8Array }[]) {
    hash.update(path).update(data);
  }
  const key = hash.digest('hex');
  const entry = kept.get(key) ?? { session: create(bytes, options), users: 0 };
  entry.users++;
  kept.delete(key);
  kept.set(key, entry);
  const [oldest] = kept;
  if (kept.size > keptCount && oldest !== undefined) {
    kept.delete(oldest[0]);
    await closeUnused(oldest[1]);
  }
  try {
    const session = await entry.session;
    const release = () => {
      entry.users--;
      return closeUnused(entry);
    };
    return { run: session.run.bind(session), release };
  } catch (cause) {
    kept.delete(key);
    throw cause;
  }
}

export function loadNodeRuntime(): Runtime {
  const runtime = loadRuntime();
  const { create } = runtime.InferenceSession;
  const InferenceSession = {
    create: (bytes: Uint8Array, options: Options) =>
      createSession(create.bind(runtime.InferenceSession), bytes, { ...options, intraOpNumThreads: 1 }),
  };
  return { ...runtime, InferenceSession } as Runtime;
}
