/** Language models with every feature map: they learn, resume bit for bit, and generate what their parallel form says. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf, mapTree } from '../../src/base/index.js';
import { type FeatureMapName, type FeatureShape, featureMapNames } from '../../src/features/index.js';
import { encoderConfig, type LanguageModelOptions, languageModelConfig } from '../../src/models/index.js';
import type { Snapshot } from '../../src/training/index.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from '../generation/models.js';
import { engine, snapshotOf, trainerFor } from '../support/tiny.js';

/** What each map needs beside its name: none has as many features as another. */
function optionsOf(name: FeatureMapName): Partial<LanguageModelOptions> {
  const hasOwnCount = ['taylor', 'cosformer', 'hedgehog'].includes(name);
  const features = hasOwnCount ? { name } : { name, featureCount: 16 };
  return { attention: { features: features as never } };
}

const cases = [
  ...featureMapNames().map((name) => [name, optionsOf(name)] as const),
  ['relu of the rows themselves', { attention: { features: { name: 'relu', projectionKind: 'none' } } }] as const,
  [
    'a cubic polynomial',
    { attention: { features: { name: 'polynomial', featureCount: 16, degree: 3, offset: 0.5 } } },
  ] as const,
];

async function steps(snapshot: Snapshot, count: number) {
  const trainer = await trainerFor(snapshot);
  const losses: number[] = [];
  for (let i = 0; i < count; i++) losses.push((await trainer.step()).loss);
  const { params, moments, buffers, states } = trainer.snapshot;
  const copy = mapTree(
    { params, moments, buffers, states },
    (leaf: HostTensor) => ({ ...leaf, data: leaf.data.slice() }) as HostTensor,
  );
  await trainer.dispose();
  return { losses, end: { ...trainer.snapshot, ...copy } as unknown as Snapshot };
}

describe.each(cases)('%s', (_, options) => {
  it('learns, and resumed equals unbroken, bit for bit, across a redraw and with a carried state', async () => {
    // A trainer writes over the arrays of its snapshot, so each run has its own.
    const start = () => snapshotOf(options, { steps: 14, carryState: true, redrawInterval: 5, learningRate: 1e-2 });
    const whole = await steps(start(), 14);
    expect(whole.losses.at(-1)).toBeLessThan(whole.losses[0]! - 0.5);
    const first = await steps(start(), 7);
    const second = await steps(first.end, 7);
    expect([...first.losses, ...second.losses]).toEqual(whole.losses);
    const expected = new Map(leavesOf(whole.end.params) as unknown as [string, HostTensor][]);
    for (const [path, leaf] of leavesOf(second.end.params) as unknown as [string, HostTensor][]) {
      expect(leaf.data, path).toEqual(expected.get(path)?.data);
    }
  });

  it('generates token by token what its parallel form says', async () => {
    const model = randomModel(options);
    const tokens = drawTokens(40);
    const expected = await parallelLogits(engine, model, tokens);
    const session = await sessionOf(engine, model);
    expectClose(await session.read(tokens.subarray(0, 19)), expected[18]!, 'the prompt');
    for (let at = 19; at < tokens.length; at++) {
      expectClose(await session.step(tokens.subarray(at, at + 1)), expected[at]!, `step at ${at}`);
    }
    await session.dispose();
  });
});

describe('features shaped by moments', () => {
  it('take their shape from the first batch, and another one at a redraw', async () => {
    const start = snapshotOf(
      { attention: { features: { name: 'aderf', featureCount: 16 } } },
      { steps: 12, redrawInterval: 6 },
    );
    const shapeOf = ({ buffers }: Snapshot) =>
      (buffers as { blocks: { attention: { shape: FeatureShape<HostTensor> } }[] }).blocks[0]!.attention.shape;
    expect(shapeOf(start).curvature.data.every((a) => a === 0)).toBe(true);
    const one = await steps(start, 1);
    expect(shapeOf(one.end).curvature.data.every((a) => a < 0)).toBe(true);
    const six = await steps(one.end, 5); // measured again after 1, 2 and 4
    const seven = await steps(six.end, 1);
    expect(shapeOf(seven.end).query.data).not.toEqual(shapeOf(six.end).query.data);
  });
});

describe('options that do not fit the map', () => {
  const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8 };
  it.each([
    [{ name: 'taylor', featureCount: 16 }, 8, /attention.features: Unrecognized key: "featureCount"/],
    [{ name: 'hyperbolic', featureCount: 15 }, 8, /features.featureCount: hyperbolic features need a multiple of 2/],
    [{ name: 'positive', projectionKind: 'none' }, 8, /features.projectionKind: positive features need a projection/],
    [{ name: 'positive', kernelEpsilon: 0.1 }, 8, /attention.features: Unrecognized key: "kernelEpsilon"/],
    [{ featureEpsilon: 1e-4 }, 8, /attention.features: .* with a causal order .*, got featureEpsilon/],
    [{ name: 'relu', featureEpsilon: 1e-4 }, 8, /attention.features: Unrecognized key: "featureEpsilon"/],
    [{ name: 'relu', degree: 2 }, 8, /attention.features: Unrecognized key: "degree"/],
    [{ name: 'relu', span: 2 }, 8, /attention.features: Unrecognized key: "span"/],
    [{ projectionKind: 'structured' }, 12, /features.projectionKind: structured projections need/],
    [{ name: 'sofmax' }, 8, /attention.features.name: expected one of positive, .*, got "sofmax"/],
  ])('are refused: %j', (features, headDim, message) => {
    expect(() => languageModelConfig({ ...sizes, headDim, attention: { features: features as never } })).toThrow(
      message,
    );
  });

  it.each(['hybrid', 'routing-hybrid'] as const)('are refused: featureEpsilon beside the exact keys of %s', (kind) => {
    const attention = { kind, features: { featureEpsilon: 1e-4 } } as const;
    expect(() => encoderConfig({ ...sizes, attention })).toThrow(/attention.features: .* exact keys beside/);
    expect(encoderConfig({ ...sizes, attention: { features: attention.features } }).attention).toMatchObject({
      features: { featureEpsilon: 1e-4 },
    });
  });
});
