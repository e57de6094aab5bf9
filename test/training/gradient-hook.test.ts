/** The place between gradient and update where several machines add theirs up. */
import { describe, expect, it } from 'vitest';
import { type AnyHostTensor, type HostTensor, leavesOf } from '../../src/base/index.js';
import { bytesSource, byteTokenizer, splitCorpus } from '../../src/data/index.js';
import { modelOf } from '../../src/models/index.js';
import { languageModelling, type Task } from '../../src/tasks/index.js';
import { type GradientHook, type Snapshot, Trainer } from '../../src/training/index.js';
import { largestError } from '../support/compare.js';
import { corpus, engine, snapshotOf, taskFor } from '../support/tiny.js';

async function train(snapshot: Snapshot, task: Task, steps: number, onGradients?: GradientHook) {
  const trainer = await Trainer.create(snapshot, { engine, task, onGradients });
  const reports = [];
  for (let step = 0; step < steps; step++) reports.push(await trainer.step());
  const { params } = await trainer.fetchSnapshot();
  const leaves = new Map(leavesOf(params) as [string, HostTensor][]);
  await trainer.dispose();
  return { reports, leaves: new Map([...leaves].map(([path, leaf]) => [path, { ...leaf, data: leaf.data.slice() }])) };
}

/** The task of one of two machines, which reads its half of each batch of four. */
async function halfOf(whole: Task, half: number, snapshot: Snapshot): Promise<Task> {
  const { training, model } = snapshot;
  const data = await splitCorpus(bytesSource(corpus), byteTokenizer, training);
  const own = languageModelling(modelOf(model, training), { ...training, batch: 2 }, data);
  return {
    ...own,
    async step(step) {
      const { batches, isStart } = await whole.step(step);
      const { shape, data: all } = batches[0]!.tokens!;
      const width = shape[1] as number;
      const rows = all.subarray(half * 2 * width, (half + 1) * 2 * width);
      return { batches: [{ tokens: { dtype: 'int32', shape: [2, width], data: rows } as AnyHostTensor }], isStart };
    },
  };
}

/** Adds up what as many callers bring, and gives the sums to all of them. */
function meeting(callers: number): GradientHook {
  let waiting: {
    gradients: object;
    total: number;
    count: number;
    done(sums: { total: number; count: number }): void;
  }[] = [];
  return (gradients, { total, count }) =>
    new Promise((done) => {
      waiting.push({ gradients, total, count, done });
      if (waiting.length < callers) return;
      const all = waiting;
      waiting = [];
      const trees = all.map((each) =>
        leavesOf(each.gradients).map(([, leaf]) => (leaf as HostTensor).data as Float32Array),
      );
      for (const [index, own] of trees[0]!.entries()) {
        own.forEach((_, at) => {
          const sum = trees.reduce((before, tree) => before + tree[index]![at]!, 0);
          for (const tree of trees) tree[index]![at] = sum;
        });
      }
      const sums = {
        total: all.reduce((before, each) => before + each.total, 0),
        count: all.reduce((before, each) => before + each.count, 0),
      };
      for (const each of all) each.done(sums);
    });
}

describe('the gradient hook', () => {
  it('that changes nothing leaves a step as it was, to rounding', async () => {
    const snapshot = () => snapshotOf({}, { batch: 4 });
    const plain = await train(snapshot(), await taskFor(snapshot()), 2);
    const seen: number[] = [];
    const hooked = await train(snapshot(), await taskFor(snapshot()), 2, async (gradients, sums) => {
      seen.push(sums.count, leavesOf(gradients).length);
      return sums;
    });
    expect(seen).toEqual([4 * 32, plain.leaves.size, 4 * 32, plain.leaves.size]);
    for (const [at, { loss, gradientNorm }] of plain.reports.entries()) {
      expect(hooked.reports[at]!.loss).toBeCloseTo(loss, 5);
      expect(hooked.reports[at]!.gradientNorm).toBeCloseTo(gradientNorm, 4);
    }
  });

  it('of two machines that add up the gradients of their halves makes the step of the whole', async () => {
    const whole = snapshotOf({}, { batch: 4 });
    const task = await taskFor(whole);
    const expected = await train(whole, task, 3);
    const hook = meeting(2);
    const parts = await Promise.all(
      [0, 1].map(async (half) => {
        const own = snapshotOf({}, { batch: 2 });
        return train(own, await halfOf(task, half, own), 3, hook);
      }),
    );
    for (const { reports, leaves } of parts) {
      for (const [at, { loss, gradientNorm }] of expected.reports.entries()) {
        expect(reports[at]!.loss).toBeCloseTo(loss, 4);
        expect(reports[at]!.gradientNorm / gradientNorm).toBeCloseTo(1, 3);
      }
      for (const [path, leaf] of expected.leaves) {
        expect(largestError(leaves.get(path)!, leaf), path).toBeLessThan(2e-4);
      }
    }
    // Both take the same step from the same sums, bit for bit.
    expect(parts[0]!.leaves).toEqual(parts[1]!.leaves);
  });
});
