/** A model trains on an engine as it trains on the float64 oracle. */
import { expect, it } from 'vitest';
import { leavesOf } from '../../src/base/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import type { Snapshot } from '../../src/training/index.js';
import { values } from '../support/compare.js';
import { engine, snapshotOf, trainerFor } from '../support/tiny.js';

const small = { dim: 8, depth: 1, heads: 2, headDim: 4, attention: { features: { featureCount: 8 } } } as const;
const short = { window: 10, batch: 2, learningRate: 1e-2, chunk: 4 } as const;

async function train(on: Engine, snapshot: Snapshot, steps: number) {
  const trainer = await trainerFor(snapshot, on);
  const reports: { loss: number; gradientNorm: number }[] = [];
  for (let step = 0; step < steps; step++) reports.push(await trainer.step());
  const { params, states } = await trainer.fetchSnapshot();
  const leaves = leavesOf({ params, states }).map(([path, leaf]) => [path, values(leaf)] as const);
  await trainer.dispose();
  return { reports, leaves: new Map(leaves) };
}

it.each([
  ['random windows', {}, {}],
  ['a carried state and redrawn projections', {}, { carryState: true, redrawInterval: 2 }],
  ['Muon', {}, { optimizer: 'muon' }],
  ['Muon and two micro-batches', {}, { optimizer: 'muon', accumulation: 2 }],
  ['dropout and two micro-batches', {}, { feedForwardDropout: 0.2, accumulation: 2, carryState: true }],
  [
    'exact softmax attention and learned positions',
    { attention: 'softmax', positions: { kind: 'learned', maxLength: 16 } },
    {},
  ],
] as const)('three steps have the losses, gradients and weights of the oracle: %s', async (_, model, training) => {
  const snapshot = () => snapshotOf({ ...small, ...model }, { ...short, ...training });
  const expected = await train(referenceEngine(), snapshot(), 3);
  const got = await train(engine, snapshot(), 3);
  for (const [step, { loss, gradientNorm }] of expected.reports.entries()) {
    expect(got.reports[step]!.loss, `loss of step ${step + 1}`).toBeCloseTo(loss, 4);
    expect(got.reports[step]!.gradientNorm / gradientNorm, `gradient of step ${step + 1}`).toBeCloseTo(1, 3);
  }
  expect([...got.leaves.keys()]).toEqual([...expected.leaves.keys()]);
  for (const [path, numbers] of expected.leaves) {
    const apart = numbers.map((value, at) => Math.abs(value - got.leaves.get(path)![at]!) / (1 + Math.abs(value)));
    // The optimizer divides by the gradient's size: where that is near rounding, a weight may move by some of a step.
    expect(Math.max(...apart), path).toBeLessThan(3 * short.learningRate);
    expect(apart.reduce((a, b) => a + b) / apart.length, path).toBeLessThan(1e-4);
  }
});
