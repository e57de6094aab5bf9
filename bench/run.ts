/**
 * npm run bench [-- name… --json FILE --quick --device cpu|cuda|webgpu --profile --model FOLDER]: every benchmark, or those named, each in a
 * process of its own so that none warms another's memory. Ratios are medians measured in turns within one run.
 *
 * --quick runs small sizes, to see that all work; --profile adds where the time goes, by op and by model path; --model has the
 * error of the hybrid measured on the folder of a run.
 */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../src/interop/node.js';
import { profileText } from '../src/measure/index.js';
import { readProfiles } from '../src/measure/node.js';
import { bidirectional, causal } from './attention.js';
import { clustered } from './clustered.js';
import { decode } from './decode.js';
import { encoder } from './encoder.js';
import { features } from './features.js';
import { crossover, linearity } from './forward.js';
import { generation } from './generation.js';
import { hybrid } from './hybrid.js';
import { hybridError } from './hybrid-error.js';
import { kernelMachines } from './kernel-machines.js';
import { kernelSolver } from './kernel-solver.js';
import { largeSoftmax } from './large-softmax.js';
import { linearAttention } from './linear-attention.js';
import { memory } from './memory.js';
import { writeProfiles } from './model.js';
import { optionCosts } from './options.js';
import { overhead } from './overhead.js';
import { peers } from './peers.js';
import { failed, formatRows, jsonRow, type Row } from './report.js';
import { routing } from './routing.js';
import { measurePoint, scaling } from './scaling.js';
import type { ScalingPoint } from './scaling-points.js';
import { startUp } from './start-up.js';
import { streaming } from './streaming.js';
import { tensorFlowJs } from './tensorflow-js.js';
import { trainingStep } from './training-step.js';

const benchmarks = [
  ...[
    trainingStep,
    overhead,
    optionCosts,
    hybrid,
    hybridError,
    clustered,
    routing,
    encoder,
    bidirectional,
    causal,
    linearity,
    streaming,
    crossover,
    decode,
    generation,
    linearAttention,
    startUp,
  ],
  ...[features, kernelMachines, kernelSolver, largeSoftmax, memory, scaling, peers, tensorFlowJs],
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
    device: { type: 'string', default: 'cpu' },
    profile: { type: 'boolean', default: false },
    model: { type: 'string' },
    child: { type: 'boolean', default: false },
    point: { type: 'string' },
  },
});

interface ChildOptions {
  readonly profilePrefix: string | undefined;
}

async function runChild(name: string, { profilePrefix }: ChildOptions): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    const ofModel = values.model === undefined ? [] : ['--model', values.model];
    const words = ['--child', name, ...(values.quick ? ['--quick'] : []), ...ofModel];
    const child = fork(process.argv[1] as string, words, {
      env: {
        ...process.env,
        PERFORMER_BENCH_DEVICE: values.device,
        ...(profilePrefix === undefined ? {} : { PERFORMER_BENCH_PROFILE: profilePrefix }),
      },
    });
    let rows: readonly Row[] | undefined;
    child.on('message', (message) => {
      rows = message as readonly Row[];
    });
    child.on('exit', (code) => (rows === undefined ? reject(new Error(`${name} ended with ${code}`)) : resolve(rows)));
  });
}

function refuse(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

async function runAll(): Promise<boolean> {
  const unknown = positionals.find((name) => !benchmarks.some((each) => each.name === name));
  if (unknown !== undefined) refuse(`expected ${benchmarks.map(({ name }) => name).join(', ')}, got ${unknown}.`);
  if (!['cpu', 'cuda', 'webgpu'].includes(values.device))
    refuse(`expected --device cpu, cuda or webgpu, got ${values.device}.`);
  const wanted = positionals.length === 0 ? benchmarks : benchmarks.filter(({ name }) => positionals.includes(name));
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, ${values.device}`);
  const all: ReturnType<typeof jsonRow>[] = [];
  const report = async () => {
    if (values.json !== undefined) await writeFileAtomic(values.json, [`${JSON.stringify(all, undefined, 1)}\n`]);
  };
  await report(); // a file that cannot be written is told before the work
  const folder = values.profile ? await mkdtemp(join(tmpdir(), 'performer-profile-')) : undefined;
  let hasFailed = false;
  try {
    for (const { name, title } of wanted) {
      const profilePrefix = folder && join(folder, name);
      const rows = await runChild(name, { profilePrefix }).catch((cause: Error) => {
        hasFailed = true;
        return [failed(name, cause.message)];
      });
      console.log(formatRows(title, rows));
      if (profilePrefix !== undefined) console.log(`\n${profileText(await readProfiles(profilePrefix))}`);
      all.push(...rows.map((row) => jsonRow(name, row)));
      await report();
    }
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
  const isMet = all.every(({ met, kind }) => met !== false || kind !== 'required');
  return !hasFailed && (isMet || values.quick);
}

if (values.point !== undefined) {
  const point = JSON.parse(values.point) as ScalingPoint;
  console.log(JSON.stringify(await measurePoint(point, { isQuick: values.quick })));
  await writeProfiles();
} else if (values.child) {
  const benchmark = benchmarks.find(({ name }) => name === positionals[0]);
  const rows = await benchmark?.run({ isQuick: values.quick, model: values.model });
  await writeProfiles();
  process.send?.(rows);
} else {
  process.exitCode = (await runAll()) ? 0 : 1;
}
