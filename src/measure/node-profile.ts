/** The profiles that ONNX Runtime writes of sessions (`profilePrefix` of the engine), from disk. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { addSession, type Profile, ProfileTables } from './profile.js';

/**
 * Sums the profiles whose names begin with `prefix`, as given to the engine; a session writes its own when it is closed.
 * The first `warmup` runs of each session are left out: they touch memory that is fresh from the system.
 */
export async function readProfiles(
  prefix: string,
  { warmup = 0 }: { readonly warmup?: number } = {},
): Promise<Profile> {
  const tables = new ProfileTables();
  const folder = dirname(prefix);
  for (const file of await readdir(folder)) {
    if (file.startsWith(`${basename(prefix)}_`)) {
      await addSession(tables, createInterface({ input: createReadStream(join(folder, file)) }), warmup);
    }
  }
  return tables;
}
