/** An op written outside of the package, from what the graph's index exports alone. */
import { expect, it } from 'vitest';
import { float32 } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  apply,
  expectDtype,
  gradient,
  multiply,
  noGradient,
  type Op,
  spec,
  sum,
  type Tensor,
} from '../../src/graph/index.js';

const cubeOp: Op<{ readonly factor: number }> = {
  name: 'cube',
  infer([x]) {
    expectDtype('cube', [x!], 'float32');
    return [{ dtype: 'float32', shape: x!.shape }];
  },
  evaluate: ([x], { factor }) => [x!.data.map((value) => factor * value ** 3)],
  differentiate({ inputs: [x], gradients: [g], attributes: { factor } }) {
    return [g && multiply(g, multiply(3 * factor, multiply(x!, x!)))];
  },
  lower(emitter, [x], { factor }) {
    const cubed = emitter.emit('Pow', [x!, emitter.constant('float32', [], [3])]);
    return [emitter.emit('Mul', [cubed, emitter.constant('float32', [], [factor])])];
  },
};

function cube(x: Tensor): Tensor {
  return apply(cubeOp, [x], { factor: 2 });
}

it('it is evaluated, differentiated and lowered as one of the package', async () => {
  for (const engine of [referenceEngine(), nodeEngine()]) {
    const compiled = await engine.compile(
      ({ x }: { readonly x: Tensor }) => ({ y: cube(x), ...gradient(sum(cube(x)), { slope: x }) }),
      [{ x: spec('float32', [3]) }],
    );
    const { y, slope } = await compiled.run([{ x: float32([3], [1, -2, 0.5]) }]);
    expect(Array.from(y.data as Float32Array), engine.name).toEqual([2, -16, 0.25]);
    expect(Array.from(slope.data as Float32Array), engine.name).toEqual([6, 24, 1.5]);
    await compiled.dispose();
  }
});

it('one without a rule for its gradient is an error where that is asked for', async () => {
  const plain = { ...cubeOp, differentiate: noGradient };
  const compiled = referenceEngine().compile(
    ({ x }: { readonly x: Tensor }) => gradient(sum(apply(plain, [x], { factor: 1 })), { slope: x }),
    [{ x: spec('float32', [3]) }],
  );
  await expect(compiled).rejects.toMatchObject({ code: 'GRADIENT' });
});
