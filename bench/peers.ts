/** PyTorch on the same machine, where python3 has torch: the training step of the same model (see peers/pytorch.py). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { median } from './measure.js';
import { type Benchmark, bounded, type Row } from './report.js';
import { preparedStep } from './training-step.js';

const execute = promisify(execFile);
const script = 'bench/peers/pytorch.py';
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
const length = 4096;

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

/** The median step of PyTorch, in milliseconds. */
async function pytorchStep(attention: 'favor' | 'softmax', repeats: number): Promise<number> {
  const options = ['--attention', attention, '--mode', 'train', '--length', String(length)];
  const counts = ['--repeats', String(repeats), '--warmup', attention === 'favor' ? '2' : '1'];
  const { stdout } = await execute(python, [script, ...options, ...counts], { env: environment });
  return (JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { median: number }).median;
}

export const peers: Benchmark = {
  name: 'peers',
  title: `training step of the same model at length ${length} in PyTorch on this machine`,
  async run() {
    if (!(await hasTorch())) {
      return [{ what: 'PyTorch', value: 'skipped: python3 has no torch (Debian: apt-get install python3-torch)' }];
    }
    const { train } = await preparedStep(length);
    for (let i = 0; i < 6; i++) await train();
    const ours: number[] = [];
    const favor: number[] = [];
    const measure = async () => {
      for (let i = 0; i < 4; i++) {
        const start = performance.now();
        await train();
        ours.push(performance.now() - start);
      }
    };
    // In turns by blocks: a process of PyTorch has to warm up anew each time.
    for (let turn = 0; turn < 3; turn++) {
      await measure();
      favor.push(await pytorchStep('favor', 3));
    }
    const softmax = await pytorchStep('softmax', 2);
    await measure();
    const own = median(ours);
    const row = (what: string, theirs: number, atLeast: number): Row =>
      bounded(
        {
          what,
          value: `${theirs.toFixed(0)} ms against ${own.toFixed(0)} ms`,
          ratio: theirs / own,
          opponent: 'PyTorch over ours',
        },
        { atLeast },
      );
    return [row('chunked FAVOR+ by hand, tuned', median(favor), 1.7), row('exact softmax attention', softmax, 7)];
  },
};
