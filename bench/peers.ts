/** PyTorch on the same machine, where python3 has torch: the training step of the same model (see peers/pytorch.py). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { median } from './measure.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, type Row } from './report.js';
import { preparedStep } from './training-step.js';

const execute = promisify(execFile);
const script = 'bench/peers/pytorch.py';
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** The environment that was fastest for PyTorch: see the head of peers/pytorch.py. */
const jemalloc = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2';
const environment = {
  ...process.env,
  ATEN_CPU_CAPABILITY: 'avx512',
  OPENBLAS_NUM_THREADS: '2',
  OMP_NUM_THREADS: '2',
  OPENBLAS_THREAD_TIMEOUT: '4',
  ...(existsSync(jemalloc)
    ? { LD_PRELOAD: jemalloc, MALLOC_CONF: 'oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always' }
    : {}),
};

async function hasTorch(): Promise<boolean> {
  return execute(python, ['-c', 'import torch']).then(
    () => true,
    () => false,
  );
}

type Attention = 'favor' | 'blocks' | 'softmax';

interface Peer {
  /** The median step, in milliseconds. */
  readonly median: number;
  readonly peakBytes: number;
  /** What was not as it should be, or nothing. */
  readonly note: string;
}

async function pytorchStep(attention: Attention, length: number, repeats: number): Promise<Peer> {
  const options = ['--attention', attention, '--mode', 'train', '--length', String(length)];
  const counts = ['--repeats', String(repeats), '--warmup', attention === 'favor' ? '2' : '1'];
  const { stdout } = await execute(python, [script, ...options, ...counts], { env: environment });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Peer;
}

/** The last line of what a process said when it failed, or the signal that ended it. */
function reasonOf(cause: unknown): string {
  const { stderr, signal, message } = cause as { stderr?: string; signal?: string; message: string };
  const last = stderr?.trim().split('\n').at(-1);
  return last || signal || message;
}

const contenders: readonly {
  readonly what: string;
  readonly attention: Attention;
  readonly bounds: readonly Bound[];
}[] = [
  {
    what: 'chunked FAVOR+ by hand, tuned',
    attention: 'favor',
    bounds: [{ atLeast: 2 }, { atLeast: 2.3, kind: 'stretch' }],
  },
  { what: 'exact softmax attention', attention: 'softmax', bounds: [{ atLeast: 8 }] },
  { what: 'exact softmax in blocks by hand, tuned', attention: 'blocks', bounds: [] },
];

export const peers: Benchmark = {
  name: 'peers',
  title: 'training step of the same model at length 4,096 in PyTorch on this machine',
  async run({ isQuick }: BenchmarkOptions) {
    const length = isQuick ? 128 : 4096;
    if (!(await hasTorch())) {
      return [{ what: 'PyTorch', value: 'skipped: python3 has no torch (Debian: apt-get install python3-torch)' }];
    }
    const { train } = await preparedStep(length);
    for (let i = 0; i < (isQuick ? 1 : 6); i++) await train();
    const rows: Row[] = [];
    for (const { what, attention, bounds } of contenders) {
      try {
        rows.push(...(await compare(what, attention, { train, length, isQuick, bounds })));
      } catch (cause) {
        rows.push({ what, value: `failed: ${reasonOf(cause)}` });
      }
    }
    return rows;
  },
};

interface Setting {
  readonly train: () => Promise<void>;
  readonly length: number;
  readonly isQuick: boolean;
  readonly bounds: readonly Bound[];
}

/** Ours and theirs in turns by blocks: a process of PyTorch has to warm up anew each time. A row for each bound. */
async function compare(
  what: string,
  attention: Attention,
  { train, length, isQuick, bounds }: Setting,
): Promise<readonly Row[]> {
  const ours: number[] = [];
  const theirs: Peer[] = [];
  const measure = async () => {
    for (let i = 0; i < 4; i++) {
      const start = performance.now();
      await train();
      ours.push(performance.now() - start);
    }
  };
  const turns = attention === 'softmax' || isQuick ? 1 : 3;
  for (let turn = 0; turn < turns; turn++) {
    await measure();
    theirs.push(await pytorchStep(attention, length, isQuick ? 1 : 3));
  }
  await measure();
  const memory = `${(Math.max(...theirs.map((peer) => peer.peakBytes)) / 1e9).toFixed(1)} GB`;
  const notes = theirs[0]?.note ? `, ${theirs[0].note}` : '';
  const compared = {
    what: `${what} (${memory}${notes})`,
    ours: median(ours),
    theirs: median(theirs.map((peer) => peer.median)),
    unit: 'ms',
    opponent: 'PyTorch over ours',
    ratio: 'theirs/ours',
  } as const;
  return bounds.length === 0 ? [comparison(compared)] : bounds.map((bound) => comparison(compared, bound));
}
