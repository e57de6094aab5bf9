/** A small encoder of sentences on long texts: documents a second with linear attention against ONNX Runtime's fused exact attention. */
import { type EncoderAttention, encoderReader } from './encoder-reader.js';
import { numberFrom } from './in-process.js';
import { inTurns } from './measure.js';
import { type Benchmark, type BenchmarkOptions, type Bound, comparison, type Row, spreadOf } from './report.js';

const positive = (featureCount: number) => ({ name: 'positive', featureCount }) as const;
const [favor, hybrid] = [
  { kind: 'favor+', features: positive(64) },
  { kind: 'hybrid', window: 64, features: positive(64) },
] as const;

/** As docs/converting.md converts the model. */
const converted = 'the same, but FAVOR+ alone in two layers';

const forms: Readonly<Record<string, EncoderAttention>> = {
  'FAVOR+, 128 features': { kind: 'favor+', features: positive(128) },
  'hybrid, window 64, 64 features': hybrid,
  [converted]: [hybrid, hybrid, hybrid, favor, favor, hybrid],
};

/** How many times as many documents a second are asked of the model as it is converted. */
const bounds: Readonly<Record<number, Bound>> = { 4096: { atLeast: 2 }, 16384: { atLeast: 5 } };

async function rowsAt(length: number, isQuick: boolean): Promise<readonly Row[]> {
  const readers: Record<string, () => Promise<unknown>> = { fused: await encoderReader('fused', length) };
  for (const [name, attention] of Object.entries(forms)) readers[name] = await encoderReader(attention, length);
  const times = await inTurns(readers, { warmup: isQuick ? 0 : 1, rounds: isQuick || length > 8192 ? 3 : 5 });
  const memoryOf = async (attention: EncoderAttention) =>
    (await numberFrom('encoder-memory', { attention, length })) / 1e9;
  const most = await memoryOf('fused');
  const rows: Row[] = [];
  for (const [name, attention] of Object.entries(forms)) {
    const what = `${length.toLocaleString('en-US')} tokens, ${name}`;
    const opponent = 'fused exact attention';
    const own = times[name]!;
    rows.push(
      comparison(
        {
          ...{ what, ours: 1e3 / own.median, theirs: 1e3 / times.fused!.median, unit: 'documents a second' },
          ...{ spread: spreadOf(own, times.fused), opponent, ratio: 'ours/theirs' },
        },
        name === converted ? bounds[length] : undefined,
      ),
      comparison({
        ...{ what: `${what}, memory`, ours: await memoryOf(attention), theirs: most, unit: 'GB' },
        ...{ opponent, ratio: 'ours/theirs' },
      }),
    );
  }
  return rows;
}

export const encoder: Benchmark = {
  name: 'encoder',
  title: 'a vector of a text, sizes of all-MiniLM-L6-v2: 6 layers, dim 384, 12 heads × 32',
  async run({ isQuick }: BenchmarkOptions) {
    const rows: Row[] = [];
    for (const length of isQuick ? [64] : [512, 4096, 16_384]) rows.push(...(await rowsAt(length, isQuick)));
    return rows;
  },
};
