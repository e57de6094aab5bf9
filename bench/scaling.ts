/**
 * Time and memory against the length, forward and for a training step: FAVOR+, exact softmax and no attention in one model,
 * each in a process of its own, and ONNX Runtime's fused exact attention in the place of attention alone.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { int32 } from '../src/base/index.js';
import { readable } from '../src/cli/format.js';
import { spec, sum } from '../src/graph/index.js';
import { languageModelConfig, logitsOf, presets, readTokens } from '../src/models/index.js';
import { median } from './measure.js';
import { engine, modelOf, someTokens, specsOf } from './model.js';
import type { Benchmark, BenchmarkOptions, Row } from './report.js';
import { preparedStep } from './training-step.js';

const execute = promisify(execFile);

export const scalingForms = ['favor+', 'softmax', 'none'] as const;
export type ScalingForm = (typeof scalingForms)[number];
export type ScalingMode = 'forward' | 'training step';

/** Bytes that scores of 8 heads may take in one layer before exact attention is not tried. */
const largestScores = 1.2e9;

interface Measured {
  /** Milliseconds. */
  readonly time: number;
  /** Gigabytes, peak of the process. */
  readonly memory: number;
}

/** One point, measured in this process. */
export async function measurePoint(form: ScalingForm, mode: ScalingMode, length: number): Promise<Measured> {
  const settings = languageModelConfig({ ...presets.small.model, attention: form });
  const run =
    mode === 'forward' ? await preparedForward(length, settings) : (await preparedStep(length, { settings })).train;
  const times: number[] = [];
  const began = performance.now();
  for (let i = 0; i < 9 && (i < 4 || performance.now() - began < 20_000); i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return { time: median(times.slice(2)), memory: process.resourceUsage().maxRSS / 1e6 };
}

async function preparedForward(length: number, settings: ReturnType<typeof languageModelConfig>) {
  const { params, projections } = modelOf(settings);
  const executable = await engine.compile(
    (weights, features, { tokens }) => ({
      total: sum(logitsOf(weights, readTokens(settings, weights, { tokens, projections: features }).hidden)),
    }),
    [specsOf(params), specsOf(projections), { tokens: spec('int32', [1, length]) }],
  );
  const tokens = int32([1, length], someTokens(length));
  return () => executable.run([params, projections, { tokens }]);
}

async function inProcess(form: ScalingForm, mode: ScalingMode, length: number): Promise<Measured> {
  const words = [process.argv[1] as string, '--child', 'scaling', '--point', JSON.stringify([form, mode, length])];
  const { stdout } = await execute(process.execPath, words);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Measured;
}

export const scaling: Benchmark = {
  name: 'scaling',
  title:
    'whole model (6 layers, dim 512, 8 heads × 64, 256 features) against the length: FAVOR+, exact softmax, no attention',
  async run({ isQuick }: BenchmarkOptions) {
    const lengths = isQuick ? [64, 128] : [512, 1024, 2048, 3072, 4096, 8192, 16_384];
    const rows: Row[] = [];
    for (const mode of ['forward', 'training step'] as const) {
      for (const length of lengths) {
        const points = new Map<ScalingForm, Measured>();
        for (const form of scalingForms) {
          const isTooLarge = form === 'softmax' && 8 * length ** 2 * 4 > largestScores / (mode === 'forward' ? 1 : 2);
          if (!isTooLarge) points.set(form, await inProcess(form, mode, length));
        }
        const exact = points.get('softmax');
        for (const [form, { time, memory }] of points) {
          const row = {
            what: `${mode}, ${form}, length ${length}`,
            value: `${readable(time)} ms, ${memory.toFixed(2)} GB`,
            figures: { ours: time, unit: 'ms', memory, ...(exact === undefined ? {} : { theirs: exact.time }) },
          };
          const isCompared = exact !== undefined && form !== 'softmax';
          rows.push(isCompared ? { ...row, ratio: exact.time / time, opponent: 'exact over it' } : row);
        }
      }
    }
    return rows;
  },
};
