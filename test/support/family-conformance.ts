/** Every family of models with every kind of mixer, a file of tests for each family. */
import { describe } from 'vitest';
import { conforms, randomModel } from './model-conformance.js';

const mixers: Readonly<Record<string, object>> = {
  'FAVOR+': { attention: { features: { featureCount: 8 } } },
  'FAVOR+ with signed features': { attention: { features: { name: 'trigonometric', featureCount: 64 } } },
  'FAVOR+ with learned features': { attention: { features: 'hedgehog' } },
  'FAVOR+ with one key head': { attention: { features: 'hedgehog' }, keyHeads: 1 },
  'an exact window and FAVOR+': { attention: { kind: 'hybrid', window: 3, features: { featureCount: 8 } } },
  'an exact window and FAVOR+ with one key head': {
    attention: { kind: 'hybrid', window: 2, features: 'hedgehog' },
    keyHeads: 1,
  },
  'FAVOR+ that is exact up to a length': { attention: { features: { featureCount: 8 }, exactUpTo: 8 } },
  'clustered attention': { attention: { kind: 'clustered', clusters: 3, hashBits: 5 } },
  'clustered attention with top keys and one key head': {
    attention: { kind: 'clustered', clusters: 2, hashBits: 5, topK: 3 },
    keyHeads: 1,
  },
  'a window': { attention: { kind: 'window', window: 3 } },
  'local heads': { attention: { kind: 'local-heads', window: 3, features: { featureCount: 8 } } },
  'clusters of keys': { attention: { kind: 'routing', keyClusters: 3, window: 3 } },
  'clusters of keys and FAVOR+': {
    attention: { kind: 'routing-hybrid', keyClusters: 3, window: 3, features: { featureCount: 8 } },
  },
  'clusters of keys and FAVOR+ with one key head': {
    attention: { kind: 'routing-hybrid', keyClusters: 2, window: 2, features: 'hedgehog' },
    keyHeads: 1,
  },
  'exact attention': { attention: 'softmax' },
  'exact attention with one key head': { attention: 'softmax', keyHeads: 1 },
  'no attention': { attention: 'none' },
  'no attention with one key head': { attention: 'none', keyHeads: 1 },
};

/** Causal attention forgets: that of the families that read in one direction. */
const forgetting: Readonly<Record<string, object>> = {
  'FAVOR+ that decays': { attention: { features: { featureCount: 8 }, forgetting: 'decay' } },
  'an exact window and FAVOR+ with gates': {
    attention: { kind: 'hybrid', window: 3, features: { featureCount: 8 }, forgetting: 'gates' },
  },
  'FAVOR+ with gates': { attention: { features: { featureCount: 8 }, forgetting: 'gates' } },
  'FAVOR+ with gates and signed features': {
    attention: { features: { name: 'trigonometric', featureCount: 64 }, forgetting: 'gates' },
  },
  'FAVOR+ with gates, learned features and one key head': {
    attention: { features: 'hedgehog', forgetting: 'gates' },
    keyHeads: 1,
  },
};

/** Without a causal order, which clustered attention and attention that is exact up to a length must not have. */
const bidirectional = ['encoder', 'classifier', 'token-classifier', 'performer', 'image-classifier'];
const needsNoOrder = /up to a length|clustered/;
const hasEncoder = (family: string, mixer: string) => family === 'encoder-decoder' && mixer.includes('up to a length');

const inOneDirection: Readonly<Record<string, object>> = {
  'causal-language-model': {},
  'encoder-decoder': {},
  performer: { isCausal: true },
};

/** Tests of one family with every mixer that it can have. */
export function describeFamily(family: string): void {
  const either = Object.entries(mixers).filter(
    ([mixer]) => !needsNoOrder.test(mixer) || bidirectional.includes(family) || hasEncoder(family, mixer),
  );
  const ordered = inOneDirection[family];
  const cases = [
    ...either.map(([mixer, options]) => ({ mixer, options })),
    ...Object.entries(ordered === undefined ? {} : forgetting).map(([mixer, options]) => ({
      mixer,
      options: { ...ordered, ...options },
    })),
  ];
  describe.each(cases)(`${family} with $mixer`, ({ mixer, options }) => {
    // The gradient takes the bound of a guarded denominator as given, and finite differences move it: test/attention has
    // gradients of signed features where no denominator is guarded.
    conforms(randomModel(family, options), { hasExactGradient: !mixer.includes('signed') });
  });
}
