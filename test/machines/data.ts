/** Small problems with a seed. */
import { float32, hostTensor, int32 } from '../../src/base/array.js';
import { Random } from '../../src/base/random.js';
import type { SampleBatch, Samples } from '../../src/machines/index.js';

/** A smooth function of three columns, and a second one, with a little noise. */
export function curve(rows: number, seed = 1): SampleBatch {
  const random = Random.fromSeed(seed);
  const x = random.split('x').normals(rows * 3);
  const noise = random.split('noise').normals(rows * 2);
  const y = Float64Array.from({ length: rows * 2 }, (_, at) => {
    const [row, output] = [Math.floor(at / 2), at % 2];
    const [a, b, c] = [x[row * 3]!, x[row * 3 + 1]!, x[row * 3 + 2]!];
    return (output === 0 ? 100 + 5 * Math.sin(2 * a) * b : Math.exp(-c * c) - a) + 0.05 * noise[at]!;
  });
  // Columns of very different sizes, as data has them.
  const inputs = x.map((value, at) => [1, 1e6 + 100 * value, 1e-3 * value][at % 3]! * (at % 3 === 0 ? value : 1));
  return { inputs: hostTensor('float64', [rows, 3], inputs), targets: hostTensor('float64', [rows, 2], y) };
}

/** Three rings around the origin: no line tells them apart. */
export function rings(rows: number, seed = 2): SampleBatch {
  const random = Random.fromSeed(seed);
  const noise = random.split('noise').normals(rows * 2);
  const classes = Array.from({ length: rows }, (_, row) => random.split(row).integer(3));
  const inputs = Float32Array.from({ length: rows * 2 }, (_, at) => {
    const row = Math.floor(at / 2);
    const angle = 2 * Math.PI * random.split('angle').split(row).uniform();
    return (1 + classes[row]!) * (at % 2 === 0 ? Math.cos(angle) : Math.sin(angle)) + 0.1 * noise[at]!;
  });
  return { inputs: float32([rows, 2], inputs), targets: int32([rows], classes) };
}

/** Rows of a batch from `start` to `end`. */
export function rowsOf({ inputs, targets }: SampleBatch, start: number, end: number): SampleBatch {
  const cut = <T extends SampleBatch['inputs'] | SampleBatch['targets']>(tensor: T): T => {
    const width = tensor.shape[1] ?? 1;
    const shape = [end - start, ...tensor.shape.slice(1)];
    return { ...tensor, shape, data: tensor.data.slice(start * width, end * width) };
  };
  return { inputs: cut(inputs), targets: cut(targets) };
}

/** The same samples in batches of a size, all through one buffer that each batch overwrites. */
export function reused(batch: SampleBatch, size: number): Samples {
  const rows = batch.inputs.shape[0]!;
  return {
    async *[Symbol.asyncIterator]() {
      const buffers = rowsOf(batch, 0, Math.min(size, rows));
      for (let start = 0; start < rows; start += size) {
        const part = rowsOf(batch, start, Math.min(rows, start + size));
        buffers.inputs.data.set(part.inputs.data);
        buffers.targets.data.set(part.targets.data);
        const view = <T extends SampleBatch['inputs'] | SampleBatch['targets']>(own: T, like: T): T => ({
          ...like,
          data: own.data.subarray(0, like.data.length),
        });
        yield { inputs: view(buffers.inputs, part.inputs), targets: view(buffers.targets, part.targets) };
        buffers.inputs.data.fill(-1e9);
        buffers.targets.data.fill(0);
      }
    },
  };
}
