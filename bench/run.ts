/**
 * npm run bench [-- name…]: every benchmark, or those named, each in a process of its own so that none warms another's
 * memory. Ratios are medians measured in turns within one run.
 */
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { crossover, linearity } from './forward.js';
import { generation } from './generation.js';
import { memory } from './memory.js';
import { peers } from './peers.js';
import { formatRows, type Row } from './report.js';
import { trainingStep } from './training-step.js';

const benchmarks = [trainingStep, linearity, crossover, generation, memory, peers];

async function runChild(name: string): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    const child = fork(process.argv[1] as string, ['--child', name]);
    let rows: readonly Row[] | undefined;
    child.on('message', (message) => {
      rows = message as readonly Row[];
    });
    child.on('exit', (code) => (rows === undefined ? reject(new Error(`${name} ended with ${code}`)) : resolve(rows)));
  });
}

const [first, ...names] = process.argv.slice(2);
if (first === '--child') {
  const benchmark = benchmarks.find(({ name }) => name === names[0]);
  process.send?.(await benchmark?.run());
} else {
  const wanted = first === undefined ? benchmarks : benchmarks.filter(({ name }) => [first, ...names].includes(name));
  if (wanted.length === 0) {
    console.error(`bench: expected ${benchmarks.map(({ name }) => name).join(', ')}, got ${first}.`);
    process.exit(2);
  }
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}`);
  let isMet = true;
  for (const { name, title } of wanted) {
    const rows = await runChild(name);
    console.log(formatRows(title, rows));
    isMet &&= rows.every((row) => row.isMet !== false);
  }
  process.exitCode = isMet ? 0 : 1;
}
