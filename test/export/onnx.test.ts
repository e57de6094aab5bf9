/** Models as ONNX files: standard operators, and in a plain runtime the numbers of the library. */
import * as nodeRuntime from 'onnxruntime-node';
import * as webRuntime from 'onnxruntime-web';
import { describe, expect, test } from 'vitest';
import { elementCount, type HostTensor, int32, mapTree, Random } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { exportOnnx } from '../../src/export/index.js';
import { specsOf, type TensorSpec } from '../../src/graph/index.js';
import { type LoadedModel, type ModelInputs, predict } from '../../src/models/index.js';
import { largestError } from '../support/compare.js';
import { randomModel } from '../support/model-conformance.js';
import { decodeOnnx, feedsOf, openOnnx, type Runtime, zeroState } from './run-onnx.js';

const engine = nodeEngine({ threads: 1 });
const node = nodeRuntime as unknown as Runtime;
webRuntime.env.logLevel = 'error';
const web = webRuntime as unknown as Runtime;

const mixers: Readonly<Record<string, object>> = {
  'FAVOR+': { attention: { features: { featureCount: 8 } } },
  'signed features': { attention: { features: { name: 'trigonometric', featureCount: 64 } } },
  'one key head and token shift over two tokens': { attention: { features: 'hedgehog' }, keyHeads: 1, tokenShift: 2 },
  'a hybrid with memory tokens': {
    attention: { kind: 'hybrid', window: 3, features: { featureCount: 8 } },
    memoryTokens: 2,
  },
  'routing, RMSNorm and a gated layer': {
    attention: { kind: 'routing-hybrid', keyClusters: 3, window: 3, features: { featureCount: 8 } },
    norm: 'rms',
    activation: 'swiglu',
  },
  'exact attention and learned positions': { attention: 'softmax', positions: { kind: 'learned', maxLength: 32 } },
  'layers of both kinds, reversible': { attention: ['softmax', { features: { featureCount: 8 } }], reversible: true },
};
const withoutPositions = ({ positions: _, ...rest }: { positions?: unknown }) => rest;

type Inputs = ModelInputs<HostTensor<'int32'>, HostTensor>;

/** Random inputs; lengths, where the model has them, are other ones for each row. */
function drawn({ model }: LoadedModel, batch: number, length: number): Inputs {
  return mapTree<object, TensorSpec<'int32' | 'float32'>, object>(
    model.inputs(batch, length),
    ({ dtype, shape }, path) => {
      const sizes = shape as readonly number[];
      const words = Random.fromSeed(3).split(path).bits(elementCount(sizes));
      if (/engths/.test(path))
        return int32(
          sizes,
          Int32Array.from(words, (word) => 1 + (word % length)),
        );
      if (dtype === 'int32')
        return int32(
          sizes,
          Int32Array.from(words, (word) => word % 256),
        );
      return { dtype, shape: sizes, data: Float32Array.from(words, (word) => word / 2 ** 32) };
    },
  ) as Inputs;
}

/** What the library computes of the same inputs: the output and the hidden layer. */
async function own({ model, params, buffers }: LoadedModel, inputs: Inputs) {
  const compiled = await engine.compile(
    (learned: object, fixed: object, given: ModelInputs) => {
      const { output, hidden } = model.apply({ params: learned, buffers: fixed }, given);
      return { output, hidden };
    },
    [specsOf(params) as object, specsOf(buffers) as object, specsOf(inputs) as ModelInputs<TensorSpec<'int32'>>],
  );
  const found = await compiled.run([params, buffers, inputs] as never);
  await compiled.dispose();
  return found as { readonly output: HostTensor; readonly hidden: HostTensor };
}

const causal = ['causal-language-model', 'encoder-decoder', 'pixel-model'];
const families = ['encoder', 'classifier', 'token-classifier', 'performer', 'image-classifier', ...causal];
const images = ['image-classifier', 'pixel-model'];
/** Every kind of mixer with a family of each direction, and two of them with all families. */
const cases = families.flatMap((family) =>
  Object.entries(mixers)
    .filter(([mixer]) => /language|^encoder$/.test(family) || /FAVOR|hybrid/.test(mixer))
    .map(([mixer, options]) => ({
      family,
      mixer,
      options: images.includes(family) ? withoutPositions(options) : options,
    })),
);

