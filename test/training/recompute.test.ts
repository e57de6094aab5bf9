import { describe, expect, it } from 'vitest';
import {
  drawBuffers,
  type HostTensor,
  initialize,
  int32,
  leavesOf,
  mapTree,
  Random,
  uint32,
  zeros,
} from '../../src/base/index.js';
import { bytesSource, byteTokens } from '../../src/data/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { specsOf } from '../../src/graph/index.js';
import { initialState, type LanguageModelOptions, languageModelConfig, modelOf } from '../../src/models/index.js';
import { languageModelling, type Task } from '../../src/tasks/index.js';
import {
  compileStep,
  initMoments,
  lossGradient,
  type TrainingConfig,
  type TrainingOptions,
  trainingConfig,
  usesDropout,
} from '../../src/training/index.js';
import { largestError } from '../support/compare.js';
import { some } from '../support/product.js';
import { corpus, engine, tinyModel, tinyTraining } from '../support/tiny.js';

const shared = { kind: 'shared' } as const;
const output = { kind: 'shared', part: 'output' } as const;
const random = Random.fromSeed(5);

interface Run {
  readonly task: Task;
  readonly training: TrainingConfig;
}

function runOf(model: Partial<LanguageModelOptions>, options: Partial<TrainingOptions>): Run {
  const training = trainingConfig({ ...tinyTraining, batch: 1, ...options });
  const data = { train: byteTokens(bytesSource(corpus)), heldOut: byteTokens(bytesSource(corpus)) };
  const config = languageModelConfig({ ...tinyModel, ...model });
  return { training, task: languageModelling(modelOf(config, training), training, data) };
}

function weightsOf({ task: { model } }: Run) {
  const params: object = initialize(model.params, random.split('parameters'));
  const buffers: object = drawBuffers(model.buffers, random.split('projections'));
  return { params, buffers };
}

function batchOf({ training: { window } }: Run) {
  const words = random.split('tokens').bits(window + 1);
  return {
    tokens: int32(
      [1, window + 1],
      Int32Array.from(words, (word) => word >>> 24),
    ),
  };
}

function dropoutOf({ training }: Run) {
  return usesDropout(training) ? [{ seed: uint32([], [3]), step: uint32([], [4]) }] : [];
}

/** The loss and the gradient of every parameter, by path. */
async function gradientsOf(on: Engine, run: Run) {
  const { task, training } = run;
  const { params, buffers } = weightsOf(run);
  const states = training.carryState ? [initialState(task.model, 1)] : [];
  const dropout = dropoutOf(run);
  const rates = {
    embedding: training.embeddingDropout,
    attention: training.attentionDropout,
    feedForward: training.feedForwardDropout,
  };
  const given = { batch: batchOf(run), states, dropout };
  const executable = await on.compile(
    (learned, drawn, { batch, states: [state], dropout: [key] }) => {
      const options = { state, recompute: training.recompute, dropout: key && { key, rates } };
      const { total, gradients } = lossGradient(task, { params: learned, buffers: drawn }, batch, options);
      return { total, gradients };
    },
    [specsOf(params), specsOf(buffers), specsOf(given)],
  );
  const result = await executable.run([params, buffers, given]);
  await executable.dispose();
  return new Map(leavesOf(result) as unknown as [string, HostTensor][]);
}

