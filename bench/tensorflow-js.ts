/**
 * Attention alone against TensorFlow.js, which runs in Node as WebAssembly: ours runs native, and as WebAssembly so that
 * like meets like. All begin with the same arrays of the host and end with a number there.
 */
import { availableParallelism } from 'node:os';
import { type HostTensor, mapTree } from '../src/base/index.js';
import type { Engine } from '../src/engine/index.js';
import { webEngine } from '../src/engine/web.js';
import { attentionInputs, attentionSizes, prepared } from './attention.js';
import { inTurns, type Timing } from './measure.js';
import { engine } from './model.js';
import { mostThreads, startTensorFlowProcess, type TensorFlowProcess } from './peers/tensorflow-js-process.js';
import { type Benchmark, type BenchmarkOptions, comparison, type Row, spreadOf } from './report.js';

const forms = { favor: 'FAVOR+', exact: 'exact softmax' } as const;
type Form = keyof typeof forms;

/** Who computes: our engines, and processes of TensorFlow.js with one thread and with all. */
interface Contenders {
  readonly engines: Readonly<Record<OwnEngine, Engine>>;
  readonly peers: readonly TensorFlowProcess[];
}

type OwnEngine = 'native' | 'WebAssembly';
const ownEngines: readonly OwnEngine[] = ['native', 'WebAssembly'];

/** Throws unless all outputs are one, to 1e-3 of its largest value. */
function checkEqual(what: string, [first, ...others]: readonly Float32Array[]): void {
  const largest = first!.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  for (const other of others) {
    const error = first!.reduce((top, value, at) => Math.max(top, Math.abs(value - other[at]!)), 0) / largest;
    if (!(error < 1e-3)) throw new Error(`${what}: expected equal outputs, got a difference of ${error}`);
  }
}

async function checkOutputs(form: Form, length: number, { engines, peers }: Contenders): Promise<void> {
  const outputs: Float32Array[] = [];
  for (const name of ownEngines) {
    const { run, dispose } = await prepared(form, length, false, { engine: engines[name], returns: 'output' });
    outputs.push((await run()).data as Float32Array);
    await dispose();
  }
  for (const peer of peers) outputs.push((await peer.run(form, 'output')) as Float32Array);
  checkEqual(`${forms[form]} at length ${length}`, outputs);
}

/** Theirs is the better of one thread and many, whichever it is at this length. */
function bestOf(form: Form, peers: readonly TensorFlowProcess[], times: Readonly<Record<string, Timing>>) {
  const all = peers.map(({ threads }) => ({ threads, time: times[`${form} peer ${threads}`]! }));
  return all.reduce((best, each) => (each.time.median < best.time.median ? each : best));
}

/** Rows of one length: the same form on both sides, and our FAVOR+ against their exact attention. */
async function rowsAt(length: number, { engines, peers }: Contenders, isQuick: boolean): Promise<readonly Row[]> {
  const { tokens, projection } = attentionInputs(length);
  const arrays = mapTree({ ...tokens, projection }, ({ data }: HostTensor) => data as Float32Array);
  for (const peer of peers) await peer.give(arrays, { length, ...attentionSizes });
  const runs: Record<string, () => Promise<unknown>> = {};
  const disposals: (() => Promise<void>)[] = [];
  for (const form of ['favor', 'exact'] as const) {
    await checkOutputs(form, length, { engines, peers });
    for (const name of ownEngines) {
      const { run, dispose } = await prepared(form, length, false, { engine: engines[name] });
      runs[`${form} ${name}`] = run;
      disposals.push(dispose);
    }
    for (const peer of peers) runs[`${form} peer ${peer.threads}`] = () => peer.run(form, 'sum');
  }
  const rounds = length > 1024 ? 5 : 11;
  const times = await inTurns(runs, isQuick ? { warmup: 0, rounds: 1 } : { warmup: 3, rounds });
  for (const dispose of disposals) await dispose();
  const row = (own: Form, name: OwnEngine, their: Form) => {
    const { threads, time } = bestOf(their, peers, times);
    const ours = times[`${own} ${name}`]!;
    return comparison({
      what: `length ${length.toLocaleString('en-US')}: ${forms[own]}, ${name}, against ${forms[their]}`,
      ours: ours.median,
      theirs: time.median,
      spread: spreadOf(ours, time),
      unit: 'ms',
      opponent: `TensorFlow.js (SIMD, ${threads === 1 ? '1 thread' : `${threads} threads`}) over ours`,
      ratio: 'theirs/ours',
    });
  };
  return ownEngines.flatMap((name) => [
    row('favor', name, 'favor'),
    row('exact', name, 'exact'),
    row('favor', name, 'exact'),
  ]);
}

export const tensorFlowJs: Benchmark = {
  name: 'tensorflow-js',
  title:
    'bidirectional attention alone, 8 heads × 64, 256 features, forward, on our native and our WebAssembly engine against ' +
    'TensorFlow.js (WebAssembly)',
  async run({ isQuick }: BenchmarkOptions) {
    const cores = availableParallelism();
    const engines = { native: engine, WebAssembly: await webEngine({ threads: cores }) };
    const peers: TensorFlowProcess[] = [];
    for (const threads of new Set([1, Math.min(cores, mostThreads)])) peers.push(await startTensorFlowProcess(threads));
    const rows: Row[] = [];
    for (const length of isQuick ? [256] : [512, 1024, 2048, 4096]) {
      rows.push(...(await rowsAt(length, { engines, peers }, isQuick)));
    }
    for (const peer of peers) await peer.end();
    return rows;
  },
};
