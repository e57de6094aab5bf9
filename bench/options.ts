/**
 * What each option of a model costs: its training step over that of the plain model, in turns; and how far normalised queries
 * and keys bring down the error of random features.
 */
import { measureAttentionError } from '../src/attention/index.js';
import { float32, type HostTensor } from '../src/base/index.js';
import { type LanguageModelOptions, languageModelConfig, modelOf, presets } from '../src/models/index.js';
import { inTurns } from './measure.js';
import { engine, random } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure, type Row, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

const longest = 4096;
const favor = presets.small.model.attention;
const options: Readonly<Record<string, Partial<LanguageModelOptions>>> = {
  'norm rms': { norm: 'rms' },
  'norm scale': { norm: 'scale' },
  'norm rezero': { norm: 'rezero' },
  'norm layer, placed behind': { norm: { placement: 'post' } },
  'activation relu': { activation: 'relu' },
  'activation silu': { activation: 'silu' },
  'activation geglu': { activation: 'geglu' },
  'activation swiglu': { activation: 'swiglu' },
  'qkv biases': { qkvBias: true },
  'query-key norm': { queryKeyNorm: 'unit' },
  'query-key temperature': { queryKeyNorm: 'temperature' },
  'two key heads of eight': { keyHeads: 2 },
  'tied embedding': { tiedEmbedding: true },
  '16 memory tokens': { memoryTokens: 16 },
  'positions learned': { positions: { kind: 'learned', maxLength: longest } },
  'positions sinusoidal': { positions: 'sinusoidal' },
  'positions axial': { positions: { kind: 'axial', maxLength: longest } },
  'positions none': { positions: 'none' },
  'forgetting decay': { attention: { forgetting: 'decay' } },
  'forgetting gates': { attention: { forgetting: 'gates' } },
  reversible: { reversible: true },
  'every other layer shares weights': { attention: [favor, { kind: 'shared' }] },
  'every other layer shares the output': { attention: [favor, { kind: 'shared', part: 'output' }] },
  'hybrid, window 128': { attention: { ...favor, kind: 'hybrid', window: 128 } },
  'window 128': { attention: { kind: 'window', window: 128 } },
  'one head local, window 128': {
    attention: { ...favor, kind: 'local-heads', window: 128 },
  },
  'softmax and favor+ in turns': { attention: ['softmax', favor] },
  softmax: { attention: 'softmax' },
  'softmax, learned numbers of 32 distances': {
    attention: { kind: 'softmax', relativeBuckets: 32, relativeDistance: 128 },
  },
};

export const optionCosts: Benchmark = {
  name: 'options',
  title: 'training step with each option over that of the plain model; error with normalised rows',
  async run({ isQuick }: BenchmarkOptions) {
    const length = isQuick ? 64 : 1024;
    const sizes = { ...presets.small.model, depth: 2, ...(isQuick && { dim: 64, heads: 2, headDim: 32 }) };
    const rows: Row[] = [];
    const stepOf = (given: Partial<LanguageModelOptions>) =>
      preparedStep(length, { of: modelOf(languageModelConfig({ ...sizes, ...given })) });
    const plain = await stepOf({});
    for (const [what, given] of Object.entries(options)) {
      const option = await stepOf(given);
      const times = await inTurns({ option, plain }, { warmup: isQuick ? 1 : 4, rounds: isQuick ? 1 : 9 });
      rows.push(
        comparison({
          what,
          ours: times.option.median,
          theirs: times.plain.median,
          spread: spreadOf(times.option, times.plain),
          ...({ unit: 'ms', opponent: 'plain', ratio: 'ours/theirs' } as const),
        }),
      );
    }
    return [...rows, ...(await errorsOfNorms(isQuick))];
  },
};

/** The error of positive features on normal deviates, as they are and with the first length that a model gives them. */
async function errorsOfNorms(isQuick: boolean): Promise<readonly Row[]> {
  const shape = [1, isQuick ? 32 : 256, 2, 64] as const;
  const rows: Row[] = [];
  for (const deviation of [3, 5]) {
    const drawn = (name: string, scale = deviation) =>
      float32(
        shape,
        Float32Array.from(random.split(name).normals(shape[1] * 128), (value) => scale * value),
      );
    const own = { query: drawn('query'), key: drawn('key'), value: drawn('value', 1), isCausal: false };
    const normed = { ...own, query: ofLength(own.query, 4), key: ofLength(own.key, 4) };
    const map = {
      name: 'positive',
      headDim: 64,
      featureCount: 256,
      projectionKind: 'orthogonal',
      rowNorm: 'chi',
    } as const;
    for (const [told, samples] of Object.entries({ 'as they are': own, 'normalised, temperature 4': normed })) {
      const error = await measureAttentionError(engine, samples, map);
      rows.push(figure(`relative error of 256 features, deviation ${deviation}, ${told}`, error, ''));
    }
  }
  return rows;
}

/** Rows [..., dim] of length √temperature·dim^¼. */
function ofLength({ shape, data }: HostTensor, temperature: number): HostTensor {
  const dim = shape.at(-1) as number;
  const rows = data.slice();
  for (let start = 0; start < rows.length; start += dim) {
    const row = rows.subarray(start, start + dim);
    const factor = (Math.sqrt(temperature) * dim ** 0.25) / Math.hypot(...row);
    row.forEach((value, at) => {
      row[at] = value * factor;
    });
  }
  return float32(shape, rows);
}
