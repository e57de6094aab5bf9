/**
 * What every model must hold, whatever its family, its mixers and its options: the engine gives what the float64 oracle
 * gives, gradients are those of finite differences, padding and the future change nothing, reading on equals reading at
 * once, and a saved model is the same model.
 */
import { expect, it } from 'vitest';
import {
  type AnyHostTensor,
  drawBuffers,
  type HostTensor,
  initialize,
  int32,
  leavesOf,
  mapTree,
  Random,
  type StateSpec,
  symbol,
} from '../../src/base/index.js';
import { shapeAfter } from '../../src/base/layout.js';
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
  modelOf,
  type TrunkState,
} from '../../src/models/index.js';
import { normal } from './cases.js';
import { largestError, values } from './compare.js';
import { familyOptions } from './families.js';

const engine = nodeEngine({ threads: 1 });
const oracle = referenceEngine();

/** A tiny model of a family with random weights; what begins at one value has others beside it, so that all of it counts. */
export function randomModel(family: string, options: object): LoadedModel {
  const sizes = { dim: 12, depth: 2, heads: 2, headDim: 6 };
  const config = modelConfig({ model: family, ...sizes, ...familyOptions[family], ...options });
  const model = modelOf(config, { chunk: 4 });
  const noise = Random.fromSeed(9);
  const params = mapTree<object, HostTensor<'float32'>, object>(
    initialize<object>(model.params, Random.fromSeed(1)),
    (leaf, path) => {
      const own = noise.split(path).normals(leaf.data.length);
      return { ...leaf, data: leaf.data.map((value, at) => value + 0.1 * own[at]!) };
    },
  );
  return { model, params, buffers: drawBuffers<object>(model.buffers, Random.fromSeed(2)) };
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

/** The tests of a model, within a `describe` of its own. */
export function conforms(loaded: LoadedModel, { hasExactGradient = true } = {}): void {
  const { model, params, buffers } = loaded;

  it('gives on the engine what the oracle gives', async () => {
    const rows = [drawn(10, 4), drawn(10, 5)];
    const [fast, slow] = [await outputOf(engine, loaded, rows), await outputOf(oracle, loaded, rows)];
    expect(largestError(fast.output, slow.output)).toBeLessThan(2e-4);
  });

  it.runIf(hasExactGradient)('has the gradient of finite differences in every kind of parameter', async () => {
    const shape = (await outputOf(oracle, loaded, [drawn(6)])).output.shape;
    const given = { tokens: int32([1, 6], drawn(6)), direction: normal('direction', shape) };
    const lossOf = (learned: object, fixed: object, own: { tokens: Tensor<'int32'>; direction: Tensor }) =>
      sum(multiply(model.apply({ params: learned, buffers: fixed }, own).output, own.direction));
    const specs = [specsOf(params), specsOf(buffers), specsOf(given)];
    const gradients = await run(
      oracle,
      (learned: object, fixed: object, own: { tokens: Tensor<'int32'>; direction: Tensor }) =>
        gradient(lossOf(learned, fixed, own), learned),
      specs,
      [params, buffers, given],
    );
    const loss = await oracle.compile(
      ((...all: Parameters<typeof lossOf>) => ({ loss: lossOf(...all) })) as never,
      specs as never,
    );
    const valueAt = async (path: string, at: number, step: number) => {
      const moved = mapTree<object, HostTensor, AnyHostTensor>(params, (leaf, name) => {
        if (name !== path) return leaf;
        const data = Float64Array.from(leaf.data as Float32Array);
        data[at]! += step;
        return { dtype: 'float64', shape: leaf.shape, data };
      });
      const found = (await loss.run([moved, buffers, given] as never)) as never as { loss: HostTensor };
      return values(found.loss)[0]!;
    };
    // Of the first block and of all around the blocks.
    const own = leavesOf(gradients).filter(([path]) => !/^blocks\.[1-9]/.test(path));
    for (const [path, leaf] of own as never as [string, HostTensor][]) {
      const all = values(leaf);
      const at = all.reduce((best, value, index) => (Math.abs(value) > Math.abs(all[best]!) ? index : best), 0);
      const difference = ((await valueAt(path, at, 1e-4)) - (await valueAt(path, at, -1e-4))) / 2e-4;
      expect(Math.abs(all[at]! - difference), path).toBeLessThan(1e-5 * (1 + Math.abs(difference)));
      // Some mixers have no gradient in queries and keys, and exact attention none in the bias of keys.
      if (!/attention\.(query|key)|features/.test(path)) expect(Math.abs(difference), path).toBeGreaterThan(0);
    }
    await loss.dispose();
  });

  it.runIf(isRagged(model))('gives a padded row what it gives the row alone', async () => {
    const rows = [drawn(5, 6), drawn(11, 7)];
    const both = await outputOf(engine, loaded, rows, [5, 11]);
    const alone = await outputOf(engine, loaded, [rows[0]!]);
    const own = values(alone.hidden);
    const difference = own.map((value, at) => Math.abs(value - values(both.hidden)[at]!));
    expect(Math.max(...difference)).toBeLessThan(2e-5);
  });

  it.runIf(model.isCausal)('lets no token see those after it', async () => {
    const tokens = drawn(11, 8);
    const changed = Int32Array.from(tokens, (token, at) => (at < 6 ? token : (token + 1) % 256));
    const [before, after] = [await outputOf(engine, loaded, [tokens]), await outputOf(engine, loaded, [changed])];
    const seen = 6 * before.hidden.shape.at(-1)!;
    const difference = values(before.hidden).map((value, at) => Math.abs(value - values(after.hidden)[at]!));
    expect(Math.max(...difference.slice(0, seen))).toBeLessThan(1e-5);
    expect(Math.max(...difference.slice(seen))).toBeGreaterThan(1e-3);
  });

  it.runIf(model.isCausal)('reads on as it reads at once', async () => {
    const tokens = drawn(13);
    const whole = await outputOf(engine, loaded, [tokens]);
    const states = mapTree<object, StateSpec, object>(model.state(1), (part) =>
      spec(part.dtype, shapeAfter(part, symbol('past'))),
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
}
