import { describe, expect, test } from 'vitest';
import { languageModelConfig } from '../../src/models/index.js';
import { trainingConfig } from '../../src/training/index.js';

const model = { dim: 8, depth: 1, heads: 1, headDim: 8 };
const training = { steps: 1, batch: 1, window: 8, learningRate: 1e-3 };

describe('a size that nothing could hold is refused by its name, with the bound and the value', () => {
  test.each([
    ['dim', 2 ** 20, 65_536],
    ['depth', 2 ** 20, 1024],
    ['heads', 2 ** 20, 65_536],
    ['headDim', 2 ** 20, 65_536],
  ])('%s %d of a model', (key, value, bound) => {
    const message = new RegExp(`${key}: .*<=${bound}, got ${value}`);
    expect(() => languageModelConfig({ ...model, [key]: value })).toThrow(message);
  });

  test('the features of a model', () => {
    const attention = { features: { featureCount: 2 ** 20 } };
    expect(() => languageModelConfig({ ...model, attention })).toThrow(
      /attention\.features\.featureCount: .*<=65536, got 1048576/,
    );
  });

  test.each([
    ['chunk', 16_384, 2048],
    ['chunk', 65_536, 2048],
    ['batch', 2 ** 20, 65_536],
    ['window', 2 ** 30, 2 ** 24],
    ['accumulation', 2 ** 20, 65_536],
  ])('%s %d of a training', (key, value, bound) => {
    expect(() => trainingConfig({ ...training, [key]: value })).toThrow(
      new RegExp(`${key}: .*<=${bound}, got ${value}`),
    );
  });

  test('a batch of windows that are too many tokens together', () => {
    const given = { ...training, batch: 1024, window: 2 ** 20 };
    expect(() => trainingConfig(given)).toThrow(/window: at most 262144 tokens for a batch of 1024, got 1048576/);
  });
});
