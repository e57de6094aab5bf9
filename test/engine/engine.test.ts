import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, int32, Random, symbol, zeros } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  add,
  gradient,
  matmul,
  multiply,
  reshape,
  scope,
  size,
  spec,
  sum,
  type Tensor,
  takeRows,
} from '../../src/graph/index.js';
import { values } from '../support/compare.js';

const engines = [referenceEngine(), nodeEngine({ threads: 1 })];
const a = float32([2, 3], [1, 2, 3, 4, 5, 6]);

describe.each(engines.map((engine) => ({ name: engine.name, engine })))('the engine $name', ({ engine }) => {
  it('runs one compiled function for every size of a symbolic dimension', async () => {
    const rows = symbol('rows');
    const executable = await engine.compile(
      ({ x }) => ({ y: reshape(multiply(x, 2), [3, rows]), s: sum(x) }),
      [{ x: spec('float32', [rows, 3]) }],
    );
    expect((await executable.run([{ x: a }])).y.shape).toEqual([3, 2]);
    const { y, s } = await executable.run([{ x: float32([1, 3], [1, 2, 3]) }]);
    expect([values(y), values(s)]).toEqual([[2, 4, 6], [6]]);
    await executable.dispose();
  });

  it('takes arrays in the place of specifications as constants', async () => {
    const executable = await engine.compile(
      (weights, { x }) => add(matmul(x, weights.w), 1),
      [{ w: float32([3, 1], [1, 10, 100]) }, { x: spec('float32', [2, 3]) }],
    );
    expect(values(await executable.run([{ x: a }]))).toEqual([322, 655]);
    // @ts-expect-error: the types leave out what was compiled as a constant.
    await expect(executable.run([{ w: a }, { x: a }])).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(/expected nothing for w, which was compiled as a constant, got an array/),
    });
    await executable.dispose();
  });

  it('takes arguments of which some leaves are constants', async () => {
    const type = spec('float32', [2, 3]);
    const executable = await engine.compile(
      ({ list, weight, x }) => add(multiply(list[0], weight), multiply(list[1], x)),
      [{ list: [float32([], [10]), type], weight: float32([], [3]), x: type }],
    );
    expect(values(await executable.run([{ list: [undefined, a], x: a }]))).toEqual([31, 34, 39, 46, 55, 66]);
    await executable.dispose();
  });

  it('refuses what is no input, and the same input twice', async () => {
    const executable = await engine.compile(({ x }) => multiply(x, 2), [{ x: spec('float32', [2, 3]) }]);
    const run = (...args: unknown[]) => executable.run(args as never);
    await expect(run({ x: a, mask: a })).rejects.toThrow(/expected inputs of the function, got mask/);
    await expect(run({ x: a }, { x: a })).rejects.toThrow(/expected one array for x, got two/);
    await executable.dispose();
  });

  it('refuses arrays that are not what they say, as arguments, buffers, constants and to be placed', async () => {
    const buffer = new ArrayBuffer(24);
    const detached = float32([2, 3], new Float32Array(buffer));
    structuredClone(buffer, { transfer: [buffer] });
    const bad: [tensor: unknown, code: string, message: RegExp][] = [
      [{ ...a, data: new Float32Array(4) }, 'SHAPE', /expected 6 elements for \[2, 3\], got 4/],
      [detached, 'SHAPE', /expected 6 elements for \[2, 3\], got 0\. Its buffer is empty, or was transferred/],
      [{ ...a, data: new Float64Array(6) }, 'DTYPE', /expected Float32Array for float32, got Float64Array/],
      [{ ...a, data: [1, 2, 3, 4, 5, 6] }, 'DTYPE', /expected Float32Array for float32, got object/],
      [{ ...a, dtype: 'float16' }, 'DTYPE', /expected a dtype among float32, .* for float16/],
      [{ ...a, shape: [-2, -3] }, 'SHAPE', /expected sizes from 0 in a shape, got \[-2, -3\]/],
    ];
    const double = ({ x }: { x: Tensor }) => ({ y: multiply(x, 2) });
    const executable = await engine.compile(double, [{ x: spec('float32', [2, 3]) }]);
    for (const [tensor, code, message] of bad) {
      const error = { code, message: expect.stringMatching(message) };
      await expect(executable.run([{ x: tensor as HostTensor }])).rejects.toMatchObject(error);
      await expect(engine.compile(double, [{ x: tensor as HostTensor }])).rejects.toMatchObject(error);
      await expect(engine.place({ x: tensor })).rejects.toMatchObject(error);
      const outputs = { y: tensor as HostTensor };
      await expect(executable.run([{ x: a }], { outputs })).rejects.toMatchObject(error);
    }
    for (const value of [[1, 2, 3], new Float32Array(6), null, 'x', spec('float32', [2, 3])]) {
      await expect(executable.run([{ x: value }] as never)).rejects.toMatchObject({ code: 'DATA' });
    }
    await expect(executable.run(a as never)).rejects.toMatchObject({ code: 'DATA' });
    await executable.dispose();
  });

  it('writes outputs into buffers of the caller, all or some of them', async () => {
    const executable = await engine.compile(
      ({ x }) => ({ y: multiply(x, 2), z: multiply(x, 3) }),
      [{ x: spec('float32', [2, 3]) }],
    );
    const y = zeros('float32', [2, 3]);
    const result = await executable.run([{ x: a }], { outputs: { y } });
    expect(result.y).toBe(y);
    expect(values(y)).toEqual([2, 4, 6, 8, 10, 12]);
    expect(values(result.z)).toEqual([3, 6, 9, 12, 15, 18]);
    await executable.dispose();
  });

  it('refuses buffers of another type than the output', async () => {
    const executable = await engine.compile(({ x }) => ({ y: multiply(x, 2) }), [{ x: spec('float32', [2, 3]) }]);
    const run = executable.run([{ x: a }], { outputs: { y: zeros('float64', [2, 3]) } });
    await expect(run).rejects.toThrow(/expected a buffer for y float32 \[2, 3\], got float64 \[2, 3\]/);
    await executable.dispose();
  });

  it('takes an argument that is one tensor', async () => {
    const executable = await engine.compile((x, { factor }) => multiply(x, factor), [
      spec('float32', [2, 3]),
      { factor: spec('float32', []) },
    ] as const);
    const result = await executable.run([a, { factor: float32([], [3]) }]);
    expect(values(result)).toEqual([3, 6, 9, 12, 15, 18]);
    await expect(
      engine.compile((x, y) => add(x, y), [spec('float32', [2]), spec('float32', [2])] as const),
    ).rejects.toThrow(/got input twice/);
    await executable.dispose();
  });

  it('knows a size beyond what float32 counts', async () => {
    const executable = await engine.compile(
      ({ x }) => add(size(x.dim(0), 'int32'), 0),
      [{ x: spec('bool', [symbol('n')]) }],
    );
    expect(values(await executable.run([{ x: zeros('bool', [2 ** 24 + 1]) }]))).toEqual([2 ** 24 + 1]);
    await executable.dispose();
  });

  it('refuses arrays that do not fit, and names the input', async () => {
    const executable = await engine.compile(
      ({ x, y }) => add(x, y),
      [{ x: spec('float32', [symbol('n'), 3]), y: spec('float32', [symbol('n'), 3]) }],
    );
    const run = (x: unknown, y: unknown) => executable.run([{ x, y }] as never);
    await expect(run(a, undefined)).rejects.toThrow(/expected an array for the input y/);
    await expect(run(a, float32([3], [1, 2, 3]))).rejects.toThrow(
      /expected y to be float32 \[n, 3\], got float32 \[3\]/,
    );
    await expect(run(a, float32([1, 3], [1, 2, 3]))).rejects.toThrow(/expected n = 2 as a dimension of y, got 1/);
    await expect(run(a, zeros('int32', [2, 3]))).rejects.toThrow(/got int32/);
    await executable.dispose();
  });
});

