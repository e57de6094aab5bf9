import { describe, expect, it } from 'vitest';
import { type AnyHostTensor, float32, zeros } from '../../src/base/index.js';
import { type EngineTensor, referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { add, multiply, spec, sum } from '../../src/graph/index.js';
import { values } from '../support/compare.js';

const engines = [referenceEngine(), nodeEngine({ threads: 1 })].map((engine) => ({ name: engine.name, engine }));

describe.each(engines)('tensors placed on $name', ({ engine }) => {
  const arrays: Record<string, AnyHostTensor> = {
    floats: float32([3, 5], new Float32Array(15).fill(1.5)),
    scalar: float32([], [-2]),
    none: float32([0, 4], []),
    counts: { dtype: 'int32', shape: [7], data: Int32Array.of(1, -2, 3, 4, 5, 6, 7) },
    words: { dtype: 'uint32', shape: [2], data: Uint32Array.of(0, 4_000_000_000) },
    marks: { dtype: 'bool', shape: [5], data: Uint8Array.of(1, 0, 1, 1, 0) },
    view: float32([2], new Float32Array(9).fill(3).subarray(4, 6)),
  };

  it('come back as they were, of every dtype and size', async () => {
    const placed = await engine.place(arrays);
    const back = await engine.fetch(placed);
    for (const [name, { dtype, shape, data }] of Object.entries(arrays)) {
      expect({ dtype: back[name]!.dtype, shape: back[name]!.shape }, name).toEqual({ dtype, shape });
      expect([...(back[name]!.data as Float32Array)], name).toEqual([...(data as Float32Array)]);
    }
    engine.free(placed);
  });

  it('are read and written by runs, beside arrays, and stay where they are', async () => {
    const row = spec('float32', [3]);
    const step = await engine.compile(
      ({ total, weight }, { x }) => ({ total: add(total, multiply(weight, x)), sum: sum(x) }),
      [{ total: row, weight: row }, { x: row }],
    );
    const fresh = () => ({ total: zeros('float32', [3]), weight: float32([3], [1, 10, 100]) });
    const placed = await engine.place([fresh(), fresh()] as const);
    let [current, next] = placed;
    for (let at = 1; at <= 5; at++) {
      const { total, sum: added } = await step.run([current, { x: float32([3], [at, 1, -at]) }], {
        outputs: { total: next.total },
      });
      expect(total).toBe(next.total);
      expect(values(added)).toEqual([1]);
      [current, next] = [next, current];
    }
    expect(values(await engine.fetch(current.total))).toEqual([15, 50, -1500]);
    engine.free(placed);
    await step.dispose();
  });

  it('are refused as targets of another size', async () => {
    const double = await engine.compile(({ x }) => ({ y: multiply(x, 2) }), [{ x: spec('float32', [3]) }]);
    const y: EngineTensor = await engine.place(zeros('float32', [4]));
    await expect(double.run([{ x: float32([3], [1, 2, 3]) }], { outputs: { y } })).rejects.toThrow(/buffer for y/);
    await double.dispose();
  });
});