const settings: readonly (readonly [string, Partial<LanguageModelOptions>, Partial<TrainingOptions>])[] = [
  ['positive features and rotary positions', {}, {}],
  ['a carried state', {}, { carryState: true }],
  [
    'dropout everywhere',
    { positions: 'none' },
    { embeddingDropout: 0.1, attentionDropout: 0.2, feedForwardDropout: 0.2 },
  ],
  ['learned positions and no token shift', { positions: { kind: 'learned', maxLength: 64 }, tokenShift: 0 }, {}],
  ['exact attention', { attention: 'softmax' }, {}],
  ['no attention', { attention: 'none' }, {}],
  ['features that are learned', { attention: { features: 'hedgehog' } }, {}],
  [
    'signed features, whose denominators are guarded',
    { attention: { features: { name: 'trigonometric', featureCount: 16 } } },
    {},
  ],
  ['features of positions', { attention: { features: 'cosformer' }, positions: 'none' }, {}],
  // Without recomputation reversible layers are computed backwards, with it from the inputs of each.
  ['reversible layers', { reversible: true, depth: 4 }, {}],
  [
    'reversible layers with dropout and ReZero',
    { reversible: true, norm: 'rezero', attention: ['softmax', 'favor+'] },
    { embeddingDropout: 0.1, attentionDropout: 0.2, feedForwardDropout: 0.2 },
  ],
  ['reversible layers with a carried state and one key head', { reversible: true, keyHeads: 1 }, { carryState: true }],
  ['attention that is shared', { depth: 6, attention: ['favor+', shared, output] }, { attentionDropout: 0.2 }],
  ['exact attention that is shared', { depth: 4, attention: ['softmax', output, 'softmax', shared] }, {}],
  ['learned features that are shared', { attention: [{ features: 'hedgehog' }, shared] }, { carryState: true }],
  ['a gated feed-forward layer', { activation: 'swiglu', norm: { placement: 'post' } }, { feedForwardDropout: 0.2 }],
  ['reversible layers that share attention', { reversible: true, depth: 6, attention: ['favor+', shared, output] }, {}],
];

const ways: readonly (readonly [string, Partial<TrainingOptions>])[] = [
  ['recomputation of blocks', { recompute: true }],
  ['feed-forward layers in chunks', { feedForwardChunk: 7 }],
  ['both', { recompute: true, feedForwardChunk: 16 }],
];

/** What is made when it is first asked for. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** A training step: its loss, and what it leaves behind. */
async function stepOf(run: Run) {
  const { task, training } = run;
  const { params, buffers } = weightsOf(run);
  const moments = initMoments(params);
  const next = mapTree({ params, moments }, ({ shape }: HostTensor) => zeros('float32', shape)) as never;
  const step = await compileStep(engine, task, training);
  const { loss, gradientNorm, states } = await step.run({
    ...{ params, moments, buffers, next },
    states: training.carryState ? [initialState(task.model, 1)] : [],
    batches: [batchOf(run)],
    dropout: dropoutOf(run),
    scalars: {
      learningRate: { dtype: 'float32', shape: [], data: Float32Array.of(1e-3) },
      update: { dtype: 'float32', shape: [], data: Float32Array.of(1) },
    },
  });
  await step.dispose();
  return { loss, gradientNorm, leaves: new Map(leavesOf({ next, states }) as unknown as [string, HostTensor][]) };
}

const cases = settings.map(([name, model, options], turn) => ({ name, model, options, turn }));

describe.each(cases)('$name', ({ model, options, turn }) => {
  const gradients = (way: Partial<TrainingOptions>) =>
    gradientsOf(referenceEngine(), runOf(model, { ...options, ...way, window: 20 }));
  const steps = (way: Partial<TrainingOptions>) => stepOf(runOf(model, { ...options, ...way }));
  const plainGradients = lazily(() => gradients({}));
  const plainStep = lazily(() => steps({}));

  it.each(some(ways, turn))('has the same gradients in float64 with %s', async (_, way) => {
    const [plain, again] = [await plainGradients(), await gradients(way)];
    expect([...again.keys()]).toEqual([...plain.keys()]);
    for (const [path, gradient] of plain) expect(largestError(again.get(path)!, gradient), path).toBeLessThan(1e-12);
  });

  it.each(some(ways, turn))('has the same training step but for rounding with %s', async (_, way) => {
    const [plain, again] = [await plainStep(), await steps(way)];
    expect(again.loss).toBeCloseTo(plain.loss, 5);
    expect(again.gradientNorm).toBeCloseTo(plain.gradientNorm, 4);
    // Not the parameters: the first step of Adam is the sign of the gradient, which rounding turns where it is zero.
    const compared = [...plain.leaves].filter(([path]) => !path.startsWith('next.params'));
    for (const [path, leaf] of compared) expect(largestError(again.leaves.get(path)!, leaf), path).toBeLessThan(1e-5);
  });
});
