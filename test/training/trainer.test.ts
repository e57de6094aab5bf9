import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../../src/base/index.js';
import { leavesOf, mapTree } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/index.js';
import { compileStep, type RunEvent, runTraining, type Snapshot } from '../../src/training/index.js';
import { largestError } from '../support/compare.js';
import { engine, leafAt, snapshotOf, taskFor, trainerFor } from '../support/tiny.js';

function copyOf(snapshot: Snapshot): Snapshot {
  const { params, moments, buffers, states } = snapshot;
  return mapTree(
    { params, moments, buffers, states },
    (leaf: HostTensor) => ({ ...leaf, data: leaf.data.slice() }) as HostTensor,
  ) as unknown as Snapshot;
}

function leaves(snapshot: Pick<Snapshot, 'params' | 'moments' | 'buffers' | 'states'>): Map<string, HostTensor> {
  const { params, moments, buffers, states } = snapshot;
  return new Map(leavesOf({ params, moments, buffers, states }) as unknown as [string, HostTensor][]);
}

function expectEqual(a: Parameters<typeof leaves>[0], b: Parameters<typeof leaves>[0]): void {
  const left = leaves(a);
  const right = leaves(b);
  expect([...left.keys()]).toEqual([...right.keys()]);
  for (const [path, tensor] of left) expect(tensor.data, path).toEqual(right.get(path)?.data);
}

async function steps(snapshot: Snapshot, count: number) {
  const trainer = await trainerFor(snapshot);
  const losses: number[] = [];
  for (let i = 0; i < count; i++) losses.push((await trainer.step()).loss);
  const fetched = await trainer.fetchSnapshot();
  const end = { ...fetched, ...copyOf(fetched) };
  await trainer.dispose();
  return { losses, end };
}

const firstProjection = 'blocks.0.attention.projection';

/** The engine, with every run of what it compiles changed. */
function withRuns(
  change: (run: (...args: never[]) => Promise<unknown>) => (...args: never[]) => Promise<unknown>,
): Engine {
  const compile = async (...args: Parameters<Engine['compile']>) => {
    const executable = await engine.compile(...args);
    return { run: change(executable.run.bind(executable) as never), dispose: () => executable.dispose() };
  };
  return { ...engine, compile: compile as unknown as Engine['compile'] };
}

