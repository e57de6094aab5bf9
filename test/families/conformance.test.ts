/**
 * Every family of models with every kind of mixer: the engine gives what the float64 oracle gives, gradients are those of
 * finite differences, padding changes nothing, reading on equals reading at once, and a saved model is the same model.
 */
import { describe, expect, it } from 'vitest';
import {
  type AnyHostTensor,
  drawBuffers,
  type HostTensor,
  initialize,
  int32,
  leavesOf,
  mapTree,
  Random,
  symbol,
} from '../../src/base/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gradient, multiply, spec, specsOf, sum, type Tensor } from '../../src/graph/index.js';
import {
  decodeModel,
  encodeModel,
  initialState,
  isRagged,
  type LoadedModel,
  modelConfig,
  modelNames,
  modelOf,
  type TrunkState,
} from '../../src/models/index.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';
import { familyOptions } from '../support/families.js';

const engine = nodeEngine({ threads: 1 });
const oracle = referenceEngine();

const mixers = {
  'FAVOR+': { features: { featureCount: 8 } },
  'FAVOR+ with signed features': { features: { name: 'trigonometric', featureCount: 8 } },
  'FAVOR+ with learned features': { features: 'hedgehog' },
  'exact attention': 'softmax',
  'no attention': 'none',
} as const;

const cases = modelNames().flatMap((family) =>
  Object.entries(mixers).map(([mixer, attention]) => ({ family, mixer, attention })),
);

function randomModel(family: string, attention: unknown): LoadedModel {
  const sizes = { dim: 12, depth: 2, heads: 2, headDim: 6 };
  const model = modelOf(modelConfig({ model: family, ...sizes, ...familyOptions[family], attention }), { chunk: 4 });
  const [params, buffers] = [
    initialize<object>(model.params, Random.fromSeed(1)),
    drawBuffers<object>(model.buffers, Random.fromSeed(2)),
  ];
  return { model, params, buffers };
}

const drawn = (count: number, seed = 3) => Int32Array.from(Random.fromSeed(seed).bits(count), (word) => word % 256);

async function run<R>(on: Engine, build: (...all: never[]) => R, specs: readonly object[], given: readonly object[]) {
  const executable = await on.compile(build as never, specs as never);
  try {
    return (await executable.run(given as never)) as never as { readonly [K in keyof R]: HostTensor };
  } finally {
    await executable.dispose();
  }
}

/** The output of tokens [batch, length], of which each row has as many as `lengths` says. */
function outputOf(
  on: Engine,
  { model, params, buffers }: LoadedModel,
  rows: readonly Int32Array[],
  lengths?: number[],
) {
  const longest = Math.max(...rows.map(({ length }) => length));
  const tokens = new Int32Array(rows.length * longest).fill(99);
  rows.forEach((row, at) => tokens.set(row, at * longest));
  const inputs = {
    tokens: int32([rows.length, longest], tokens),
    ...(lengths === undefined ? {} : { lengths: int32([rows.length], lengths) }),
  };
  return run(
    on,
    (learned: object, fixed: object, given: { tokens: Tensor<'int32'>; lengths?: Tensor<'int32'> }) => {
      const { output, hidden } = model.apply({ params: learned, buffers: fixed }, given);
      return { output, hidden };
    },
    [specsOf(params), specsOf(buffers), specsOf(inputs)],
    [params, buffers, inputs],
  );
}

