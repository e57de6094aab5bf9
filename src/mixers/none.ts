/** No attention: the values pass, at the cost of all that is not attention (the paper's X). For measuring. */
import { repeatTokenHeads } from '../attention/heads.js';
import { add, multiply, type Tensor } from '../graph/index.js';
import { type AttentionCore, attentionMixer } from './attention-mixer.js';
import { crossMixer } from './cross-mixer.js';
import { type MixerSizes, mixerFamily } from './mixer.js';

type None = Record<never, never>;

const coreOf = ({ heads, keyHeads }: MixerSizes): AttentionCore<None, None, None, None> => ({
  buffers: {},
  traits: { state: 'none', isChunked: false, isFlat: false },
  state: () => ({}),
  operations: () => ({ attention: 0, withoutGradient: 0 }),
  // Queries and keys are computed and add nothing, so that only attention itself is left out.
  attend({ query, key, value }) {
    const spread = (x: Tensor) => repeatTokenHeads(x, heads / keyHeads);
    return { output: add(spread(value), multiply(add(query, spread(key)), 0)), state: {} };
  },
});

export const noMixer = mixerFamily({
  kind: 'none',
  text: 'the values pass, for measuring what attention costs',
  isBlind: true,
  own: {},
  build: (_, sizes) => attentionMixer(sizes, coreOf(sizes)),
  // There is no value for each query: the queries pass.
  cross: (_, sizes) =>
    crossMixer<None, None, None>(sizes, {
      buffers: {},
      state: () => ({}),
      attend: ({ query }) => query,
      keep: () => ({}),
      read: ({ query }) => query,
    }),
});
