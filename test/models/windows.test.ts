/** A long text read in windows inside of one graph: what reading it at once gives. */
import { describe, expect, it } from 'vitest';
import { type AnyHostTensor, type HostTensor, int32, leavesOf, mapTree, symbol } from '../../src/base/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { less, range, reshape, scalar, spec, specsOf, trace, where } from '../../src/graph/index.js';
import { initialState, type LanguageModelOptions, readInWindows, type TrunkState } from '../../src/models/index.js';
import { drawTokens, randomModel, type TestModel } from '../generation/models.js';
import { engine } from '../support/tiny.js';

/** Compiles both readings of `batch` rows, of any length, with the state of what came before. */
function compileBoth(on: Engine, { model, params, buffers }: TestModel, batch: number, window: number) {
  const length = symbol('length');
  return on.compile(
    (learned, drawn, state: TrunkState, { tokens, lengths }) => {
      const weights = { params: learned, buffers: drawn };
      const inputs = { tokens, lengths };
      const isReal = reshape(less(range(length), reshape(lengths, [batch, 1])), [batch, length, 1]);
      const shown = ({ hidden, lastHidden, state: next }: ReturnType<typeof readInWindows>) => ({
        ...{ hidden: where(isReal, hidden, scalar(0)), lastHidden, state: next },
      });
      return {
        whole: shown(model.apply(weights, inputs, { state })),
        windowed: shown(readInWindows(model, weights, inputs, { window, state })),
        wholeAfresh: model.apply(weights, { tokens }).hidden,
        windowedAfresh: readInWindows(model, weights, { tokens }, { window }).hidden,
      };
    },
    [
      specsOf(params),
      specsOf(buffers),
      specsOf(initialState(model, batch)),
      { tokens: spec('int32', [batch, length]), lengths: spec('int32', [batch]) },
    ],
  );
}

function valuesOf(tree: unknown): Map<string, HostTensor> {
  return new Map(leavesOf(tree) as unknown as [string, HostTensor][]);
}

function expectAlike(actual: unknown, expected: unknown, what: string): void {
  const given = valuesOf(actual);
  const wanted = valuesOf(expected);
  expect([...given.keys()].sort(), what).toEqual([...wanted.keys()].sort());
  for (const [path, { shape, data }] of wanted) {
    expect(given.get(path)!.shape, `${what}: ${path}`).toEqual(shape);
    const values = given.get(path)!.data;
    const errors = data.map((value, at) => Math.abs(values[at]! - value) / (1 + Math.abs(value)));
    const worst = errors.reduce((most, error) => Math.max(most, error), 0);
    expect(worst, `${what}: ${path}`).toBeLessThan(1e-4);
  }
}

const models = {
  'FAVOR+': {},
  'FAVOR+ with learned positions': { positions: { kind: 'learned', maxLength: 200 } },
  'signed features without token shift': {
    attention: { features: { name: 'trigonometric', featureCount: 32 } },
    tokenShift: 0,
  },
  'gates that forget': { attention: { features: { featureCount: 32 }, forgetting: 'gates' } },
  'no attention': { attention: 'none' },
} as const;

const engines = { onnxruntime: engine, oracle: referenceEngine() };

describe.each(Object.keys(engines) as (keyof typeof engines)[])('%s', (on) => {
  it.each(Object.keys(models) as (keyof typeof models)[])(
    '%s: windows of 32 give what one window gives',
    async (name) => {
      const model = randomModel({ depth: 1, ...models[name] });
      const { params, buffers } = model;
      const both = await compileBoth(engines[on], model, 3, 20); // rounded up to two chunks of 16
      let state = initialState(model.model, 3);
      for (const [length, lengths] of [
        [96, [96, 96, 96]],
        [77, [77, 32, 50]],
      ] as const) {
        const tokens = int32([3, length], drawTokens(3 * length, length));
        const result = await both.run([params, buffers, state, { tokens, lengths: int32([3], lengths) }]);
        expectAlike(result.windowed, result.whole, `${length} tokens`);
        expectAlike(result.windowedAfresh, result.wholeAfresh, `${length} tokens afresh`);
        state = mapTree(result.whole.state, (leaf: AnyHostTensor) => ({
          ...leaf,
          data: leaf.data.slice(),
        })) as TrunkState<HostTensor<'int32'>>;
      }
      await both.dispose();
    },
  );
});

describe('refusals', () => {
  const read = (options: Partial<LanguageModelOptions>, length: number, window: number) => () => {
    const { model, params, buffers } = randomModel(options);
    const given = [specsOf(params), specsOf(buffers), spec('int32', [1, length])] as const;
    trace(
      (learned, drawn, tokens) => readInWindows(model, { params: learned, buffers: drawn }, { tokens }, { window }),
      given,
    );
  };

  it('names what was expected', () => {
    expect(read({ attention: 'softmax' }, 64, 16)).toThrow(
      /expected causal attention whose state has one size.*softmax/,
    );
    expect(read({}, 64, 0)).toThrow(/expected a positive integer as window, got 0/);
    expect(read({}, 64, 16.5)).toThrow(/expected a positive integer as window, got 16.5/);
    const learned = { positions: { kind: 'learned', maxLength: 64 } } as const;
    expect(read(learned, 65, 16)).toThrow(/readInWindows: expected at most maxLength = 64 tokens/);
    expect(read(learned, 64, 16)).not.toThrow();
  });
});

describe('reading at once', () => {
  it.each(Object.keys(engines) as (keyof typeof engines)[])(
    'gives no token beyond the learned positions the last one of them: %s',
    async (on) => {
      const { config, model, params, buffers } = randomModel({ positions: { kind: 'learned', maxLength: 40 } });
      const length = symbol('length');
      const reader = await engines[on].compile(
        (learned, drawn, { tokens }) => model.apply({ params: learned, buffers: drawn }, { tokens }).lastHidden,
        [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, length]) }],
      );
      const read = (count: number) => reader.run([params, buffers, { tokens: int32([1, count], drawTokens(count)) }]);
      expect((await read(40)).shape).toEqual([1, 1, config.dim]); // padded to 48
      await expect(read(41)).rejects.toThrow(on === 'oracle' ? /indices from 0 to 39, got 40/ : /Gather in embedding/);
      await reader.dispose();
    },
  );
});
