/**
 * The profiles that ONNX Runtime writes of sessions, summed. `node-profile.ts` reads them from disk.
 *
 * A profile has an event for each node that ran, those inside of loops and branches included, and the event of a Scan or
 * an If lasts as long as all that ran inside of it. Here each event counts with its own time alone, without that of the
 * events inside: so nothing is counted twice, and each of the three tables adds up to the whole.
 */

/** What nodes of one kind took together. */
export interface ProfileEntry {
  readonly microseconds: number;
  /** How often such nodes ran. */
  readonly count: number;
}

/** Where a node stands: in the graph itself, or in the body of the innermost loop or branch around it. */
export type ProfilePlace = 'graph' | 'loop' | 'branch';

/** Where the time of runs went, by kind of op and by place in the model. */
export interface Profile {
  /** Runs of sessions that were counted. */
  readonly runs: number;
  /** The time of all nodes. What passes between them, and to copy outputs, is in no profile. */
  readonly microseconds: number;
  /** By the type of the op. */
  readonly byOp: ReadonlyMap<string, ProfileEntry>;
  /** By the model path of the node, `blocks.*` for every block; `(none)` for those that have none. */
  readonly byPath: ReadonlyMap<string, ProfileEntry>;
  readonly byPlace: ReadonlyMap<ProfilePlace, ProfileEntry>;
}

interface ProfileEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly tid?: number;
  /** Microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: { readonly op_name?: string };
}

/** A node that ran. */
interface NodeRun {
  readonly op: string;
  readonly path: string;
  readonly start: number;
  readonly duration: number;
  /** Without what ran inside of it. */
  readonly own: number;
}

const bodies: Readonly<Record<string, ProfilePlace>> = { Scan: 'loop', If: 'branch' };

/** One event of a line; a profile that was cut short has lines without an end. */
function eventOf(line: string): ProfileEvent {
  try {
    return JSON.parse(line.replace(/,\s*$/, '')) as ProfileEvent;
  } catch {
    return {};
  }
}

/** `blocks.3.attention/MatMul_7` → `blocks.*.attention`. */
function pathOf(node: string): string {
  const path = node.slice(0, Math.max(0, node.indexOf('/')));
  return path.replaceAll(/\.\d+\b/g, '.*') || '(none)';
}

function addTo<K>(table: Map<K, ProfileEntry>, key: K, added: ProfileEntry): void {
  const { microseconds = 0, count = 0 } = table.get(key) ?? {};
  table.set(key, { microseconds: microseconds + added.microseconds, count: count + added.count });
}

/** A profile under construction. */
export class ProfileTables implements Profile {
  runs = 0;
  microseconds = 0;
  readonly byOp = new Map<string, ProfileEntry>();
  readonly byPath = new Map<string, ProfileEntry>();
  readonly byPlace = new Map<ProfilePlace, ProfileEntry>();

  /** One node of a run. */
  add({ op, path, own: microseconds }: NodeRun, place: ProfilePlace): void {
    this.microseconds += microseconds;
    const entry = { microseconds, count: 1 };
    addTo(this.byOp, op, entry);
    addTo(this.byPath, path, entry);
    addTo(this.byPlace, place, entry);
  }

  /** All that was counted of a run. */
  addRun({ microseconds, byOp, byPath, byPlace }: Profile): void {
    this.runs++;
    this.microseconds += microseconds;
    for (const [op, entry] of byOp) addTo(this.byOp, op, entry);
    for (const [path, entry] of byPath) addTo(this.byPath, path, entry);
    for (const [place, entry] of byPlace) addTo(this.byPlace, place, entry);
  }
}

/**
 * Adds the runs of one session after its first `warmup`, from the lines of its profile. An event is written when it ends, so
 * those inside of it stand before it, and are those of its thread that did not begin earlier. A run that was cut short is
 * left out.
 */
export async function addSession(tables: ProfileTables, lines: AsyncIterable<string>, warmup: number): Promise<void> {
  let runs = 0;
  let current = new ProfileTables();
  /** By thread, the nodes that nothing is known to be around. */
  let open = new Map<number, NodeRun[]>();
  for await (const line of lines) {
    const { cat, name = '', tid = 0, ts: start = 0, dur: duration = 0, args } = eventOf(line);
    if (name === 'model_run') {
      for (const nodes of open.values()) for (const node of nodes) current.add(node, 'graph');
      if (runs >= warmup) tables.addRun(current);
      runs++;
      current = new ProfileTables();
      open = new Map();
    }
    const [, node] = /^(.*)_kernel_time$/.exec(name) ?? [];
    const op = args?.op_name;
    if (cat !== 'Node' || node === undefined || op === undefined) continue;
    const before = open.get(tid) ?? [];
    const place = bodies[op];
    const inside = place === undefined ? [] : before.splice(before.findLastIndex((each) => each.start < start) + 1);
    for (const each of inside) current.add(each, place as ProfilePlace);
    const own = duration - inside.reduce((total, each) => total + each.duration, 0);
    before.push({ op, path: pathOf(node), start, duration, own });
    open.set(tid, before);
  }
}
