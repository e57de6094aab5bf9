/** Language models with every feature map: they learn, resume bit for bit, and generate what their parallel form says. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf, mapTree } from '../../src/base/index.js';
import { type FeatureMapName, featureMapNames } from '../../src/features/index.js';
import { type LanguageModelOptions, readLanguageModelConfig } from '../../src/models/index.js';
import type { Snapshot } from '../../src/training/index.js';
import { drawTokens, expectClose, parallelLogits, randomModel, sessionOf } from '../generation/models.js';
import { engine, snapshotOf, trainerFor } from '../support/tiny.js';

/** What each map needs beside its name: none has as many features as another. */
function optionsOf(featureMap: FeatureMapName): Partial<LanguageModelOptions> {
  const hasOwnCount = ['taylor', 'cosformer', 'hedgehog'].includes(featureMap);
  return hasOwnCount ? { featureMap, featureCount: undefined } : { featureMap };
}

const cases = [
  ...featureMapNames.map((name) => [name, optionsOf(name)] as const),
  ['relu of the rows themselves', { featureMap: 'relu', projectionKind: 'none', featureCount: undefined }] as const,
  ['a cubic polynomial', { featureMap: 'polynomial', polynomialDegree: 3, polynomialOffset: 0.5 }] as const,
];

async function steps(snapshot: Snapshot, count: number) {
  const trainer = await trainerFor(snapshot);
  const losses: number[] = [];
  for (let i = 0; i < count; i++) losses.push((await trainer.step()).loss);
  const { params, moments, projections, states } = trainer.snapshot;
  const copy = mapTree(
    { params, moments, projections, states },
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
    const start = snapshotOf({ featureMap: 'aderf' }, { steps: 12, redrawInterval: 6 });
    const shapeOf = ({ projections }: Snapshot) => projections.blocks[0]!.attention.shape!;
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
    [{ featureMap: 'taylor', featureCount: 16 }, /featureCount: taylor features of dim 8 are 45/],
    [{ featureMap: 'hyperbolic', featureCount: 15 }, /featureCount: hyperbolic features need a multiple of 2/],
    [{ featureMap: 'positive', projectionKind: 'none' }, /projectionKind: positive features need a projection/],
    [{ featureMap: 'positive', kernelEpsilon: 0.1 }, /kernelEpsilon: only generalised features have it/],
    [{ featureMap: 'relu', polynomialDegree: 2 }, /polynomialDegree: only polynomial features have it/],
    [{ featureMap: 'relu', positionSpan: 2 }, /positionSpan: only cosformer features have it/],
    [{ projectionKind: 'structured', headDim: 12 }, /projectionKind: structured projections need/],
    [{ featureMap: 'sofmax' }, /featureMap/],
  ])('are refused: %j', (options, message) => {
    expect(() => readLanguageModelConfig({ ...sizes, ...options }, 'model')).toThrow(message);
  });
});
