/** Language models that route by clusters: they learn, resume bit for bit, and measure their centroids. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf, mapTree } from '../../src/base/index.js';
import { languageModelConfig } from '../../src/models/index.js';
import type { Snapshot } from '../../src/training/index.js';
import { snapshotOf, trainerFor } from '../support/tiny.js';

const routing = { attention: { kind: 'routing', keyClusters: 4, window: 4 } } as const;
const hybrid = { attention: { ...routing.attention, kind: 'routing-hybrid', features: { featureCount: 16 } } } as const;
const shaped = { attention: { ...hybrid.attention, features: { name: 'aderf', featureCount: 16 } } } as const;

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

const centroidsOf = ({ buffers }: Snapshot) =>
  (buffers as { blocks: { attention: { centroids: HostTensor } }[] }).blocks[0]!.attention.centroids;

describe.each(Object.entries({ routing, 'routing with FAVOR+': shaped }))('%s', (_, options) => {
  it('learns, and resumed equals unbroken, bit for bit, across a measurement and with a carried state', async () => {
    // A trainer writes over the arrays of its snapshot, so each run has its own.
    const start = () => snapshotOf(options, { steps: 14, carryState: true, redrawInterval: 5, learningRate: 1e-2 });
    const whole = await steps(start(), 14);
    expect(whole.losses.at(-1)).toBeLessThan(whole.losses[0]! - 0.5);
    const first = await steps(start(), 8); // centroids are measured before the step after it
    const second = await steps(first.end, 6);
    expect([...first.losses, ...second.losses]).toEqual(whole.losses);
    expect(centroidsOf(second.end).data).toEqual(centroidsOf(whole.end).data);
    const expected = new Map(leavesOf(whole.end.params) as unknown as [string, HostTensor][]);
    for (const [path, leaf] of leavesOf(second.end.params) as unknown as [string, HostTensor][]) {
      expect(leaf.data, path).toEqual(expected.get(path)?.data);
    }
  });

  it('computes the blocks again for the gradient with the same centroids', async () => {
    const run = async (recompute: boolean) => (await steps(snapshotOf(options, { steps: 4, recompute }), 4)).end;
    const [plain, again] = [await run(false), await run(true)];
    expect(centroidsOf(again).data).toEqual(centroidsOf(plain).data);
    const expected = new Map(leavesOf(plain.params) as unknown as [string, HostTensor][]);
    for (const [path, leaf] of leavesOf(again.params) as unknown as [string, HostTensor][]) {
      const difference = leaf.data.map((value, at) => Math.abs(value - expected.get(path)!.data[at]!));
      expect(Math.max(...difference), path).toBeLessThan(1e-3);
    }
  });
});

describe('centroids', () => {
  it('are measured on the first batch, with the features shaped by moments, and kept until they are measured again', async () => {
    const start = snapshotOf(shaped, { steps: 12, redrawInterval: 0 });
    const drawn = centroidsOf(start).data.slice();
    const one = await steps(start, 1);
    const first = centroidsOf(one.end).data.slice();
    expect(first).not.toEqual(drawn);
    const shape = (one.end.buffers as { blocks: { attention: { shape: { curvature: HostTensor } } }[] }).blocks[0]!;
    expect(shape.attention.shape.curvature.data.every((a) => a < 0)).toBe(true);
    const five = await steps(one.end, 4); // again after 1, 2 and 4
    const then = centroidsOf(five.end).data.slice();
    expect(then).not.toEqual(first);
    const seven = await steps(five.end, 2);
    expect(centroidsOf(seven.end).data).toEqual(then);
  });
});

it.each([
  [{ kind: 'routing', keyClusters: 1 }, /attention.keyClusters: .*2/],
  [{ kind: 'routing', window: 0 }, /attention.window: .*1/],
  [{ kind: 'routing', features: 'relu' }, /attention: Unrecognized key: "features"/],
  [
    { kind: 'routing-hybrid', features: 'trigonometric' },
    /attention.features.name: expected features that are positive/,
  ],
  [{ kind: 'routing-hybrid', features: 'cosformer' }, /attention.features.name: expected features that are positive/],
])('options that do not fit are refused: %j', (attention, message) => {
  expect(() => languageModelConfig({ dim: 16, depth: 1, heads: 2, headDim: 8, attention: attention as never })).toThrow(
    message,
  );
});
