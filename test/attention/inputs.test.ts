/** What attention refuses, while the graph is built. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  attentionMap,
  bidirectionalAttention,
  causalAttention,
  exactAttention,
  largestChunk,
  recurrentAttention,
} from '../../src/attention/index.js';
import { type ErrorCode, PerformerError } from '../../src/base/index.js';
import { cosformerFeatures, positiveFeatures } from '../../src/features/index.js';
import { type AnyTensor, input, type Tensor } from '../../src/graph/index.js';

const map = positiveFeatures(input('projection', 'float32', [6, 4]));
const float = (name: string, shape: readonly number[]) => input(name, 'float32', shape);
const good: AttentionInputs = {
  query: float('query', [2, 5, 3, 4]),
  key: float('key', [2, 5, 3, 4]),
  value: float('value', [2, 5, 3, 7]),
};
const state = { sum: float('sum', [2, 3, 6, 8]), logScale: float('logScale', [2, 3, 6]) };

const forms: Readonly<Record<string, (inputs: AttentionInputs) => unknown>> = {
  bidirectional: (inputs) => bidirectionalAttention(inputs, map),
  causal: (inputs) => causalAttention(inputs, map),
  recurrent: (inputs) => recurrentAttention(inputs, map, state),
  exact: (inputs) => exactAttention(inputs, { isCausal: true }),
};

function codeOf(run: () => unknown): ErrorCode | undefined {
  try {
    run();
  } catch (cause) {
    if (cause instanceof PerformerError) return cause.code;
    throw cause;
  }
  return undefined;
}

const bad: Readonly<Record<string, Partial<AttentionInputs>>> = {
  'a query of another batch': { query: float('query', [1, 5, 3, 4]) },
  'a query with other heads': { query: float('query', [2, 5, 2, 4]) },
  'a query of another dim': { query: float('query', [2, 5, 3, 8]) },
  'a value of another length': { value: float('value', [2, 6, 3, 7]) },
  'a key without heads': { key: float('key', [2, 5, 4]) },
  'a mask of another length': { keyMask: input('keyMask', 'bool', [2, 6]) },
  'no tokens': {
    query: float('query', [2, 0, 3, 4]),
    key: float('key', [2, 0, 3, 4]),
    value: float('value', [2, 0, 3, 7]),
  },
  'no batch': {
    query: float('query', [0, 5, 3, 4]),
    key: float('key', [0, 5, 3, 4]),
    value: float('value', [0, 5, 3, 7]),
  },
  'values without any dim': { value: float('value', [2, 5, 3, 0]) },
  'a mask of each head': { keyMask: input('keyMask', 'bool', [2, 3, 5]) },
  'a mask that is no bool': { keyMask: float('keyMask', [2, 5]) as AnyTensor as Tensor<'bool'> },
};

describe.each(Object.entries(forms))('%s attention', (_, attend) => {
  it.each(Object.entries(bad))('refuses %s', (_, change) => {
    expect(codeOf(() => attend({ ...good, ...change }))).toBe('SHAPE');
  });
});

describe('causal attention', () => {
  it('refuses queries that are not as many as the keys', () => {
    expect(codeOf(() => causalAttention({ ...good, query: float('query', [2, 4, 3, 4]) }, map))).toBe('SHAPE');
  });

  it.each([0, -1, 1.5, Number.NaN, largestChunk + 1, 16_384, 65_536])('refuses chunks of %d', (chunk) => {
    expect(codeOf(() => causalAttention(good, map, { chunk }))).toBe('CONFIG');
  });

  it('takes values of another dim than the keys', () => {
    const { output, state: after } = causalAttention(good, map);
    expect(output.shape).toEqual([2, 5, 3, 7]);
    expect(after.sum.shape).toEqual([2, 3, 6, 8]);
    expect(after.logScale.shape).toEqual([2, 3, 6]);
  });
});

describe('recurrent attention', () => {
  it('refuses more than one token', () => {
    expect(codeOf(() => recurrentAttention(good, map, state))).toBe('SHAPE');
  });

  it('refuses a state of other sizes', () => {
    const token = {
      ...good,
      query: float('query', [2, 1, 3, 4]),
      key: float('key', [2, 1, 3, 4]),
      value: float('value', [2, 1, 3, 7]),
    };
    expect(codeOf(() => recurrentAttention(token, map, { ...state, sum: float('sum', [2, 3, 6, 7]) }))).toBe('SHAPE');
  });
});

describe('features that use positions', () => {
  const positional = cosformerFeatures(4, 8);
  const position = input('position', 'int32', [2, 5]);
  const read = { sum: float('sum', [2, 3, 9, 8]), logScale: float('logScale', [2, 3, 9]) };
  const token: AttentionInputs = {
    query: float('query', [2, 1, 3, 4]),
    key: float('key', [2, 1, 3, 4]),
    value: float('value', [2, 1, 3, 7]),
  };

  it('are refused after a state without the positions of queries and keys, which would count from 0 again', () => {
    const one = input('one', 'int32', [2, 1]);
    expect(codeOf(() => causalAttention(good, positional, { state: read }))).toBe('CONFIG');
    expect(codeOf(() => causalAttention({ ...good, queryPosition: position }, positional, { state: read }))).toBe(
      'CONFIG',
    );
    expect(codeOf(() => recurrentAttention(token, positional, read))).toBe('CONFIG');
    expect(codeOf(() => recurrentAttention({ ...token, queryPosition: one }, positional, read))).toBe('CONFIG');
    const both = { ...token, queryPosition: one, keyPosition: one };
    expect(codeOf(() => recurrentAttention(both, positional, read))).toBeUndefined();
  });

  it.each<[string, (inputs: AttentionInputs) => unknown]>([
    ['causal attention', (inputs) => causalAttention(inputs, positional)],
    ['bidirectional attention', (inputs) => bidirectionalAttention(inputs, positional)],
    ['an attention map', (inputs) => attentionMap(inputs, positional, { isCausal: true })],
  ])('are refused in %s with the positions of one side alone', (_form, attend) => {
    expect(codeOf(() => attend({ ...good, keyPosition: position }))).toBe('CONFIG');
    expect(codeOf(() => attend({ ...good, queryPosition: position }))).toBe('CONFIG');
    expect(codeOf(() => attend(good))).toBeUndefined();
  });

  it.each(['queryPosition', 'keyPosition'])('are refused with a %s of another length', (name) => {
    const inputs = { ...good, queryPosition: position, keyPosition: position, [name]: input('wrong', 'int32', [2, 6]) };
    expect(codeOf(() => bidirectionalAttention(inputs, positional))).toBe('SHAPE');
  });
});
