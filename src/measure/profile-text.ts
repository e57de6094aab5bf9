/** A profile as tables, and as JSON. */
import type { Profile, ProfileEntry } from './profile.js';

/** Rows of a table; what is beyond them is summed in one more. */
const shown = 16;

const places = { graph: 'the graph itself', loop: 'bodies of loops (Scan)', branch: 'branches (If)' } as const;

/** The time of the nodes of one op, or of one place in the model. */
export interface ProfileRow {
  readonly name: string;
  readonly milliseconds: number;
  /** Of the time of all nodes. */
  readonly share: number;
  /** How often such nodes ran. */
  readonly count: number;
}

/** The rows of a table, longest first. */
function rowsOf({ microseconds }: Profile, table: ReadonlyMap<string, ProfileEntry>): ProfileRow[] {
  return [...table]
    .sort(([, a], [, b]) => b.microseconds - a.microseconds)
    .map(([name, entry]) => ({
      name,
      milliseconds: entry.microseconds / 1e3,
      share: entry.microseconds / microseconds,
      count: entry.count,
    }));
}

/** A profile as `performer bench --json` prints it; times are milliseconds of all runs. */
export interface ProfileJson {
  readonly runs: number;
  readonly milliseconds: number;
  readonly byOp: readonly ProfileRow[];
  readonly byPath: readonly ProfileRow[];
  readonly byPlace: readonly ProfileRow[];
}

/** A profile as plain values. */
export function profileJson(profile: Profile): ProfileJson {
  const { runs, microseconds, byOp, byPath, byPlace } = profile;
  const table = (entries: ReadonlyMap<string, ProfileEntry>) => rowsOf(profile, entries);
  return {
    runs,
    milliseconds: microseconds / 1e3,
    byOp: table(byOp),
    byPath: table(byPath),
    byPlace: table(byPlace),
  };
}

function sumOf(rows: readonly ProfileRow[]): ProfileRow {
  const total = (key: 'milliseconds' | 'share' | 'count') => rows.reduce((sum, row) => sum + row[key], 0);
  const [milliseconds, share, count] = [total('milliseconds'), total('share'), total('count')];
  return { name: `${rows.length} others`, milliseconds, share, count };
}

function tableText(title: string, rows: readonly ProfileRow[]): string {
  const others = rows.slice(shown);
  const all = others.length > 1 ? [...rows.slice(0, shown), sumOf(others)] : rows;
  const lines = all.map(({ name, milliseconds, share, count }) => {
    const cells = [`${(100 * share).toFixed(1).padStart(5)} %`, `${milliseconds.toFixed(1).padStart(9)} ms`];
    return `  ${cells.join('  ')}  ${String(count).padStart(7)} ×  ${name}`;
  });
  return `${title}\n${lines.join('\n')}`;
}

/** Where the time went, by op, by model path, and inside of loops and branches: each adds up to the whole. */
export function profileText(profile: Profile): string {
  const { runs, milliseconds, byOp, byPath, byPlace } = profileJson(profile);
  if (byOp.length === 0) return 'no run was profiled';
  const named = byPlace.map((row) => ({ ...row, name: places[row.name as keyof typeof places] }));
  return [
    `profile of ${runs} ${runs === 1 ? 'run' : 'runs'}: ${milliseconds.toFixed(1)} ms in nodes`,
    tableText('by op', byOp),
    tableText('by model path', byPath),
    tableText('by place', named),
  ].join('\n');
}