/** Differences of signed features make rounding count for more. */
const tolerance = (mixer: string) => (mixer.includes('signed') ? 5e-5 : 1e-5);

/** [batch, length, …] with zeros for the rows of padding, which hold anything. */
function real(tensor: HostTensor, lengths: HostTensor<'int32'> | undefined): HostTensor {
  if (lengths === undefined) return tensor;
  const [batch, length] = tensor.shape as [number, number];
  const size = tensor.data.length / batch / length;
  const isReal = (at: number) => Math.floor(at / size) % length < lengths.data[Math.floor(at / size / length)]!;
  return { ...tensor, data: tensor.data.map((value, at) => (isReal(at) ? value : 0)) };
}

/** The inputs that the file has: causal models need no lengths of what they read. */
function givenTo({ model }: LoadedModel, { lengths, ...inputs }: Inputs): Inputs {
  return !model.isCausal && lengths ? { ...inputs, lengths } : inputs;
}

describe.each(cases)('$family with $mixer', ({ family, mixer, options }) => {
  const loaded = randomModel(family, options);

  test('the whole form gives what the library gives, for any batch and length', async () => {
    const exported = await openOnnx(node, exportOnnx(loaded));
    for (const [batch, length] of [
      [1, 1],
      [3, 7],
      [1, 13],
    ] as const) {
      const inputs = givenTo(loaded, drawn(loaded, batch, length));
      const [given, expected] = [await exported.run(feedsOf(inputs)), await own(loaded, inputs)];
      const error = (a: HostTensor, b: HostTensor) => largestError(real(a, inputs.lengths), real(b, inputs.lengths));
      expect(given.hidden!.shape).toEqual(expected.hidden.shape);
      expect(error(given.hidden!, expected.hidden)).toBeLessThan(tolerance(mixer));
      const { logits } = given;
      if (logits !== undefined) expect(error(logits, expected.output)).toBeLessThan(tolerance(mixer));
    }
    await exported.session.release();
  });
});

const streamed = cases.filter(({ family }) => ['causal-language-model', 'pixel-model'].includes(family));

describe.each([
  ...streamed,
  {
    family: 'performer',
    mixer: 'a causal order and gates',
    options: { isCausal: true, attention: { features: { featureCount: 8 }, forgetting: 'gates' } },
  },
])('$family with $mixer', ({ family, options }) => {
  const loaded = randomModel(family, options);

  test('the streaming form reads on from a state of zeros as the whole form reads at once', async () => {
    const streaming = await openOnnx(node, exportOnnx(loaded, { form: 'streaming' }));
    const inputs = givenTo(loaded, drawn(loaded, 3, 13));
    const expected = await own(loaded, inputs);
    let state = zeroState(streaming.session, 3);
    for (const [start, end] of [
      [0, 6],
      [6, 7],
      [7, 8],
      [8, 13],
    ] as const) {
      const results = await streaming.run({ ...feedsOf(rows(inputs, start, end)), ...state });
      const last = { ...rows({ embeddings: expected.output }, end - 1, end).embeddings! };
      const given = results.logits ?? rows({ embeddings: results.hidden! }, end - start - 1, end - start).embeddings!;
      // Sums are added up in another order.
      expect(largestError(given, last), `${start} to ${end}`).toBeLessThan(5e-5);
      state = Object.fromEntries(Object.keys(state).map((name) => [name, results[`next.${name}`]!]));
    }
    expect([...state['state.position']!.data]).toEqual([13, 13, 13]);
    await streaming.session.release();
  });
});

/** A stretch of the second axis. */
function rows(inputs: Inputs, start: number, end: number): Inputs {
  return mapTree<object, HostTensor, object>(inputs, (leaf) => {
    const [batch, length] = leaf.shape as [number, number];
    const size = leaf.data.length / batch / length;
    const parts = Array.from({ length: batch }, (_, row) =>
      Array.from(leaf.data.subarray((row * length + start) * size, (row * length + end) * size)),
    );
    const data = (leaf.data.constructor as typeof Float32Array).from(parts.flat());
    return { ...leaf, shape: [batch, end - start, ...leaf.shape.slice(2)], data };
  }) as Inputs;
}

