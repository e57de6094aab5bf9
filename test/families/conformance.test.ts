/** Every family of models with every kind of mixer. */
import { describe } from 'vitest';
import { modelNames } from '../../src/models/index.js';
import { conforms, randomModel } from '../support/model-conformance.js';

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

describe.each(cases)('$family with $mixer', ({ family, attention }) => {
  conforms(randomModel(family, { attention }));
});
