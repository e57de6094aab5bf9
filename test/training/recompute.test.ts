import { describe, expect, it } from 'vitest';
import { type HostTensor, int32, leavesOf, mapTree, Random, uint32, zeros } from '../../src/base/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { specsOf } from '../../src/graph/index.js';
import {
  drawProjections,
  initialState,
  initLanguageModel,
  type LanguageModelConfig,
  type LanguageModelOptions,
  languageModelConfig,
} from '../../src/models/index.js';
import { compileStep, initMoments, lossGradient, trainingConfig } from '../../src/training/index.js';
import { largestError } from '../support/compare.js';
import { engine, tinyModel, tinyTraining } from '../support/tiny.js';

const random = Random.fromSeed(5);

function configOf(options: Partial<LanguageModelOptions>): LanguageModelConfig {
  return languageModelConfig({ ...tinyModel, ...options });
}

function inputsOf(config: LanguageModelConfig, batch: number, window: number) {
  const count = batch * (window + 1);
  const usesDropout = config.attentionDropout + config.feedForwardDropout + config.embeddingDropout > 0;
  return {
    tokens: int32(
      [batch, window + 1],
      Int32Array.from(random.split('tokens').bits(count), (word) => word >>> 24),
    ),
    ...(usesDropout ? { dropout: { seed: uint32([], [3]), step: uint32([], [4]) } } : {}),
  };
}

/** The loss and the gradient of every parameter, by path. */
async function gradientsOf(
  on: Engine,
  config: LanguageModelConfig,
  { recompute, carries, window }: { recompute: boolean; carries: boolean; window: number },
) {
  const params = initLanguageModel(config, random.split('parameters'));
  const projections = drawProjections(config, random.split('projections'));
  const states = carries ? [initialState(config, 1)] : [];
  const inputs = inputsOf(config, 1, window);
  const executable = await on.compile(
    (p, q, { states: [state] }, given) => {
      const { loss, gradients } = lossGradient(config, p, given, q, { state, recompute });
      return { loss, gradients };
    },
    [specsOf(params), specsOf(projections), { states: specsOf(states) }, specsOf(inputs)],
  );
  const result = await executable.run([params, projections, { states }, inputs]);
  await executable.dispose();
  return new Map(leavesOf(result) as unknown as [string, HostTensor][]);
}

const cases: readonly (readonly [string, Partial<LanguageModelOptions>, { readonly carries?: boolean }])[] = [
  ['positive features and rotary positions', {}, {}],
  ['a carried state', {}, { carries: true }],
  [
    'dropout everywhere',
    { embeddingDropout: 0.1, attentionDropout: 0.2, feedForwardDropout: 0.2, positions: 'none' },
    {},
  ],
  ['learned positions and no token shift', { positions: 'learned', maxLength: 64, tokenShift: false }, {}],
  ['exact attention', { attention: 'softmax' }, {}],
  ['no attention', { attention: 'none' }, {}],
  ['features that are learned', { featureMap: 'hedgehog', featureCount: undefined, projectionKind: undefined }, {}],
  ['signed features, whose denominators are guarded', { featureMap: 'trigonometric' }, {}],
  ['features of positions', { featureMap: 'cosformer', featureCount: undefined, positions: 'none' }, {}],
];

describe('recomputation of blocks', () => {
  it.each(cases)('changes no gradient in float64: %s', async (_, options, { carries = false }) => {
    const config = configOf(options);
    const plain = await gradientsOf(referenceEngine(), config, { recompute: false, carries, window: 20 });
    const again = await gradientsOf(referenceEngine(), config, { recompute: true, carries, window: 20 });
    expect([...again.keys()]).toEqual([...plain.keys()]);
    for (const [path, gradient] of plain) expect(largestError(again.get(path)!, gradient), path).toBeLessThan(1e-12);
  });

  it.each(cases)('changes a training step by rounding at most: %s', async (_, options, { carries = false }) => {
    const model = configOf(options);
    const stepOf = async (recompute: boolean) => {
      const training = trainingConfig({ ...tinyTraining, batch: 1, carryState: carries, recompute });
      const params = initLanguageModel(model, random.split('parameters'));
      const next = mapTree({ params, moments: initMoments(params) }, ({ shape }: HostTensor) =>
        zeros('float32', shape),
      );
      const step = await compileStep(engine, model, training);
      const { loss, gradientNorm, states } = await step.run({
        params,
        moments: initMoments(params),
        projections: drawProjections(model, random.split('projections')),
        states: carries ? [initialState(model, 1)] : [],
        batches: [inputsOf(model, 1, training.window)],
        scalars: {
          learningRate: { dtype: 'float32', shape: [], data: Float32Array.of(1e-3) },
          update: { dtype: 'float32', shape: [], data: Float32Array.of(1) },
        },
        next,
      });
      await step.dispose();
      return { loss, gradientNorm, leaves: new Map(leavesOf({ next, states }) as unknown as [string, HostTensor][]) };
    };
    const plain = await stepOf(false);
    const again = await stepOf(true);
    expect(again.loss).toBeCloseTo(plain.loss, 5);
    expect(again.gradientNorm).toBeCloseTo(plain.gradientNorm, 4);
    // Not the parameters: the first step of Adam is the sign of the gradient, which rounding turns where it is zero.
    const compared = [...plain.leaves].filter(([path]) => !path.startsWith('next.params'));
    for (const [path, leaf] of compared) expect(largestError(again.leaves.get(path)!, leaf), path).toBeLessThan(1e-5);
  });
});
