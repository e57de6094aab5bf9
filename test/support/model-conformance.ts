/**
 * What every model must hold, whatever its family, its mixers and its options: the engine gives what the float64 oracle
 * gives, gradients are those of finite differences, padding and the future change nothing, reading on equals reading at
 * once, and a saved model is the same model.
 */
import { afterAll, expect, it } from 'vitest';
import {
  type AnyHostTensor,
  drawBuffers,
  elementCount,
  float32,
  type HostTensor,
  hostTensor,
  initialize,
  int32,
  leavesOf,
  mapTree,
  Random,
} from '../../src/base/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gradient, multiply, specsOf, sum, type Tensor, type TensorSpec } from '../../src/graph/index.js';
import {
  decodeModel,
  encodeModel,
  initialState,
  type LoadedModel,
  type ModelInputs,
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

type Inputs = ModelInputs<HostTensor<'int32'>, HostTensor>;
type GivenInputs = ModelInputs;

/** Random inputs of every kind that the model reads, of rows that are all real. */
function drawn({ model }: LoadedModel, batch: number, length: number, seed = 3): Inputs {
  const { lengths: _, sourceLengths: __, ...specs } = model.inputs(batch, length);
  return mapTree<object, TensorSpec<'int32' | 'float32'>, object>(specs, ({ dtype, shape }, path) => {
    const random = Random.fromSeed(seed);
    const words = (path === 'tokens' ? random : random.split(path)).bits(elementCount(shape as readonly number[]));
    if (dtype === 'int32')
      return int32(
        shape as number[],
        Int32Array.from(words, (word) => word % 256),
      );
    return float32(
      shape as number[],
      Float32Array.from(words, (word) => word / 2 ** 32),
    );
  }) as Inputs;
}

/** Some rows, and a part of their length. */
function partOf(inputs: Inputs, rows: number, start: number, end: number): Inputs {
  return mapTree<object, AnyHostTensor, AnyHostTensor>(inputs, ({ dtype, shape, data }) => {
    const [, length, ...rest] = shape as [number, number, ...number[]];
    const size = rest.reduce((a, b) => a * b, 1);
    const own = Array.from({ length: rows }, (_, row) =>
      Array.from((data as Float32Array).subarray((row * length + start) * size, (row * length + end) * size)),
    ).flat();
    return hostTensor(
      dtype,
      [rows, end - start, ...rest],
      (data.constructor as typeof Float32Array).from(own) as never,
    );
  }) as Inputs;
}

/** The inputs with NaN for the embeddings of the first row from a place on. */
function withoutNumbers(inputs: Inputs, from: number): Inputs {
  const { embeddings } = inputs;
  if (embeddings === undefined) return inputs;
  const [, length, size] = embeddings.shape as [number, number, number];
  const data = embeddings.data.map((value, at) => (at >= from * size && at < length * size ? Number.NaN : value));
  return { ...inputs, embeddings: { ...embeddings, data } };
}

interface Runner {
  /** Runs what is built of specs like these; what was compiled before is run again. */
  run<R>(build: (...all: never[]) => R, given: readonly object[]): Promise<{ readonly [K in keyof R]: HostTensor }>;
  dispose(): Promise<void>;
}

type Compiled = Promise<{ run(given: never): Promise<unknown>; dispose(): Promise<void> }>;

function runnerOf(on: Engine): Runner {
  const compiled = new Map<unknown, Map<string, Compiled>>();
  return {
    async run(build, given) {
      const specs = given.map(specsOf as (tree: object) => object);
      const own = compiled.get(build) ?? new Map<string, Compiled>();
      compiled.set(build, own);
      const key = JSON.stringify(specs);
      const executable = own.get(key) ?? (on.compile(build as never, specs as never) as Compiled);
      own.set(key, executable);
      return (await (await executable).run(given as never)) as never;
    },
    async dispose() {
      for (const own of compiled.values()) for (const executable of own.values()) await (await executable).dispose();
    },
  };
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, value, at) => sum + value * b[at]!, 0);
}

/** A random direction of each parameter; the larger its gradient, the shorter. */
function directionsOf(gradients: readonly (readonly [path: string, leaf: HostTensor])[]): Map<string, Float64Array> {
  const norms = gradients.map(([, leaf]) => Math.sqrt(dot(values(leaf), values(leaf))));
  const least = 0.01 * Math.max(...norms);
  const random = Random.fromSeed(12);
  return new Map(
    gradients.map(([path, { data }], at) => [
      path,
      random
        .split(path)
        .normals(data.length)
        .map((value) => value / (norms[at]! + least)),
    ]),
  );
}

