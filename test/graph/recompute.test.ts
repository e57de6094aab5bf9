import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { float32, uint32 } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

interface Inputs {
  readonly activations: { readonly x: Tensor; readonly key: Tensor<'uint32'> };
  readonly params: { readonly w: Tensor; readonly b: Tensor };
}

/** exp(−(xW + b)²)·(1 + key), and a second result. */
function layer({ activations: { x, key }, params: { w, b } }: Inputs) {
  const hidden = g.exp(g.negate(g.square(g.add(g.matmul(x, w), b))));
  return { output: g.multiply(hidden, g.add(g.cast(key, 'float32'), 1)), squares: g.sum(g.square(hidden)) };
}

const plainly = <R>(inputs: Inputs, build: (inputs: Inputs) => R): R => build(inputs);
type Way = typeof plainly;

/** Two layers, a loss of both results, and its gradient. */
type Keyed = Readonly<Record<'x' | 'w' | 'b', Tensor>> & { readonly key: Tensor<'uint32'> };

function lossOf(way: Way, { x, w, b, key }: Keyed) {
  const first = way({ activations: { x, key }, params: { w, b } }, layer);
  const second = way({ activations: { x: first.output, key }, params: { w, b } }, layer);
  return g.add(g.sum(g.square(second.output)), g.multiply(first.squares, 0.5));
}

const arrays = {
  x: normal('x', [6, 4]),
  w: normal('w', [4, 4]),
  b: normal('b', [4]),
  key: uint32([], [2]),
};
const specs = {
  x: g.spec('float32', [6, 4]),
  w: g.spec('float32', [4, 4]),
  b: g.spec('float32', [4]),
  key: g.spec('uint32', []),
};

function gradientWith(way: Way) {
  return ({ x, w, b, key }: Keyed) => {
    const loss = lossOf(way, { x, w, b, key });
    return { loss, gradients: g.gradient(loss, { x, w, b }) };
  };
}

/** How often the native engine runs an op in `build`, by its own profile, after its optimisations. */
async function countRuns(op: string, build: ReturnType<typeof gradientWith>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'profile-'));
  try {
    const executable = await nodeEngine({ threads: 1, profilePrefix: join(folder, 'run') }).compile(build, [specs]);
    await executable.run([arrays]);
    await executable.dispose();
    const [file] = readdirSync(folder);
    const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as {
      name: string;
      args?: { op_name?: string };
    }[];
    return events.filter(({ name, args }) => args?.op_name === op && name.endsWith('_kernel_time')).length;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the engine would do with a second computation that waits for nothing. */
const withoutWaiting: Way = (inputs, build) => {
  const result = build(inputs);
  const { x, key } = inputs.activations;
  const { w, b } = inputs.params;
  const given = [x, w, b];
  const [output] = g.withGradient(given, [(result as { output: Tensor }).output], ([own]) =>
    g.pullback([[(build({ activations: { x, key }, params: { w, b } }) as { output: Tensor }).output, own!]], given),
  );
  return { ...result, output: output! };
};

describe('recomputation', () => {
  it('changes no gradient, of activations, of shared parameters and through the rest of the result', async () => {
    const plain = await (await referenceEngine().compile(gradientWith(plainly), [specs])).run([arrays]);
    for (const way of [g.recomputed as Way, withoutWaiting]) {
      const again = await (await referenceEngine().compile(gradientWith(way), [specs])).run([arrays]);
      for (const name of ['x', 'w', 'b'] as const) {
        expect(largestError(again.gradients[name], plain.gradients[name]), name).toBeLessThan(1e-14);
      }
      expect(values(again.loss)).toEqual(values(plain.loss));
    }
  });

  it('computes again what the engine would have merged without the waiting', async () => {
    expect(await countRuns('Exp', gradientWith(plainly))).toBe(2);
    expect(await countRuns('Exp', gradientWith(withoutWaiting))).toBe(2);
    expect(await countRuns('Exp', gradientWith(g.recomputed as Way))).toBe(4);
  });

  it('waits for a gradient that is not finite without becoming so', async () => {
    const build = ({ x, given }: { x: Tensor; given: Tensor }) => {
      const { output } = g.recomputed({ activations: { x }, params: {} }, ({ activations }) => {
        const seen = g.add(activations.x, 0);
        const [result] = g.withGradient([seen], [seen], () => [seen]);
        return { output: result! };
      });
      return g.pullback([[output, given]], [x])[0]!;
    };
    const vector = g.spec('float32', [3]);
    for (const engine of [referenceEngine(), nodeEngine({ threads: 1 })]) {
      const executable = await engine.compile(build, [{ x: vector, given: vector }]);
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const result = await executable.run([{ x: float32([3], [1, -2, 3]), given: float32([3], [bad, 0, 0]) }]);
        expect(values(result)).toEqual([1, -2, 3]);
      }
      await executable.dispose();
    }
  });

  it('can be differentiated again', async () => {
    const second = (way: Way) => (inputs: Keyed) => {
      const { x } = g.gradient(lossOf(way, inputs), { x: inputs.x });
      return g.gradient(g.sum(g.square(x)), { x: inputs.x });
    };
    const plain = await (await referenceEngine().compile(second(plainly), [specs])).run([arrays]);
    const again = await (await referenceEngine().compile(second(g.recomputed as Way), [specs])).run([arrays]);
    expect(largestError(again.x, plain.x)).toBeLessThan(1e-13);
  });

  it('prints as the function, and the function again from inputs that wait', () => {
    const { graph } = g.trace(
      ({ x, w }) => {
        const { output } = g.scope('layer', () =>
          g.recomputed({ activations: { x }, params: { w } }, ({ activations, params }) => ({
            output: g.exp(g.matmul(activations.x, params.w)),
          })),
        );
        return g.gradient(g.sum(output), { w });
      },
      [{ x: specs.x, w: specs.w }],
    );
    expect(g.printGraph({ w: graph.outputs[0]!.tensor })).toMatchSnapshot();
  });
});

describe('pullback', () => {
  const apply = async (build: (x: Tensor) => Tensor | undefined) => {
    const executable = await referenceEngine().compile(
      ({ x }: { x: Tensor }) => build(x) ?? g.scalar(-1),
      [{ x: g.spec('float32', [3]) }],
    );
    return values(await executable.run([{ x: float32([3], [1, -2, 3]) }]));
  };
  it('carries a gradient of any shape back', async () => {
    expect(await apply((x) => g.pullback([[g.square(x), g.add(x, 1)]], [x])[0])).toEqual([4, 4, 24]);
  });
  it('takes its inputs as independent, and walks no further', async () => {
    const inner = (x: Tensor) => {
      const y = g.multiply(x, 3);
      return g.pullback([[g.multiply(x, y), g.constant('float32', [3], [1, 1, 1])]], [y, x]);
    };
    expect(await apply((x) => g.add(inner(x)[0]!, g.multiply(inner(x)[1]!, 10)))).toEqual([31, -62, 93]);
  });
  it('is nothing for an input that does not matter', async () => {
    expect(await apply((x) => g.pullback([[g.square(x), x]], [g.exp(x)])[0])).toEqual([-1]);
  });
});
