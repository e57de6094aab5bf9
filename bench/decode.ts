/** Decoding: one sequence against the rate at which the machine reads memory, and many sequences at once. */
import { float32, Random } from '../src/base/index.js';
import { GenerationSession } from '../src/generation/index.js';
import { matmul, spec, sum, type Tensor } from '../src/graph/index.js';
import { forwardOperations, tokenBytes } from '../src/measure/index.js';
import { inTurns } from './measure.js';
import { engine, model, referenceProduct, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, spreadOf } from './report.js';

/** Reads a matrix of so many bytes once, as a product with one row: the rate at which two threads read memory. */
async function memoryReader(bytes: number) {
  const [rows, columns] = [Math.round(bytes / 4 / 2048), 2048];
  const weight = float32([columns, rows], Random.fromSeed(2).normals(rows * columns));
  const executable = await engine.compile(
    ({ weight: w }, { x }: { x: Tensor }) => ({ total: sum(matmul(x, w)) }),
    [{ weight }, { x: spec('float32', [1, columns]) }],
  );
  const x = float32([1, columns], new Float32Array(columns).fill(1));
  return { run: () => executable.run([{ x }]), bytes: rows * columns * 4 };
}

export const decode: Benchmark = {
  name: 'decode',
  title:
    'generation: one sequence against reading memory, 32 sequences against one, and a prompt against a matrix product',
  async run({ isQuick }: BenchmarkOptions) {
    const loaded = { model, ...weightsOf() };
    const create = (batch: number) => GenerationSession.create(engine, loaded, { batch });
    const tokens = isQuick ? 2 : 48; // whole windows of the session, so that each round writes its state as often
    const many = isQuick ? 2 : 32;
    const decodeWith = (session: GenerationSession, batch: number) => async () => {
      for (let i = 0; i < tokens; i++) await session.step(new Int32Array(batch).fill(i));
    };
    const one = await create(1);
    const batched = await create(many);
    await one.read([someTokens(64)]);
    await batched.read(Array.from({ length: many }, () => someTokens(64)));
    const reader = await memoryReader(isQuick ? 2 ** 22 : 256 * 2 ** 20);
    const times = await inTurns(
      { one: decodeWith(one, 1), batched: decodeWith(batched, many), memory: reader.run },
      { warmup: 2, rounds: isQuick ? 1 : 9 },
    );
    const read = tokenBytes(model, 64);
    const gigabytes = (bytes: number, milliseconds: number) => bytes / milliseconds / 1e6;
    const rate = (count: number, milliseconds: number) => (count * tokens * 1000) / milliseconds;
    const length = isQuick ? 64 : 4096;
    const prompt = await GenerationSession.create(engine, loaded, { readChunk: length });
    const product = await referenceProduct();
    const text = someTokens(length);
    const prefill = async () => {
      prompt.reset();
      await prompt.read([text]);
    };
    const reading = await inTurns({ prefill, product: product.run }, { warmup: 2, rounds: isQuick ? 1 : 7 });
    const sideBySide = {
      what: `${many} sequences at once`,
      ours: rate(many, times.batched.median),
      theirs: rate(1, times.one.median),
      spread: spreadOf(times.batched, times.one),
      unit: 'tokens/s',
      opponent: 'one sequence',
      ratio: 'ours/theirs',
    } as const;
    return [
      comparison(
        {
          what: 'one sequence: weights and state read',
          ours: gigabytes(read * tokens, times.one.median),
          theirs: gigabytes(reader.bytes, times.memory.median),
          spread: spreadOf(times.one, times.memory),
          unit: 'GB/s',
          opponent: 'a product that reads 256 MB',
          ratio: 'ours/theirs',
        },
        { atLeast: 0.7 },
      ),
      comparison(sideBySide, { atLeast: 3 }),
      comparison(sideBySide, { atLeast: 6, kind: 'stretch' }),
      comparison(
        {
          what: `a prompt of ${length.toLocaleString('en-US')} tokens`,
          ours: forwardOperations(model, length, 1) / reading.prefill.median / 1e6,
          theirs: product.operations / reading.product.median / 1e6,
          spread: spreadOf(reading.prefill, reading.product),
          unit: 'GFLOP/s',
          opponent: 'chained 2048² products',
          ratio: 'ours/theirs',
        },
        { atLeast: 0.6 },
      ),
    ];
  },
};
