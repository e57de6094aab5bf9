/** PyTorch on the same machine, where python3 has torch: the training step of the same model (see peers/pytorch.py). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { median, summarize } from './measure.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, failed, type Row, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

const execute = promisify(execFile);
const script = 'bench/peers/pytorch.py';
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** The environment that was fastest for what is written by hand: see the head of peers/pytorch.py. */
const jemalloc = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2';
const tuned = {
  ...process.env,
  ATEN_CPU_CAPABILITY: 'avx512',
  OPENBLAS_NUM_THREADS: '2',
  OMP_NUM_THREADS: '2',
  OPENBLAS_THREAD_TIMEOUT: '4',
  ...(existsSync(jemalloc)
    ? { LD_PRELOAD: jemalloc, MALLOC_CONF: 'oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always' }
    : {}),
};

async function canImport(module: string): Promise<boolean> {
  return execute(python, ['-c', `import ${module}`]).then(
    () => true,
    () => false,
  );
}

interface Peer {
  /** The median step, in milliseconds. */
  readonly median: number;
  readonly peakBytes: number;
  /** What was not as it should be, or nothing. */
  readonly note: string;
}

async function pytorchStep({ attention, isTuned }: Contender, length: number, repeats: number): Promise<Peer> {
  const options = ['--attention', attention, '--mode', 'train', '--length', String(length)];
  const counts = ['--repeats', String(repeats), '--warmup', attention === 'favor' ? '2' : '1'];
  const { stdout } = await execute(python, [script, ...options, ...counts], isTuned ? { env: tuned } : {});
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Peer;
}

/** The last line of what a process said when it failed, or the signal that ended it. */
function reasonOf(cause: unknown): string {
  const { stderr, signal, message } = cause as { stderr?: string; signal?: string; message: string };
  const last = stderr?.trim().split('\n').at(-1);
  return last || signal || message;
}

interface Contender {
  readonly what: string;
  readonly attention: 'favor' | 'blocks' | 'softmax' | 'package';
  readonly length: number;
  readonly isTuned: boolean;
  /** How often a process of it runs between ours. */
  readonly turns: number;
  readonly bounds: readonly Bound[];
}

const contenders: readonly Contender[] = [
  {
    ...{ what: 'chunked FAVOR+ by hand, tuned', attention: 'favor', length: 4096, isTuned: true, turns: 3 },
    bounds: [{ atLeast: 2 }, { atLeast: 2.3, kind: 'stretch' }],
  },
  {
    ...{ what: 'exact softmax, as installed', attention: 'softmax', length: 4096, isTuned: false, turns: 1 },
    bounds: [{ atLeast: 8 }],
  },
  { what: 'exact softmax, tuned', attention: 'softmax', length: 4096, isTuned: true, turns: 1, bounds: [] },
  {
    ...{ what: 'exact softmax in blocks by hand, tuned', attention: 'blocks', length: 4096, isTuned: true, turns: 3 },
    bounds: [],
  },
  {
    ...{ what: 'performer-pytorch', attention: 'package', length: 2048, isTuned: false, turns: 1 },
    bounds: [{ atLeast: 25 }],
  },
];

export const peers: Benchmark = {
  name: 'peers',
  title: 'training step of the same model in PyTorch on this machine',
  async run({ isQuick }: BenchmarkOptions) {
    if (!(await canImport('torch'))) {
      return [{ what: 'PyTorch', value: 'skipped: python3 has no torch (Debian: apt-get install python3-torch)' }];
    }
    const rows: Row[] = [];
    let warm: { readonly length: number; readonly train: () => Promise<void> } | undefined;
    for (const contender of contenders) {
      const { what, attention } = contender;
      if (attention === 'package' && !(await canImport('performer_pytorch'))) {
        rows.push({ what, value: 'skipped: python3 has no performer_pytorch (pip install performer-pytorch)' });
        continue;
      }
      const length = isQuick ? 128 : contender.length;
      if (warm?.length !== length) warm = { length, train: await warmStep(length, isQuick ? 1 : 6) };
      try {
        rows.push(...(await compare(contender, { ...warm, isQuick })));
      } catch (cause) {
        const reason = reasonOf(cause);
        rows.push(...orNone(contender.bounds).map((bound) => failed(what, reason, bound)));
      }
    }
    return rows;
  },
};

/** A row for each bound, and one where there is none. */
function orNone(bounds: readonly Bound[]): readonly (Bound | undefined)[] {
  return bounds.length === 0 ? [undefined] : bounds;
}

async function warmStep(length: number, steps: number): Promise<() => Promise<void>> {
  const train = await preparedStep(length);
  for (let i = 0; i < steps; i++) await train();
  return train;
}

interface Setting {
  readonly length: number;
  readonly train: () => Promise<void>;
  readonly isQuick: boolean;
}

/** Ours and theirs in turns by blocks: a process of PyTorch has to warm up anew each time. A row for each bound. */
async function compare(contender: Contender, { length, train, isQuick }: Setting): Promise<readonly Row[]> {
  const ours: number[] = [];
  const theirs: Peer[] = [];
  const measure = async () => {
    await train(); // warms up anew, as a process of theirs does
    for (let i = 0; i < 4; i++) {
      const start = performance.now();
      await train();
      ours.push(performance.now() - start);
    }
  };
  for (let turn = 0; turn < (isQuick ? 1 : contender.turns); turn++) {
    await measure();
    theirs.push(await pytorchStep(contender, length, isQuick ? 1 : 3));
  }
  await measure();
  const memory = `${(Math.max(...theirs.map((peer) => peer.peakBytes)) / 1e9).toFixed(1)} GB`;
  const notes = contender.isTuned && theirs[0]?.note ? `, ${theirs[0].note}` : '';
  const compared = {
    what: `${contender.what}, length ${length.toLocaleString('en-US')} (${memory}${notes})`,
    ours: median(ours),
    theirs: median(theirs.map((peer) => peer.median)),
    spread: spreadOf(summarize(ours), summarize(theirs.map((peer) => peer.median))),
    unit: 'ms',
    opponent: 'PyTorch over ours',
    ratio: 'theirs/ours',
  } as const;
  return orNone(contender.bounds).map((bound) => comparison(compared, bound));
}
