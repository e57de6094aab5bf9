/** Keys that decay: every form of causal attention through features against the definition, at any speed of forgetting. */
import { describe } from 'vitest';
import { type AttentionCase, describeConformance, masks } from '../support/attention-conformance.js';
import { attentionForms } from '../support/attention-run.js';

const factors: Readonly<Record<string, NonNullable<AttentionCase['factor']>>> = {
  'a decay of each head': (_, __, head) => 1 - 2 ** (-3 - head),
  'no decay at all': () => 1,
  'a decay that leaves a tenth': () => 0.1,
  'decays of each token': (item, position, head) => 0.3 + 0.07 * ((position * 3 + head + item) % 10),
  'a token that forgets nearly all': (_, position) => (position === 9 ? 1e-30 : 0.99),
};

const cases = Object.entries(factors).flatMap(([name, factor]) => [
  ...[1, 4].map(
    (std): AttentionCase => ({
      ...{ name: `${name}, std ${std}`, dim: 16, features: 24, std, batch: 2, heads: 2, factor },
    }),
  ),
  ...Object.entries(masks).map(
    ([hidden, isVisible]): AttentionCase => ({
      ...{ name: `${name}, ${hidden}`, dim: 16, features: 24, std: 1, batch: 3, heads: 2, factor, isVisible },
    }),
  ),
]);

describe('attention with decays,', () => {
  describeConformance(
    cases,
    attentionForms.filter(({ isCausal, isExact = false }) => isCausal && !isExact),
  );
});
