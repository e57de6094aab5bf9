/** Every family of models with every kind of mixer. */
import { describe } from 'vitest';
import { modelNames } from '../../src/models/index.js';
import { conforms, randomModel } from '../support/model-conformance.js';

const mixers: Readonly<Record<string, object>> = {
  'FAVOR+': { attention: { features: { featureCount: 8 } } },
  'FAVOR+ with signed features': { attention: { features: { name: 'trigonometric', featureCount: 64 } } },
  'FAVOR+ with learned features': { attention: { features: 'hedgehog' } },
  'FAVOR+ with one key head': { attention: { features: 'hedgehog' }, keyHeads: 1 },
  'exact attention': { attention: 'softmax' },
  'exact attention with one key head': { attention: 'softmax', keyHeads: 1 },
  'no attention': { attention: 'none' },
  'no attention with one key head': { attention: 'none', keyHeads: 1 },
};

const cases = modelNames().flatMap((family) =>
  Object.entries(mixers).map(([mixer, options]) => ({ family, mixer, options })),
);

describe.each(cases)('$family with $mixer', ({ family, mixer, options }) => {
  // The gradient takes the bound of a guarded denominator as given, and finite differences move it: test/attention has
  // gradients of signed features where no denominator is guarded.
  conforms(randomModel(family, options), { hasExactGradient: !mixer.includes('signed') });
});
