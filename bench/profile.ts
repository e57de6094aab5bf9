/** ONNX Runtime's profiles of a benchmark's sessions, summed by op and by model path. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Profile {
  /** Microseconds by the type of the op. */
  readonly byOp: ReadonlyMap<string, number>;
  /** By the model path of the node, `blocks.*` for every block. */
  readonly byPath: ReadonlyMap<string, number>;
}

interface ProfileEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly dur?: number;
  readonly args?: { readonly op_name?: string };
}

/** One event of a line; a profile that was cut short has lines without an end. */
function eventOf(line: string): ProfileEvent | undefined {
  try {
    return JSON.parse(line.replace(/,\s*$/, '')) as ProfileEvent;
  } catch {
    return undefined;
  }
}

/** The profiles that were written beside `folder/name`. A session writes its own when it is closed. */
export async function readProfiles(folder: string, name: string): Promise<Profile> {
  const byOp = new Map<string, number>();
  const byPath = new Map<string, number>();
  for (const file of (await readdir(folder)).filter((each) => each.startsWith(name))) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      const event = eventOf(line);
      const [, node] = /^(.*)_kernel_time$/.exec(event?.name ?? '') ?? [];
      const op = event?.args?.op_name;
      if (event?.cat !== 'Node' || node === undefined || op === undefined) continue;
      const path = (node.split('/')[0] || '(none)').replaceAll(/\.\d+\b/g, '.*');
      byOp.set(op, (byOp.get(op) ?? 0) + (event.dur ?? 0));
      byPath.set(path, (byPath.get(path) ?? 0) + (event.dur ?? 0));
    }
  }
  return { byOp, byPath };
}

export function formatProfiles({ byOp, byPath }: Profile): string {
  const total = [...byOp.values()].reduce((a, b) => a + b, 0);
  if (total === 0) return '\nno profile was written';
  const table = (title: string, entries: ReadonlyMap<string, number>) =>
    [
      title,
      ...[...entries]
        .sort(([, a], [, b]) => b - a)
        .slice(0, 16)
        .map(
          ([key, time]) =>
            `  ${((100 * time) / total).toFixed(1).padStart(5)} %  ${(time / 1e3).toFixed(0).padStart(8)} ms  ${key}`,
        ),
    ].join('\n');
  return `\n${table('time by op', byOp)}\n${table('time by model path', byPath)}`;
}