describe.each(cases)('$family with $mixer', ({ family, attention }) => {
  const loaded = randomModel(family, attention);
  const { model, params, buffers } = loaded;

  it('gives on the engine what the oracle gives', async () => {
    const rows = [drawn(10, 4), drawn(10, 5)];
    const [fast, slow] = [await outputOf(engine, loaded, rows), await outputOf(oracle, loaded, rows)];
    expect(largestError(fast.output, slow.output)).toBeLessThan(2e-4);
  });

  it('has the gradient of finite differences', async () => {
    const tokens = int32([1, 6], drawn(6));
    const inputs = { tokens };
    const shape = (await outputOf(oracle, loaded, [drawn(6)])).output.shape;
    const direction = normal('direction', shape);
    const scalarOf = (learned: object, fixed: object, given: { tokens: Tensor<'int32'>; direction: Tensor }) => {
      const { output } = model.apply({ params: learned, buffers: fixed }, given);
      return sum(multiply(output, given.direction));
    };
    const given = { ...inputs, direction };
    const all = await run(
      oracle,
      (learned: object, fixed: object, own: { tokens: Tensor<'int32'>; direction: Tensor }) => ({
        loss: scalarOf(learned, fixed, own),
        ...({ gradients: gradient(scalarOf(learned, fixed, own), learned) } as object),
      }),
      [specsOf(params), specsOf(buffers), specsOf(given)],
      [params, buffers, given],
    );
    const gradients = new Map(leavesOf((all as never as { gradients: object }).gradients) as [string, HostTensor][]);
    const valueAt = async (path: string, at: number, step: number) => {
      const moved = mapTree<object, HostTensor, AnyHostTensor>(params, (leaf, name) => {
        if (name !== path) return leaf;
        const data = Float64Array.from(leaf.data as Float32Array);
        data[at]! += step;
        return { dtype: 'float64', shape: leaf.shape, data };
      });
      const { loss: value } = await run(
        oracle,
        (learned: object, fixed: object, own: { tokens: Tensor<'int32'>; direction: Tensor }) => ({
          loss: scalarOf(learned, fixed, own),
        }),
        [specsOf(params), specsOf(buffers), specsOf(given)],
        [moved, buffers, given],
      );
      return values(value)[0]!;
    };
    for (const path of ['blocks.0.attention.value.weight', 'blocks.1.attention.output.weight', 'norm.weight']) {
      const own = values(gradients.get(path)!);
      const at = own.findIndex((value) => value !== 0);
      const difference = ((await valueAt(path, at, 1e-4)) - (await valueAt(path, at, -1e-4))) / 2e-4;
      expect(Math.abs(own[at]! - difference), path).toBeLessThan(1e-5 * (1 + Math.abs(difference)));
    }
  });

  it.runIf(isRagged(model))('gives a padded row what it gives the row alone', async () => {
    const rows = [drawn(5, 6), drawn(11, 7)];
    const both = await outputOf(engine, loaded, rows, [5, 11]);
    const alone = await outputOf(engine, loaded, [rows[0]!]);
    const own = values(alone.hidden);
    const difference = own.map((value, at) => Math.abs(value - values(both.hidden)[at]!));
    expect(Math.max(...difference)).toBeLessThan(2e-5);
  });

  it.runIf(model.isCausal)('reads on as it reads at once', async () => {
    const tokens = drawn(13);
    const whole = await outputOf(engine, loaded, [tokens]);
    const states = mapTree<object, { dtype: HostTensor['dtype']; shape: readonly number[]; growing?: number }, object>(
      model.state(1) as never,
      ({ dtype, shape, growing }) =>
        spec(
          dtype,
          growing === undefined ? shape : shape.map((size, axis) => (axis === growing ? symbol('past') : size)),
        ),
    );
    const build = (
      learned: object,
      fixed: object,
      { state }: { state: TrunkState },
      given: { tokens: Tensor<'int32'> },
    ) => {
      const result = model.apply({ params: learned, buffers: fixed }, given, { state });
      return { output: result.output, state: result.state };
    };
    const reader = await engine.compile(
      build as never,
      [specsOf(params), specsOf(buffers), { state: states }, { tokens: spec('int32', [1, symbol('length')]) }] as never,
    );
    let state: object = initialState(model, 1);
    const outputs: number[] = [];
    for (const [start, end] of [
      [0, 6],
      [6, 7],
      [7, 13],
    ] as const) {
      const given = { tokens: int32([1, end - start], tokens.slice(start, end)) };
      const result = (await reader.run([params, buffers, { state }, given] as never)) as never as {
        output: HostTensor;
        state: object;
      };
      outputs.push(...values(result.output));
      state = result.state;
    }
    await reader.dispose();
    const difference = values(whole.output).map((value, at) => Math.abs(value - outputs[at]!));
    expect(Math.max(...difference)).toBeLessThan(2e-4);
  });

  it('is the same model after it was saved and loaded', async () => {
    const decoded = decodeModel(encodeModel(loaded));
    expect(decoded.model.config).toEqual(model.config);
    const again = { ...decoded, model: modelOf(decoded.model.config, { chunk: 4 }) };
    const rows = [drawn(9)];
    expect(values((await outputOf(engine, again, rows)).output)).toEqual(
      values((await outputOf(engine, loaded, rows)).output),
    );
  });
});
