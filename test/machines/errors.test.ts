import { describe, expect, test } from 'vitest';
import { float32, type HostTensor, hostTensor, int32 } from '../../src/base/array.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  arraySamples,
  type FitOptions,
  fitKernelMachine,
  MachinePredictor,
  type SampleBatch,
} from '../../src/machines/index.js';
import { curve, rings } from './data.js';

const engine = nodeEngine({ threads: 1 });
const train = curve(60);

const fitted = ({ inputs, targets }: SampleBatch, options: unknown = { featureCount: 8 }) =>
  fitKernelMachine(engine, arraySamples(inputs, targets), options as FitOptions);

/** The array with one element changed. */
function withValue<T extends SampleBatch['inputs']>(tensor: T, at: number, value: number): T {
  const data = tensor.data.slice();
  data[at] = value;
  return { ...tensor, data };
}

describe('options that do not fit are told by name', () => {
  test.each<[string, unknown, RegExp]>([
    ['no features', { featureCount: 0 }, /featureCount: .*>=1/],
    ['too many', { featureCount: 9000 }, /featureCount: .*<=8192/],
    ['an odd number of sines and cosines', { featureCount: 7 }, /featureCount: .*multiple of 2/],
    ['an unknown option', { features: 8 }, /"features"/],
    ['an unknown kernel', { kernel: 'gauss' }, /kernel: /],
    ['a map of another kernel', { kernel: 'polynomial', map: 'positive' }, /map: the polynomial kernel has polynomial/],
    ['a generalized kernel without a map', { kernel: 'generalized' }, /map: .*name it/],
    ['a gamma of zero', { gamma: 0 }, /gamma: /],
    ['gamma for another kernel', { kernel: 'softmax', gamma: 1 }, /gamma: only the gaussian/],
    [
      'an offset that float32 does not hold',
      { kernel: 'polynomial', offset: 1e39 },
      /offset: at most [\d.e+]+, got 1e\+39/,
    ],
    ['a batch of too many numbers', { batch: 2 ** 20, featureCount: 8192 }, /batch: at most 32768 rows.* not 1048576/],
    ['a batch of more rows than there may be', { batch: 2 ** 21 }, /batch: .*<=1048576/],
    ['a degree for another kernel', { degree: 3 }, /degree: only polynomial/],
    ['a lambda of zero', { lambda: 0 }, /lambda: /],
    ['nothing to choose lambda with', { heldOut: 0 }, /lambda: neither/],
    ['all rows held out', { heldOut: 1 }, /heldOut: /],
    [
      'a projection that needs a power of two',
      { projectionKind: 'structured', featureCount: 8 },
      /projectionKind: .*power/,
    ],
    [
      'a count that the columns decide',
      { kernel: 'taylor', featureCount: 8 },
      /featureCount: taylor features of dim 3 are 10/,
    ],
  ])('%s', async (_, options, message) => {
    await expect(fitted(train, options)).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(message),
    });
  });
});