const favor = mixers['FAVOR+']!;

test.each(['classes', 'labels', 'values'])('a classifier of %s tells what the library predicts', async (kind) => {
  const targets = { kind, names: ['a', 'b'], ...(kind === 'values' && { means: [5, -3], deviations: [2, 7] }) };
  const loaded = randomModel('classifier', { ...favor, targets });
  const exported = await openOnnx(node, exportOnnx(loaded));
  const tokens = int32([2, 6], [1, 2, 3, 0, 0, 0, 9, 8, 7, 6, 5, 4]);
  const results = await exported.run(feedsOf({ tokens, lengths: int32([2], [3, 6]) }));
  const given = results[kind === 'values' ? 'values' : 'probabilities']!;
  const expected = await predict(engine, loaded, [tokens.data.subarray(0, 3), tokens.data.subarray(6)]);
  const whole = { ...given, data: Float32Array.from(expected.flatMap((row) => [...row])) };
  expect(largestError(given, whole)).toBeLessThan(1e-5);
});

describe('the file', () => {
  const loaded = randomModel('causal-language-model', mixers['a hybrid with memory tokens']!);

  test.each(['whole', 'streaming'] as const)('has standard operators of opset 21 alone, in the %s form', (form) => {
    const { opsetImport, nodes } = decodeOnnx(exportOnnx(loaded, { form }));
    expect(opsetImport.map(({ domain, version }) => ({ domain, version }))).toEqual([{ domain: '', version: 21n }]);
    expect(nodes.filter(({ domain }) => domain !== '')).toEqual([]);
    expect(nodes.length).toBeGreaterThan(50);
  });

  test('has every weight inside, by its name', () => {
    const { graph } = decodeOnnx(exportOnnx(loaded));
    const held = new Map(graph!.initializer.map(({ name, rawData }) => [name, rawData.length]));
    expect(held.get('embedding.weight')).toBe(257 * 12 * 4 - 12 * 4);
    expect(graph!.initializer.filter(({ dataLocation }) => dataLocation !== 0)).toEqual([]);
  });

  test('names its inputs, outputs and their dynamic axes', () => {
    const { graph } = decodeOnnx(exportOnnx(loaded, { form: 'streaming' }));
    const told = (list: typeof graph extends undefined ? never : NonNullable<typeof graph>['input']) =>
      list.map(({ name, type }) => {
        const shape = type!.value.case === 'tensorType' ? type!.value.value.shape!.dim : [];
        return `${name} [${shape.map(({ value }) => value.value).join(', ')}]`;
      });
    expect(told(graph!.input)).toContain('tokens [batch, length]');
    expect(told(graph!.input)).toContain('state.position [batch]');
    expect(told(graph!.input)).toContain('state.blocks.0.attention.far.sum [batch, 2, 8, 7]');
    expect(told(graph!.output)).toContain('logits [batch, 256]');
    expect(told(graph!.output)).toContain('next.state.position [batch]');
  });

  test('says in its metadata what it holds', () => {
    const { metadataProps } = decodeOnnx(exportOnnx(loaded, { form: 'streaming' }));
    const told = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(told).toMatchObject({
      'performer.form': 'streaming',
      'performer.kind': 'language-model',
      'performer.tokenizer': 'bytes',
    });
    expect(JSON.parse(told['performer.config']!)).toEqual(loaded.model.config);
  });
});

