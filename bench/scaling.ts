/**
 * Time and memory against the length, forward and for a training step, each in a process of its own: one model with FAVOR+,
 * with exact softmax, with none, and (forward) with ONNX Runtime's fused exact attention.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { int32 } from '../src/base/index.js';
import { spec, specsOf, sum } from '../src/graph/index.js';
import { readable } from '../src/measure/index.js';
import { type LanguageModelOptions, languageModelConfig, type Model, modelOf, presets } from '../src/models/index.js';
import { withFusedAttention } from './fused-model.js';
import { peakBytes, summarize, type Timing } from './measure.js';
import { engine, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, type Row, spreadOf } from './report.js';
import { pointName, type ScalingForm, type ScalingPoint, scalingForms, scalingModes } from './scaling-points.js';
import { preparedStep } from './training-step.js';

const execute = promisify(execFile);

interface Measured {
  readonly time: Timing;
  /** Gigabytes, peak of the process. */
  readonly memory: number;
}

/** What a process may take: gigabytes. */
const mostMemory = Math.min(24, process.availableMemory() / 1e9);

/** Gigabytes that a point needs, fitted to shorter ones: what every form needs, and the scores of exact attention. */
export function memoryOf({ mode, form, length }: ScalingPoint): number {
  const scores = (8 * length ** 2 * 4) / 1e9; // of one layer
  if (mode === 'training step') return 1.05 + 3.6e-4 * length + (form === 'exact' ? 7.5 * scores : 0);
  return 0.35 + 4.9e-5 * length + { 'favor+': 0, none: 0, 'fused exact': 2, exact: 3.25 }[form] * scores;
}

const attentionOf: Record<ScalingForm, LanguageModelOptions['attention']> = {
  'favor+': presets.small.model.attention,
  exact: 'softmax',
  'fused exact': 'none',
  none: 'none',
};

/** One point, measured in this process. */
export async function measurePoint(
  { mode, form, length }: ScalingPoint,
  { isQuick }: BenchmarkOptions,
): Promise<Measured> {
  const of = modelOf(languageModelConfig({ ...presets.small.model, attention: attentionOf[form] }));
  const run =
    mode === 'forward' ? await preparedForward(length, of, form === 'fused exact') : await preparedStep(length, { of });
  const times: number[] = [];
  const began = performance.now();
  const [warmup, fewest] = isQuick ? [1, 2] : [2, 5]; // the first two steps touch fresh memory
  while (times.length < fewest || (!isQuick && times.length < 9 && performance.now() - began < 15_000)) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return { time: summarize(times.slice(warmup)), memory: peakBytes() / 1e9 };
}

async function preparedForward(length: number, of: Model, isFused: boolean) {
  const { params, buffers } = weightsOf(of);
  const executable = await engine.compile(
    (learned, drawn, { tokens }) => {
      const weights = { params: learned, buffers: drawn };
      const result = of.apply(weights, { tokens });
      return { total: sum(of.head(weights, isFused ? withFusedAttention(result) : result.hidden)) };
    },
    [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, length]) }],
  );
  const tokens = int32([1, length], someTokens(length));
  return () => executable.run([params, buffers, { tokens }]);
}

/** Whether a process ended because there was no more memory: killed by the system, or by itself. */
export function isOutOfMemory(cause: unknown): boolean {
  const { signal, stderr = '' } = cause as { signal?: string; stderr?: string };
  return signal === 'SIGKILL' || signal === 'SIGABRT' || /bad_alloc|allocate memory|out of memory/i.test(stderr);
}

/** The point in a process of its own; undefined where that had not enough memory. */
async function inProcess(point: ScalingPoint, { isQuick }: BenchmarkOptions): Promise<Measured | undefined> {
  const words = [process.argv[1] as string, '--point', JSON.stringify(point), ...(isQuick ? ['--quick'] : [])];
  try {
    const { stdout } = await execute(process.execPath, words);
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Measured;
  } catch (cause) {
    if (isOutOfMemory(cause)) return undefined;
    throw cause;
  }
}

function rowOf(point: ScalingPoint, measured: Measured | undefined, exact: Measured | undefined): Row {
  const what = pointName(point);
  if (measured === undefined) return { what, value: `does not fit: needs about ${readable(memoryOf(point))} GB` };
  const { time, memory } = measured;
  const row = {
    what,
    value: `${readable(time.median)} ms, ${memory.toFixed(2)} GB`,
    figures: { ours: time.median, unit: 'ms', memory, ...(exact === undefined ? {} : { theirs: exact.time.median }) },
    spread: spreadOf(time, exact?.time),
  };
  const isCompared = exact !== undefined && point.form !== 'exact';
  return isCompared ? { ...row, ratio: exact.time.median / time.median, opponent: 'exact over it' } : row;
}

const lengths = {
  forward: [512, 1024, 2048, 3072, 4096, 8192, 16_384, 32_768, 65_536],
  'training step': [512, 1024, 2048, 3072, 4096, 8192, 16_384, 32_768],
} as const;

export const scaling: Benchmark = {
  name: 'scaling',
  title:
    'whole model (6 layers, dim 512, 8 heads × 64, 256 features) against the length: FAVOR+, exact softmax, fused, no attention',
  async run({ isQuick }: BenchmarkOptions) {
    const rows: Row[] = [];
    for (const mode of scalingModes) {
      for (const length of isQuick ? [64, 128] : lengths[mode]) {
        const measured = new Map<ScalingForm, Measured | undefined>();
        for (const form of scalingForms) {
          if (mode === 'training step' && form === 'fused exact') continue; // it has no gradient
          const point = { mode, form, length };
          measured.set(form, memoryOf(point) > mostMemory ? undefined : await inProcess(point, { isQuick }));
        }
        for (const [form, one] of measured) rows.push(rowOf({ mode, form, length }, one, measured.get('exact')));
      }
    }
    return rows;
  },
};