describe('the engine of Node', () => {
  it('refuses options out of range', () => {
    expect(() => nodeEngine({ threads: 1.5 })).toThrow(/expected a positive integer as threads, got 1\.5/);
    expect(() => nodeEngine({ provider: 'tpu' as never })).toThrow(/expected cpu, cuda, webgpu as provider, got tpu/);
  });

  it('shares the session of equal graphs, and closes it when the last user is gone', async () => {
    const engine = nodeEngine({ threads: 1 });
    const compile = () => engine.compile(({ x }) => multiply(x, 2), [{ x: spec('float32', [2, 3]) }]);
    const first = await compile();
    const second = await compile();
    await first.dispose();
    await first.dispose();
    expect(values(await second.run([{ x: a }]))).toEqual([2, 4, 6, 8, 10, 12]);
    await expect(first.run([{ x: a }])).rejects.toThrow(/one disposed of/);
    await second.dispose();
  });

  it('says which op failed and where in the model', async () => {
    const engine = nodeEngine({ threads: 1 });
    const executable = await engine.compile(
      ({ table, rows }) => scope('blocks.1', () => scope('attention', () => takeRows(table, rows))),
      [{ table: spec('float32', [4, 2]), rows: spec('int32', [1]) }],
    );
    const rows = { dtype: 'int32' as const, shape: [1], data: Int32Array.of(9) };
    await expect(executable.run([{ table: zeros('float32', [4, 2]), rows }])).rejects.toThrow(
      /^run: Gather in blocks\.1\.attention: the engine failed: [^\n]+$/,
    );
  });
});

describe('several threads', () => {
  it.each([256, 5000])('add up the rows of a table of %i in one order: equal runs give equal bits', async (rows) => {
    const [count, dim] = [4096, 512];
    const indices = int32(
      [count],
      Int32Array.from(Random.fromSeed(1).bits(count), (word) => (word % rows) % 7),
    );
    const values = float32([count, dim], Random.fromSeed(2).normals(count * dim));
    const executable = await nodeEngine({ threads: 2 }).compile(
      ({ table }, given) => gradient(sum(multiply(takeRows(table, given.indices), given.values)), { table }),
      [
        { table: spec('float32', [rows, dim]) },
        { indices: spec('int32', [count]), values: spec('float32', [count, dim]) },
      ],
    );
    const inputs = [{ table: zeros('float32', [rows, dim]) }, { indices, values }] as const;
    const first = (await executable.run(inputs)).table.data as Float32Array;
    const exact = new Float64Array(rows * dim);
    values.data.forEach((value, at) => {
      exact[indices.data[Math.floor(at / dim)]! * dim + (at % dim)]! += value;
    });
    expect(first.every((value, at) => Math.abs(value - exact[at]!) < 1e-3)).toBe(true);
    for (let run = 0; run < 20; run++) {
      const again = (await executable.run(inputs)).table.data as Float32Array;
      expect(again.every((value, at) => value === first[at])).toBe(true);
    }
    await executable.dispose();
  });
});