describe('a file with dense layers of 8 bits', () => {
  const loaded = randomModel('causal-language-model', { ...favor, dim: 64, heads: 2, headDim: 32 });
  const small = nodeEngine({ threads: 1, dtype: 'int8' });

  test('has standard operators of opset 21 alone, and a third of the bytes', () => {
    const [plain, own] = [exportOnnx(loaded), exportOnnx(loaded, { dtype: 'int8' })];
    const { opsetImport, nodes, metadataProps } = decodeOnnx(own);
    expect(opsetImport.map(({ domain, version }) => ({ domain, version }))).toEqual([{ domain: '', version: 21n }]);
    expect(nodes.filter(({ opType }) => opType === 'MatMulInteger').length).toBeGreaterThan(2 * 6);
    expect(metadataProps).toContainEqual(expect.objectContaining({ key: 'performer.dtype', value: 'int8' }));
    expect(own.length).toBeLessThan(0.5 * plain.length);
  });

  test.each([
    ['node', node],
    ['web', web],
  ] as const)('gives in onnxruntime-%s what the library gives with them', async (_, runtime) => {
    const exported = await openOnnx(runtime, exportOnnx(loaded, { dtype: 'int8' }));
    const inputs = givenTo(loaded, drawn(loaded, 2, 9));
    const { logits } = await exported.run(feedsOf(inputs));
    const compiled = await small.compile(
      (params: object, buffers: object, given: ModelInputs) => ({
        output: loaded.model.apply({ params, buffers }, given).output,
      }),
      [loaded.params as object, loaded.buffers as object, specsOf(inputs) as ModelInputs<TensorSpec<'int32'>>],
    );
    const { output } = (await compiled.run([{}, {}, inputs] as never)) as { readonly output: HostTensor };
    expect(largestError(logits!, output)).toBeLessThan(1e-4);
    await compiled.dispose();
    const exact = (await own(loaded, inputs)).output;
    expect(largestError(logits!, exact)).toBeLessThan(0.1 * Math.max(...exact.data.map(Math.abs)));
    expect(largestError(logits!, exact)).toBeGreaterThan(1e-4);
    await exported.session.release();
  });

  test('is refused with 4 bits, which no standard operator has', () => {
    expect(() => exportOnnx(loaded, { dtype: 'int4' as 'int8' })).toThrow(
      /expected float32 or int8 as dtype, got int4/,
    );
  });
});

describe('what has no streaming form is refused', () => {
  test.each([
    ['encoder', favor, /reads in both directions/],
    ['encoder-decoder', favor, /looks at a source/],
    ['causal-language-model', { attention: 'softmax', memoryTokens: 2 }, /memory tokens/],
  ] as const)('%s', (family, options, reason) => {
    const loaded = randomModel(family, options);
    expect(() => exportOnnx(loaded, { form: 'streaming' })).toThrow(reason);
  });
});

test('weights of 2 GB and more are refused before anything is traced', () => {
  const loaded = randomModel('causal-language-model', favor);
  const large = { dtype: 'float32', shape: [2 ** 29], data: { byteLength: 2 ** 31, length: 2 ** 29 } };
  const params = { ...loaded.params, large };
  expect(() => exportOnnx({ ...loaded, params })).toThrow(/below 2 GB, which a file of ONNX may have, got 2\.0 GB/);
});

describe("on ONNX Runtime's WebAssembly", () => {
  test.each(['whole', 'streaming'] as const)(
    'the %s form of a language model gives what the library gives',
    async (form) => {
      const loaded = randomModel('causal-language-model', { ...mixers['a hybrid with memory tokens'], norm: 'rms' });
      const exported = await openOnnx(web, exportOnnx(loaded, { form }));
      const inputs = givenTo(loaded, drawn(loaded, 2, 9));
      const expected = (await own(loaded, inputs)).output;
      const state = form === 'whole' ? {} : zeroState(exported.session, 2);
      const { logits } = await exported.run({ ...feedsOf(inputs), ...state });
      const last = form === 'whole' ? expected : rows({ embeddings: expected }, 8, 9).embeddings!;
      expect(largestError(logits!, last)).toBeLessThan(1e-5);
    },
  );

  test('an encoder gives what the library gives', async () => {
    const loaded = randomModel('encoder', favor);
    const exported = await openOnnx(web, exportOnnx(loaded));
    const inputs = { ...drawn(loaded, 3, 10), lengths: int32([3], [10, 10, 10]) };
    const { logits } = await exported.run(feedsOf(inputs));
    expect(largestError(logits!, (await own(loaded, inputs)).output)).toBeLessThan(1e-5);
  });
});