describe('data that does not fit is told by row and column', () => {
  const { inputs, targets } = train as { inputs: HostTensor<'float64'>; targets: HostTensor<'float64'> };
  const classes = rings(60);
  const classification = { task: 'classification', featureCount: 8 };

  test.each<[string, SampleBatch, unknown, string, RegExp]>([
    [
      'NaN',
      { inputs: withValue(inputs, 7, Number.NaN), targets },
      {},
      'DATA',
      /finite inputs, got NaN in row 2, column 1/,
    ],
    [
      'an infinity',
      { inputs, targets: withValue(targets, 3, 1 / 0) },
      {},
      'DATA',
      /finite targets, got Infinity in row 1/,
    ],
    ['a column too large', { inputs: withValue(inputs, 4, 1e300), targets }, {}, 'DATA', /variance.*column 1/],
    [
      'a target too large for float32 weights',
      {
        inputs,
        targets: hostTensor(
          'float64',
          [60, 2],
          targets.data.map((value, at) => value * (at % 2 ? 1e40 : 1)),
        ),
      },
      {},
      'DATA',
      /targets with a standard deviation from .* in column 1/,
    ],
    [
      'a value that float32 does not hold, as it is',
      { inputs: withValue(inputs, 4, 1e40), targets },
      { standardize: false, kernel: 'linear', featureCount: undefined },
      'DATA',
      /inputs that float32 can hold, got 1e\+40 in row 1, column 1/,
    ],
    [
      'values whose features float32 does not hold',
      { inputs: withValue(inputs, 3, 1e25), targets },
      { standardize: false, kernel: 'polynomial' },
      'NUMERIC',
      /features that float32 can hold, got larger ones in rows \d+ to \d+/,
    ],
    ['fewer targets', { inputs, targets: curve(59).targets }, {}, 'SHAPE', /targets \[60, .*got \[59, 2\]/],
    [
      'no matrix',
      { inputs: hostTensor('float64', [180], inputs.data), targets },
      {},
      'SHAPE',
      /\[rows, dim\], got \[180\]/,
    ],
    ['no columns', { inputs: float32([60, 0], []), targets }, {}, 'DATA', /at least one input column/],
    ['no targets', { inputs, targets: float32([60, 0], []) }, {}, 'DATA', /at least one target column/],
    ['one row', curve(1), {}, 'DATA', /at least two rows, got 1/],
    ['too few to hold out', curve(2), { heldOut: 0.01 }, 'DATA', /to hold out, got 2 and 0 of 2/],
    ['classes in a regression', classes, {}, 'DTYPE', /expected targets in float32/],
    ['values as classes', train, classification, 'DTYPE', /expected classes in int32, got float64/],
    [
      'a class below zero',
      { ...classes, targets: int32([60], new Int32Array(60).fill(-1)) },
      classification,
      'DATA',
      /classes from 0/,
    ],
    [
      'one class',
      { ...classes, targets: int32([60], new Int32Array(60)) },
      classification,
      'DATA',
      /two classes or more/,
    ],
    [
      'equal rows',
      { inputs: float32([60, 1], new Float32Array(60)), targets },
      {},
      'DATA',
      /rows that differ.*Give gamma/,
    ],
  ])('%s', async (_, batch, options, code, message) => {
    const given = { featureCount: 8, ...(options as object) };
    await expect(fitted(batch, given)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('a column that changes its number between batches', async () => {
    const samples = {
      async *[Symbol.asyncIterator]() {
        yield { inputs: float32([2, 2], [1, 2, 3, 4]), targets: float32([2, 1], [1, 2]) };
        yield { inputs: float32([1, 3], [1, 2, 3]), targets: float32([1, 1], [1]) };
      },
    };
    await expect(fitKernelMachine(engine, samples, {})).rejects.toThrow(/inputs \[rows, 2\], got \[1, 3\]/);
  });

  test('an iterable that can be read but once', async () => {
    const once = (async function* () {
      yield train;
    })();
    await expect(fitKernelMachine(engine, once, { featureCount: 8 })).rejects.toThrow(
      /the same 60 rows in each pass, got 0.*begins anew/,
    );
  });

  test.each([
    [2, 59],
    [2, 61],
    [3, 59],
    [3, 61],
  ])('rows that in pass %i are %i and not 60', async (changed, rows) => {
    let pass = 0;
    const samples = {
      async *[Symbol.asyncIterator]() {
        yield curve(++pass === changed ? rows : 60);
      },
    };
    await expect(fitKernelMachine(engine, samples, { featureCount: 8 })).rejects.toThrow(
      rows < 60 ? /the same 60 rows in each pass, got 59 in a later one/ : /the same 60 rows in each pass, got more/,
    );
    expect(pass).toBe(changed);
  });

  test('rows to predict that have another shape, or a value that is none', async () => {
    const { machine } = await fitted(train);
    const predictor = await MachinePredictor.create(engine, machine);
    await expect(predictor.predict(float32([1, 2], [1, 2]))).rejects.toThrow(/inputs \[rows, 3\], got \[1, 2\]/);
    await expect(predictor.predict(float32([1, 3], [1, Number.NaN, 2]), 5)).rejects.toThrow(/NaN in row 5, column 1/);
  });

  test('a row so far away that its prediction has no value', async () => {
    const { machine } = await fitted(train, { kernel: 'polynomial', featureCount: 8 });
    const predictor = await MachinePredictor.create(engine, machine);
    await expect(predictor.predict(hostTensor('float64', [1, 3], Float64Array.of(1e30, 0, 0)))).rejects.toMatchObject({
      code: 'NUMERIC',
      message: expect.stringMatching(/finite predictions.*for row 0/),
    });
  });

  test('a constant column says nothing and does no harm', async () => {
    const constant = hostTensor(
      'float64',
      [60, 3],
      inputs.data.map((value, at) => (at % 3 === 1 ? 0.1 : value)),
    );
    const { machine } = await fitted({ inputs: constant, targets });
    expect(machine.tensors.scale.data[1]).toBe(0);
    expect(machine.tensors.weight.data.every(Number.isFinite)).toBe(true);
  });
});
