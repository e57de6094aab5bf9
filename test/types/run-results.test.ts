/** What the compiler knows of tensors and of the results of a run: checked by `npm run types`, as the tests are. */
import { expectTypeOf, it } from 'vitest';
import { causalAttention } from '../../src/attention/index.js';
import { float32, type HostTensor, int32 } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { positiveFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import type { ModelResult } from '../../src/models/index.js';

const engine = referenceEngine();

it('a run gives arrays of the dtypes of its graph, without a cast', async () => {
  const compiled = await engine.compile(
    ({ x, tokens }, { table }) => ({
      doubled: g.multiply(x, 2),
      isSmall: g.less(x, 1),
      rows: [g.takeRows(table, tokens)] as const,
      best: g.argMax(x, 0),
      next: g.add(tokens, 1),
    }),
    [{ x: g.spec('float32', [2]), tokens: g.spec('int32', [2]) }, { table: float32([2, 1], [1, 2]) }],
  );
  const result = await compiled.run([{ x: float32([2], [0, 3]), tokens: int32([2], [0, 1]) }]);
  expectTypeOf(result.doubled.data).toEqualTypeOf<Float32Array>();
  expectTypeOf(result.isSmall).toEqualTypeOf<HostTensor<'bool'>>();
  expectTypeOf(result.rows[0]).toEqualTypeOf<HostTensor>();
  expectTypeOf(result.best.data).toEqualTypeOf<BigInt64Array>();
  expectTypeOf(result.next).toEqualTypeOf<HostTensor<'int32'>>();
});

it('attention and models give float32', () => {
  expectTypeOf(causalAttention).returns.toHaveProperty('output').toEqualTypeOf<g.Tensor>();
  expectTypeOf<ModelResult['output']>().toEqualTypeOf<g.Tensor<'float32'>>();
  expectTypeOf<ModelResult['state']['position']>().toEqualTypeOf<g.Tensor<'int32'>>();
  expectTypeOf(positiveFeatures).parameter(0).toEqualTypeOf<g.Tensor>();
});

it('numbers become tensors of the dtype that is asked for, and float32 where none is', () => {
  expectTypeOf(g.scalar(1)).toEqualTypeOf<g.Tensor>();
  expectTypeOf(g.scalar(1, 'uint32')).toEqualTypeOf<g.Tensor<'uint32'>>();
  expectTypeOf(g.range(3)).toEqualTypeOf<g.Tensor<'int32'>>();
  expectTypeOf(g.cast(g.range(3), 'float32')).toEqualTypeOf<g.Tensor>();
  // @ts-expect-error What the context wants does not change what a scalar is.
  const wrong: g.Tensor<'int32'> = g.scalar(1);
  expectTypeOf(wrong).toEqualTypeOf<g.Tensor<'int32'>>();
});

it('a tensor of another dtype is no argument', () => {
  const tokens = g.input('tokens', 'int32', [2]);
  const x = g.input('x', 'float32', [2]);
  expectTypeOf(tokens).not.toMatchTypeOf<g.Tensor>();
  expectTypeOf(g.where).parameter(0).toEqualTypeOf<g.Tensor<'bool'>>();
  expectTypeOf(g.where(g.less(x, 0), x, x)).toEqualTypeOf<g.Tensor>();
});
