import { expect, it } from 'vitest';
import { float32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { multiply, spec } from '../../src/graph/index.js';
import { values } from '../support/compare.js';

it("compiling and running leave JavaScript's arithmetic as it was, denormals among it", async () => {
  const halves = () => [5e-324, 1e-310, 1e-308].map((small, at) => small * (at === 0 ? 1 : 0.5));
  const before = halves();
  expect(before.every((value) => value > 0)).toBe(true);
  const half = await nodeEngine({ threads: 2 }).compile(({ x }) => multiply(x, 0.5), [{ x: spec('float32', [2]) }]);
  expect(halves()).toEqual(before);
  expect(values(await half.run([{ x: float32([2], [3, -4]) }]))).toEqual([1.5, -2]);
  expect(halves()).toEqual(before);
  await half.dispose();
});
