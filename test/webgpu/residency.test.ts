/** Weights, moments and states stay on the GPU between steps: counted by what crosses to it and back. */
import { expect, it } from 'vitest';
import { elementCount, leavesOf } from '../../src/base/index.js';
import { randomModel, sessionOf } from '../generation/models.js';
import { engine, snapshotOf, trainerFor } from '../support/tiny.js';

type Method = (...args: never[]) => unknown;
interface Page {
  readonly GPUBuffer: { readonly prototype: { getMappedRange: Method } };
  readonly GPUQueue: { readonly prototype: { writeBuffer: Method } };
}

/** Bytes that are written to buffers of the GPU or mapped from them while `work` runs. */
async function bytesCrossing(work: () => Promise<unknown>): Promise<number> {
  const page = globalThis as unknown as Page;
  const [buffer, queue] = [page.GPUBuffer.prototype, page.GPUQueue.prototype];
  const kept = { getMappedRange: buffer.getMappedRange, writeBuffer: queue.writeBuffer };
  let bytes = 0;
  buffer.getMappedRange = function (...args: never[]) {
    const range = kept.getMappedRange.apply(this, args) as ArrayBuffer;
    bytes += range.byteLength;
    return range;
  };
  queue.writeBuffer = function (...args: never[]) {
    const [, , data, , size] = args as unknown as [unknown, unknown, ArrayBufferView, number?, number?];
    bytes += size ?? data.byteLength;
    return kept.writeBuffer.apply(this, args);
  };
  try {
    await work();
  } finally {
    buffer.getMappedRange = kept.getMappedRange;
    queue.writeBuffer = kept.writeBuffer;
  }
  return bytes;
}

const bytesOf = (tree: unknown) =>
  leavesOf(tree).reduce((total, [, leaf]) => total + 4 * elementCount((leaf as { shape: number[] }).shape), 0);

it('a training step takes less over than a hundredth of its weights and moments', async () => {
  // Exact attention: what crosses besides is a step's tokens, and FAVOR+ has its recurrence on the processor.
  const snapshot = snapshotOf(
    { attention: 'softmax', dim: 256, heads: 2, headDim: 8, depth: 1 },
    { batch: 1, window: 8 },
  );
  const trainer = await trainerFor(snapshot);
  await trainer.step();
  const { params, moments } = trainer.snapshot;
  expect(leavesOf({ params, moments }).every(([, leaf]) => 'isPlaced' in (leaf as object))).toBe(true);
  const crossed = await bytesCrossing(() => trainer.step());
  expect(crossed).toBeGreaterThan(0);
  expect(crossed).toBeLessThan(bytesOf({ params, moments }) / 100);
  await trainer.dispose();
});

it('a generated token takes less over than a tenth of the state', async () => {
  const model = randomModel({
    ...{ dim: 32, depth: 2, heads: 4, headDim: 32, vocabularySize: 64 },
    attention: { features: { featureCount: 256 } },
  });
  const session = await sessionOf(engine, model);
  await session.step(Int32Array.of(1));
  await session.step(Int32Array.of(2));
  const state = 2 * 4 * 256 * (33 + 1) * 4;
  const crossed = await bytesCrossing(() => session.step(Int32Array.of(3)));
  expect(crossed).toBeGreaterThan(0);
  expect(crossed).toBeLessThan(state / 10);
  await session.dispose();
});
