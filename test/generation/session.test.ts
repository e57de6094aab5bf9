import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import type { GenerationSession } from '../../src/generation/index.js';
import type { LanguageModelOptions } from '../../src/models/index.js';
import { some } from '../support/product.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });

const variants: Record<string, Partial<LanguageModelOptions>> = {
  'rotary positions': {},
  'learned positions': { positions: { kind: 'learned', maxLength: 128 } },
  'no positions': { positions: 'none' },
  'no token shift': { tokenShift: 0 },
  'token shift over three tokens': { tokenShift: 3 },
  'a tied embedding': { tiedEmbedding: true },
  'independent projections': { attention: { features: { featureCount: 32, projectionKind: 'iid' } } },
  'exact attention': { attention: 'softmax' },
  'no attention': { attention: 'none' },
  'FAVOR+ that decays': { attention: { features: { featureCount: 32 }, forgetting: 'decay' } },
  'gates and signed features': {
    attention: { features: { name: 'trigonometric', featureCount: 32 }, forgetting: 'gates' },
  },
  'exact and favor+ attention in turns': { attention: ['softmax', { features: { featureCount: 32 } }] },
  'axial positions, normalised queries and keys': {
    positions: { kind: 'axial', maxLength: 128, columns: 16 },
    queryKeyNorm: 'unit',
    norm: { kind: 'rms', placement: 'post' },
  },
  'attention that is shared, in reversible layers': {
    ...{ depth: 3, reversible: true },
    attention: [{ features: { featureCount: 32 } }, { kind: 'shared' }, { kind: 'shared', part: 'output' }],
  },
  'an exact window and FAVOR+': { attention: { kind: 'hybrid', window: 20, features: { featureCount: 32 } } },
  'a window': { attention: { kind: 'window', window: 20 } },
  'clusters of keys and FAVOR+': {
    attention: { kind: 'routing-hybrid', keyClusters: 4, window: 8, features: { featureCount: 32 } },
  },
  'local heads': { attention: { kind: 'local-heads', window: 20, features: { featureCount: 32 } } },
  'exact attention without token shift': { attention: 'softmax', tokenShift: 0, positions: 'none' },
};

const cases = Object.entries(variants).map(([name, options], turn) => ({ name, options, turn }));

describe.each(cases)('with $name', ({ options, turn }) => {
  const model = randomModel(options);
  const tokens = drawTokens(72);
  let expected: Float64Array[];
  let session: GenerationSession;

  beforeAll(async () => {
    expected = await parallelLogits(engine, model, tokens);
    session = await sessionOf(engine, model);
  });
  beforeEach(() => session.reset());
  afterAll(() => session.dispose());

  test.each(some([1, 2, 15, 16, 17, 31, 32, 33, 50], turn, 3))(
    'a prompt of %i tokens and steps after it give the logits of the parallel form',
    async (length) => {
      expectClose(await session.read(tokens.subarray(0, length)), expected[length - 1]!, `prompt of ${length}`);
      for (let at = length; at < Math.min(length + 20, tokens.length); at++) {
        expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `step at ${at}`);
      }
    },
  );

  test.each([1, 16, 40, 512])('reading at most %i tokens at once changes nothing', async (readChunk) => {
    const other = await sessionOf(engine, model, { readChunk });
    expectClose(await other.read(tokens), expected.at(-1)!, `pieces of ${other.readChunk}`);
    expect([...other.position]).toEqual([tokens.length]);
    await other.dispose();
  });

  test('reading in pieces of any size, one after another, changes nothing', async () => {
    let start = 0;
    for (const length of [3, 1, 16, 0, 20, 5, 1, 1, 17]) {
      const logits = await session.read(tokens.subarray(start, start + length));
      start += length;
      expectClose(logits, expected[start - 1]!, `up to ${start}`);
    }
  });
});

describe('every step from the first token', () => {
  const gates = { forgetting: 'gates' } as const;
  const hybrid = { kind: 'hybrid', window: 10 } as const;
  const routing = { kind: 'routing', keyClusters: 4, window: 10 } as const;

  test.each(['favor+', 'softmax', gates, hybrid, routing] as const)(
    'equals the parallel form with %j',
    async (attention) => {
      const model = randomModel({ attention });
      const tokens = drawTokens(300);
      const expected = await parallelLogits(engine, model, tokens);
      const session = await sessionOf(engine, model);
      for (let at = 0; at < tokens.length; at++) {
        expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `step at ${at}`);
      }
      await session.dispose();
    },
  );

  test.each(['favor+', 'softmax', gates, hybrid, routing] as const)(
    'and every prompt agrees with the oracle with %j',
    async (attention) => {
      const model = randomModel({ attention, depth: 1 });
      const tokens = drawTokens(34);
      const expected = await parallelLogits(referenceEngine(), model, tokens);
      for (const each of [engine, referenceEngine()]) {
        const session = await sessionOf(each, model);
        expectClose(await session.read(tokens.subarray(0, 28)), expected[27]!, `${each.name} prompt`);
        for (let at = 28; at < tokens.length; at++) {
          expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `${each.name} step at ${at}`);
        }
        await session.dispose();
      }
    },
  );
});

describe('rows of a batch', () => {
  const prompts = [drawTokens(5, 1), drawTokens(50, 2), drawTokens(16, 3), drawTokens(33, 4)];
  const further = [new Int32Array(0), drawTokens(20, 5), drawTokens(1, 6), new Int32Array(0)];

  test.each([
    {},
    { attention: { kind: 'hybrid', window: 10 } } as const,
    { attention: { kind: 'routing-hybrid', keyClusters: 4, window: 10 } } as const,
  ])('of different lengths give what each gives alone, with %j', async (options) => {
    const model = randomModel(options);
    const session = await sessionOf(engine, model, { batch: 4, readChunk: 16 });
    const alone = await Promise.all(prompts.map(() => sessionOf(engine, model)));
    const compare = async (logits: Float32Array, own: (index: number) => Promise<Float32Array>, what: string) => {
      for (const [index] of alone.entries()) {
        expectClose(logits.subarray(index * 256, (index + 1) * 256), await own(index), `${what}, row ${index}`);
      }
    };
    await compare(await session.read(prompts), (index) => alone[index]!.read(prompts[index]!), 'prompts');
    await compare(
      await session.step(Int32Array.of(9, 8, 7, 6)),
      (at) => alone[at]!.step(Int32Array.of(9 - at)),
      'step',
    );
    await compare(await session.read(further), (index) => alone[index]!.read(further[index]!), 'further');
    await compare(
      await session.step(Int32Array.of(9, 8, 7, 6)),
      (at) => alone[at]!.step(Int32Array.of(9 - at)),
      'step',
    );
    expect([...session.position]).toEqual([7, 72, 19, 35]);
    expect(session.seenTokens(2)).toEqual([...new Set([...prompts[2]!, ...further[2]!, 7])].sort((a, b) => a - b));
    await Promise.all([session, ...alone].map((each) => each.dispose()));
  });

  test('of several lengths are read by exact attention in pieces as each alone', async () => {
    const exact = randomModel({ attention: 'softmax' });
    const session = await sessionOf(engine, exact, { batch: 2, readChunk: 16 });
    const alone = await sessionOf(engine, exact);
    const rows = [drawTokens(50, 1), drawTokens(20, 2)];
    const logits = await session.read(rows);
    expectClose(logits.subarray(256), await alone.read(rows[1]!), 'row 1');
    expectClose((await session.step(Int32Array.of(3, 4))).subarray(256), await alone.step(Int32Array.of(4)), 'on');
    await Promise.all([session.dispose(), alone.dispose()]);
  });
});