describe('training', () => {
  it('lowers the loss', async () => {
    const { losses } = await steps(snapshotOf({}, { learningRate: 1e-2, steps: 60 }), 60);
    expect(losses[0]).toBeGreaterThan(5);
    expect(losses.at(-1)).toBeLessThan(3.2);
  });

  it.each([
    ['random windows', {}, {}],
    ['a carried state and redrawn projections', {}, { carryState: true, redrawInterval: 3 }],
    ['dropout and accumulation', {}, { feedForwardDropout: 0.2, embeddingDropout: 0.1, accumulation: 2 }],
    ['exact softmax attention', { attention: 'softmax' }, {}],
    ['no attention', { attention: 'none' }, {}],
  ] as const)('resumed equals unbroken, bit for bit: %s', async (_, model, training) => {
    const whole = await steps(snapshotOf(model, training), 6);
    const first = await steps(snapshotOf(model, training), 4);
    const second = await steps(first.end, 2);
    expect([...first.losses, ...second.losses]).toEqual(whole.losses);
    expectEqual(second.end, whole.end);
  });

  it('gives the same step for two micro-batches as for one batch of both', async () => {
    const one = await steps(snapshotOf({}, { batch: 4 }), 3);
    const two = await steps(snapshotOf({}, { batch: 2, accumulation: 2 }), 3);
    one.losses.forEach((loss, i) => expect(two.losses[i]).toBeCloseTo(loss, 5));
    const parts = leaves(two.end);
    for (const [path, tensor] of leaves(one.end)) {
      if (path.startsWith('params')) expect(largestError(parts.get(path)!, tensor), path).toBeLessThan(2e-4);
    }
  });

  it('draws new projections at the interval and not before, and then starts the carried states anew', async () => {
    const start = snapshotOf({}, { carryState: true, redrawInterval: 3 });
    const three = await steps(start, 3);
    expect(three.end.buffers).toEqual(start.buffers);
    expect(three.end.states[0]!.position.data[0]).toBe(3 * 32);
    const four = await steps(three.end, 1);
    expect(leafAt(four.end.buffers, firstProjection).data).not.toEqual(leafAt(start.buffers, firstProjection).data);
    expect(four.end.states[0]!.position.data[0]).toBe(32);
  });

  it('refuses carried states that were made with other projections', async () => {
    const start = snapshotOf({}, { carryState: true });
    const { end } = await steps(start, 1);
    const { buffers } = snapshotOf({}, { carryState: true, seed: 9 });
    await expect(trainerFor({ ...end, buffers })).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringMatching(/carried states made with the projections [0-9a-f]{16}, got those of/),
    });
  });

  it('reads a long document with a carried state as if its windows were one', async () => {
    // At a learning rate of nearly zero the weights stay, so the loss of a window after the state is that of the
    // same tokens inside one long window.
    const carried = await steps(snapshotOf({}, { carryState: true, batch: 1, learningRate: 1e-12, weightDecay: 0 }), 3);
    const long = await steps(
      snapshotOf({}, { carryState: true, batch: 1, window: 96, learningRate: 1e-12, weightDecay: 0 }),
      1,
    );
    const mean = carried.losses.reduce((a, b) => a + b) / 3;
    expect(mean).toBeCloseTo(long.losses[0]!, 5);
  });

  it('refuses to carry the state of exact attention or of learned positions', async () => {
    await expect(trainerFor(snapshotOf({ attention: 'softmax' }, { carryState: true }))).rejects.toThrow(/carryState/);
    const learned = { positions: { kind: 'learned', maxLength: 64 } } as const;
    await expect(trainerFor(snapshotOf(learned, { carryState: true }))).rejects.toThrow(/carryState/);
  });

  it('evaluates every byte of the held-out split, in windows and streaming', async () => {
    const trainer = await trainerFor(snapshotOf());
    const { measures, chosen } = await trainer.evaluate();
    expect(Object.keys(measures)).toEqual(['windows', 'streaming']);
    expect(measures.windows).toBeGreaterThan(4);
    expect(measures.streaming).toBeGreaterThan(4);
    expect(chosen).toBe(measures.windows);
    await trainer.dispose();
  });

  it('leaves an evaluation when it is stopped, saves, and makes it when it goes on', async () => {
    const options = { steps: 6, evaluationInterval: 2, checkpointInterval: 6 };
    const record = async (snapshot: Snapshot, stopAt?: (event: RunEvent) => boolean) => {
      const events: RunEvent[] = [];
      const stop = new AbortController();
      const trainer = await trainerFor(snapshot);
      for await (const event of runTraining(trainer, { signal: stop.signal })) {
        events.push(event);
        if (stopAt?.(event)) stop.abort();
      }
      const fetched = await trainer.fetchSnapshot();
      await trainer.dispose();
      return { events, end: { ...fetched, ...copyOf(fetched) } };
    };
    const whole = await record(snapshotOf({}, options));
    for (const step of [4, 6]) {
      const first = await record(snapshotOf({}, options), (event) => event.kind === 'step' && event.step === step);
      expect(first.events.at(-1)).toMatchObject({ kind: 'step', step });
      expect(first.end).toMatchObject({ step, isEvaluationDue: true });
      const second = await record(first.end);
      expect([...first.events, ...second.events]).toEqual(whole.events);
      expect(second.end.best).toEqual(whole.end.best);
      expectEqual(second.end, whole.end);
    }
  });

  it('ends an evaluation before its next batch', async () => {
    const stop = new AbortController();
    let runs = 0;
    const watched = withRuns((run) => async (...args) => {
      if (++runs === 3) stop.abort();
      return run(...args);
    });
    const trainer = await trainerFor(snapshotOf(), watched);
    await expect(trainer.evaluate(stop.signal)).rejects.toMatchObject({ name: 'AbortError' });
    expect(runs).toBe(3);
    await trainer.dispose();
  });

  it('frees the states of an evaluation that fails', async () => {
    let held = 0;
    const broken = withRuns((run) => async (...args) => {
      if (leavesOf(args).some(([path]) => path.includes('states'))) throw new Error('out of memory');
      return run(...args);
    });
    const counting: Engine = {
      ...broken,
      place: async (tree) => {
        held += leavesOf(tree).length;
        return engine.place(tree);
      },
      free: (tree) => {
        held -= leavesOf(tree).length;
        engine.free(tree);
      },
    };
    const trainer = await trainerFor(snapshotOf(), counting);
    const before = held;
    await expect(trainer.evaluate()).rejects.toThrow('out of memory');
    expect(held).toBe(before);
    await trainer.dispose();
    expect(held).toBe(0);
  });

  it('keeps no half of a step whose other half does not compile', async () => {
    const disposed: number[] = [];
    let count = 0;
    const failing: Engine = {
      ...engine,
      compile: async (...args) => {
        const at = ++count;
        if (at === 2) throw new Error('no update');
        const executable = await engine.compile(...args);
        return { run: executable.run.bind(executable), dispose: async () => void disposed.push(at) };
      },
    };
    const snapshot = snapshotOf({}, { accumulation: 2 });
    await expect(compileStep(failing, await taskFor(snapshot), snapshot.training)).rejects.toThrow('no update');
    expect(disposed).toEqual([1]);
  });

  it('refuses a call before the last one ended, and after it was disposed of', async () => {
    const whole = await steps(snapshotOf(), 1);
    const trainer = await trainerFor(snapshotOf());
    const busy = { code: 'USAGE', message: expect.stringMatching(/trainer at rest, got a call before the last one/) };
    const first = trainer.step();
    await expect(trainer.step()).rejects.toMatchObject(busy);
    await expect(trainer.evaluate()).rejects.toMatchObject(busy);
    await expect(trainer.fetchSnapshot()).rejects.toMatchObject(busy);
    await expect(trainer.dispose()).rejects.toMatchObject(busy);
    expect(() => trainer.noteBest(1)).toThrow(/trainer at rest/);
    expect((await first).loss).toBe(whole.losses[0]);
    expectEqual(await trainer.fetchSnapshot(), whole.end);
    await trainer.dispose();
    await trainer.dispose();
    await expect(trainer.step()).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/disposed of/),
    });
  });

  it('goes on after a call that failed', async () => {
    const trainer = await trainerFor(snapshotOf());
    await expect(trainer.evaluate(AbortSignal.abort())).rejects.toThrow();
    expect((await trainer.step()).step).toBe(1);
    await trainer.dispose();
  });

  it('is trained by one loop at a time, the first of which ends as if alone', async () => {
    const whole = await steps(snapshotOf(), 8);
    const trainer = await trainerFor(snapshotOf());
    const losses: number[] = [];
    for await (const event of runTraining(trainer)) {
      if (event.kind !== 'step') continue;
      losses.push(event.loss);
      await expect(runTraining(trainer).next()).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringMatching(/expected a trainer of its own, got one that another loop trains/),
      });
    }
    expect(losses).toEqual(whole.losses);
    expectEqual(await trainer.fetchSnapshot(), whole.end);
    for await (const event of runTraining(trainer)) expect(event).toBeUndefined();
    await trainer.dispose();
  });

  it.each([
    [300, 1],
    [100, 3],
  ])('refuses %i lanes of %i micro-batches that are shorter than a window', async (batch, accumulation) => {
    const options = { carryState: true, batch, accumulation };
    await expect(trainerFor(snapshotOf({}, options))).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(/300 lanes of \d+ tokens: expected at least 33 tokens, got 10\./),
    });
    await (await trainerFor(snapshotOf({}, { ...options, carryState: false }))).dispose();
  });

  it('stops at a loss that is not finite, and names the step and the last checkpoint', async () => {
    const snapshot = snapshotOf();
    const poisoned = leafAt(snapshot.params, 'norm.weight').data;
    const trainer = await trainerFor(snapshot);
    const store = { save: async () => 'runs/x/checkpoints/step-00000000' };
    const events: RunEvent[] = [];
    const run = async () => {
      for await (const event of runTraining(trainer, { store })) {
        events.push(event);
        if (event.kind === 'step' && event.step === 2)
          leafAt((await trainer.fetchSnapshot()).params, 'norm.weight').data[0] = Number.NaN;
      }
    };
    await expect(run()).rejects.toThrow(
      /step 3: expected a finite loss.* begin a new run in another folder.* below 0\.003 .*last good checkpoint is runs\/x/s,
    );
    expect(trainer.snapshot.step).toBe(2);
    expect(poisoned).toHaveLength(16);
    await trainer.dispose();
  });

  it.each([
    [
      'the one before, when the newest holds the weights that gave it',
      100,
      'checkpoint',
      /step 3: .*checkpoint is at 1\.$/,
    ],
    [
      'the newest, when held-out text shows it before the save',
      2,
      'step',
      /step 2: .* held-out text.*checkpoint is at 1\.$/,
    ],
  ] as const)('names as the last good checkpoint %s', async (_, evaluationInterval, poisonAt, message) => {
    const trainer = await trainerFor(snapshotOf({}, { checkpointInterval: 1, evaluationInterval }));
    const saved: number[] = [];
    const store = { save: async ({ step }: Snapshot) => `at ${saved[saved.push(step) - 1]}` };
    const run = async () => {
      for await (const event of runTraining(trainer, { store })) {
        if (event.kind !== poisonAt || event.step !== 2) continue;
        leafAt((await trainer.fetchSnapshot()).params, 'norm.weight').data[0] = Number.NaN;
      }
    };
    await expect(run()).rejects.toThrow(message);
    expect(saved).toEqual(poisonAt === 'step' ? [0, 1] : [0, 1, 2]);
    await trainer.dispose();
  });
});