/** How many tokens of a text stay as they are where those after them are changed. */
const seenTokens = 6;

/** The tests of a model, within a `describe` of its own. */
export function conforms(loaded: LoadedModel, { hasExactGradient = true } = {}): void {
  const { model, params, buffers } = loaded;
  const [fast, slow] = [runnerOf(engine), runnerOf(oracle)];
  afterAll(async () => {
    await fast.dispose();
    await slow.dispose();
  });
  const apply = (learned: object, fixed: object, given: GivenInputs) => {
    const { output, hidden } = model.apply({ params: learned, buffers: fixed }, given);
    return { output, hidden };
  };
  /** What the model makes of inputs. */
  const outputOf = (on: Runner, inputs: Inputs, weights: Pick<LoadedModel, 'params' | 'buffers'> = loaded) =>
    on.run(apply, [weights.params, weights.buffers, inputs]);
  const whole = drawn(loaded, 2, 13);

  it('gives on the engine what the oracle gives', async () => {
    const [found, exact] = [await outputOf(fast, whole), await outputOf(slow, whole)];
    expect(largestError(found.output, exact.output)).toBeLessThan(2e-4);
  });

  it.runIf(hasExactGradient)(
    'has, on the oracle, the gradient of finite differences in every kind of parameter',
    async () => {
      const inputs = drawn(loaded, 1, 6);
      const shape = (await outputOf(slow, inputs)).output.shape;
      const given = { inputs, direction: normal('direction', shape) };
      const lossOf = (learned: object, fixed: object, own: { inputs: GivenInputs; direction: Tensor }) =>
        sum(multiply(apply(learned, fixed, own.inputs).output, own.direction));
      const gradients = await slow.run(
        (learned: object, fixed: object, own: { inputs: GivenInputs; direction: Tensor }) =>
          gradient(lossOf(learned, fixed, own), learned),
        [params, buffers, given],
      );
      const loss = (...all: Parameters<typeof lossOf>) => ({ loss: lossOf(...all) });
      const lossAt = async (move: (data: Float64Array, path: string) => void) => {
        const moved = mapTree<object, HostTensor, AnyHostTensor>(params, ({ shape, data: given }, path) => {
          const data = Float64Array.from(given);
          move(data, path);
          return { dtype: 'float64', shape, data };
        });
        return values((await slow.run(loss, [moved, buffers, given])).loss)[0]!;
      };
      const slopeOver = async (move: (data: Float64Array, path: string, step: number) => void, step: number) => {
        const [after, before] = [step, -step].map((own) => lossAt((data, path) => move(data, path, own)));
        return ((await after!) - (await before!)) / (2 * step);
      };
      // Some mixers have no gradient in queries and keys, and exact attention none in the bias of keys; no attention sees no source,
      // and a window what stands before it.
      const kinds = JSON.stringify(model.config.attention);
      let hasNone = /attention\.(query|key)|features/i;
      if (kinds.includes('"kind":"none"')) hasNone = /attention\.(query|key)|^encoder|cross/i;
      if (kinds.includes('"kind":"window"')) hasNone = /attention\.(query|key)|^memory/i;
      const all = leavesOf(gradients) as never as [string, HostTensor][];
      // Of the first block and of all around the blocks.
      const own = all.filter(([path]) => !/^(encoder\.)?blocks\.[1-9]/.test(path));
      for (const [path, leaf] of own) {
        if (!hasNone.test(path)) expect(Math.max(...values(leaf).map(Math.abs)), path).toBeGreaterThan(0);
      }
      // All parameters at once in a random direction, which each of them gives a part of about the same size.
      const directions = directionsOf(all);
      const parts = all.map(([path, leaf]) => dot(values(leaf), directions.get(path)!));
      const total = parts.reduce((sum, part) => sum + part, 0);
      const alongAll = await slopeOver((data, path, step) => {
        for (const [at, each] of directions.get(path)!.entries()) data[at]! += step * each;
      }, 1e-5);
      if (Math.abs(total - alongAll) < 1e-6 * parts.reduce((sum, part) => sum + Math.abs(part), 0)) return;
      // Where the loss bends, the largest of each kind by itself.
      for (const [path, leaf] of own) {
        const found = values(leaf);
        const largest = found.reduce((best, value, at) => (Math.abs(value) > Math.abs(found[best]!) ? at : best), 0);
        const move = (data: Float64Array, name: string, step: number) => {
          if (name === path) data[largest]! += step;
        };
        const errorOf = (slope: number) => Math.abs(found[largest]! - slope) / (1 + Math.abs(slope));
        const error = errorOf(await slopeOver(move, 1e-4));
        expect(error < 1e-5 ? error : errorOf(await slopeOver(move, 1e-5)), path).toBeLessThan(1e-5);
      }
    },
  );

  const { lengths, sourceLengths } = model.inputs(1, 1);

  it.runIf(lengths ?? sourceLengths)('gives a padded row what it gives the row alone', async () => {
    const inputs = drawn(loaded, 2, 11, 6);
    const counts = int32([2], [5, 11]);
    const ragged = {
      ...inputs,
      ...(lengths && { lengths: counts }),
      ...(sourceLengths && { sourceLengths: counts }),
    };
    const both = await outputOf(fast, lengths ? withoutNumbers(ragged, 5) : ragged);
    const alone = await outputOf(fast, partOf(inputs, 1, 0, 5));
    for (const name of ['hidden', 'output'] as const) {
      const [own, beside] = [values(alone[name]), values(both[name])];
      const difference = own.map((value, at) => Math.abs(value - beside[at]!));
      expect(Math.max(...difference), name).toBeLessThan(1e-5 * (1 + Math.max(...own.map(Math.abs))));
    }
  });

  it.runIf(model.isCausal)('lets no token see those after it', async () => {
    const { tokens, embeddings } = whole;
    const isSeen = (at: number, { shape: [, length, size = 1] }: AnyHostTensor) =>
      at % (length! * size) < seenTokens * size;
    const changed = {
      ...whole,
      ...(tokens && {
        tokens: { ...tokens, data: tokens.data.map((token, at) => (isSeen(at, tokens) ? token : (token + 1) % 256)) },
      }),
      ...(embeddings && {
        embeddings: {
          ...embeddings,
          data: embeddings.data.map((value, at) => (isSeen(at, embeddings) ? value : 1 - value)),
        },
      }),
    };
    const [before, after] = [(await outputOf(fast, whole)).hidden, (await outputOf(fast, changed)).hidden];
    const difference = values(before).map((value, at) => Math.abs(value - values(after)[at]!));
    expect(Math.max(...difference.filter((_, at) => isSeen(at, before)))).toBeLessThan(1e-5);
    expect(Math.max(...difference.filter((_, at) => !isSeen(at, before)))).toBeGreaterThan(1e-3);
  });

  it.runIf(model.isCausal)('reads on as it reads at once', async () => {
    const { output } = await outputOf(fast, whole);
    const readOn = (learned: object, fixed: object, { state }: { state: TrunkState }, given: GivenInputs) => {
      const result = model.apply({ params: learned, buffers: fixed }, given, { state });
      return { output: result.output, state: result.state };
    };
    const { source, ...read } = whole;
    let state: object = initialState(model, 2);
    if (source !== undefined) {
      const readSource = (learned: object, fixed: object, before: { state: TrunkState }, given: GivenInputs) =>
        model.readSource!({ params: learned, buffers: fixed }, given, before.state);
      state = await fast.run(readSource, [params, buffers, { state }, { source }]);
    }
    const rest = values(output).length / 26; // of a token
    for (const [start, end] of [
      [0, 6],
      [6, 7],
      [7, 13],
    ] as const) {
      const given = partOf(read, 2, start, end);
      const result = await fast.run(readOn, [params, buffers, { state }, given]);
      const beside = values(output).filter((_, at) => {
        const token = Math.floor(at / rest) % 13;
        return token >= start && token < end;
      });
      const difference = values(result.output).map((value, at) => Math.abs(value - beside[at]!));
      expect(Math.max(...difference)).toBeLessThan(2e-4);
      state = result.state;
    }
  });

  it('is the same model after it was saved and loaded', async () => {
    const decoded = decodeModel(encodeModel(loaded));
    expect(decoded.model.config).toEqual(model.config); // so that it is the same function of its weights
    const [again, before] = [await outputOf(fast, whole, decoded), await outputOf(fast, whole)];
    expect(values(again.output)).toEqual(values(before.output));
  });
}
