/** Models of images: their options, what they read, that they learn, go on, and paint. */
import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, initialize, Random } from '../../src/base/index.js';
import { byteTokenizer, encodeTexts, imageSet, splitTexts } from '../../src/data/index.js';
import { GenerationSession, type PaintOptions, paint } from '../../src/generation/index.js';
import { spec, specsOf } from '../../src/graph/index.js';
import {
  type ImageClassifierOptions,
  imageClassifierConfig,
  type LoadedModel,
  languageModelConfig,
  modelConfig,
  modelOf,
  type PixelModelOptions,
  pixelModelConfig,
  predict,
} from '../../src/models/index.js';
import { classification, classTargets, imageModelling, taskOfModel } from '../../src/tasks/index.js';
import { Evaluator, initialSnapshot, Trainer, trainingConfig, trainingOf } from '../../src/training/index.js';
import { values } from '../support/compare.js';
import { halves } from '../support/image-files.js';
import { engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } };
const given = halves(60, 4);
const set = imageSet(given);
const tokens = await encodeTexts(set.texts, byteTokenizer);
const data = splitTexts(tokens, 0.2, Random.fromSeed(1));
const ab = { kind: 'classes' as const, names: ['a', 'b'] };
const grey = { height: 4, width: 6, channels: 1 } as const;
const colours = { height: 4, width: 6, channels: 3 } as const;

const classifierOf = (options: Partial<ImageClassifierOptions> = {}) =>
  imageClassifierConfig({ ...sizes, image: grey, patch: 2, targets: ab, ...options });
const pixelsOf = (options: Partial<PixelModelOptions> = {}) => pixelModelConfig({ ...sizes, image: grey, ...options });

describe('positions of images follow from their size', () => {
  it('in rows and columns of patches, and one row more where a class token stands behind them', () => {
    const axial = { kind: 'axial', columns: 3, channels: 1 };
    expect(classifierOf().positions).toEqual({ ...axial, maxLength: 6 });
    expect(classifierOf({ pooling: 'class-token' }).positions).toEqual({ ...axial, maxLength: 9 });
    expect(classifierOf({ pooling: 'class-token', positions: 'learned' }).positions).toEqual({
      kind: 'learned',
      maxLength: 7,
    });
  });

  it('in rows, columns and channels of pixels', () => {
    expect(pixelsOf({ image: colours }).positions).toEqual({ kind: 'axial', maxLength: 72, columns: 6, channels: 3 });
    expect(pixelsOf({ positions: 'learned' }).positions).toEqual({ kind: 'learned', maxLength: 24 });
    expect(pixelsOf({ positions: 'rotary' }).positions).toMatchObject({ kind: 'rotary' });
    const { positions } = modelOf(pixelsOf({ image: colours })).params as unknown as Record<'positions', object>;
    expect(Object.keys(positions)).toEqual(['rows', 'columns', 'channels']);
  });

  it('and a config that was written is read again', () => {
    for (const config of [classifierOf({ pooling: 'class-token' }), pixelsOf({ image: colours })]) {
      expect(modelConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
    }
  });
});

it.each<[string, () => unknown, string]>([
  [
    'a patch that does not divide the images',
    () => classifierOf({ patch: 4 }),
    "patch: expected a divisor of the images' 4×6 pixels, got 4",
  ],
  ['a class token with autoregression', () => pixelsOf({ pooling: 'class-token' } as never), 'pooling'],
  ['an unknown pooling', () => classifierOf({ pooling: 'first' as never }), 'pooling'],
  ['two channels', () => pixelsOf({ image: { ...grey, channels: 2 as never } }), 'image.channels'],
  ['no size', () => modelConfig({ ...sizes, model: 'pixel-model' }), 'image'],
  [
    'positions of another size',
    () => pixelsOf({ positions: { kind: 'learned', maxLength: 7 } }),
    'positions.maxLength: expected 24, which follows from the size of images, got 7',
  ],
  ['values as targets', () => classifierOf({ targets: { kind: 'values', names: ['x'] } as never }), 'targets'],
  ['one class', () => classifierOf({ targets: { names: ['x'] } }), 'targets'],
  ['a vocabulary of its own', () => pixelsOf({ vocabularySize: 300 as never }), 'vocabularySize'],
])('%s is one clear error', (_, make, message) => {
  expect(make).toThrow(message);
});

describe('patches', () => {
  it('are a convolution whose stride is its width', async () => {
    const config = imageClassifierConfig({
      ...{ ...sizes, depth: 1, attention: 'none', positions: 'none', tokenShift: 0 },
      ...{ image: { height: 4, width: 6, channels: 3 }, patch: 2, targets: ab },
    });
    const model = modelOf(config);
    const params = initialize<object>(model.params, Random.fromSeed(1)) as {
      readonly patches: { readonly weight: HostTensor; readonly bias: HostTensor };
    };
    params.patches.bias.data.set(Random.fromSeed(3).normals(16));
    const pixels = Float32Array.from({ length: 72 }, (_, at) => ((at * 29) % 71) / 71);
    const compiled = await engine.compile(
      (learned: object, { images }: { images: never }) =>
        model.apply({ params: learned, buffers: model.buffers }, { images }),
      [specsOf(params) as object, { images: spec('float32', [1, 4, 6, 3]) }] as never,
    );
    const { hidden } = (await compiled.run([params, { images: float32([1, 4, 6, 3], pixels) }] as never)) as never as {
      hidden: HostTensor;
    };
    await compiled.dispose();
    expect(hidden.shape).toEqual([1, 6, 16]);
    // Blocks without attention take each token alone: an image that is one patch gives what the patch gives in its place.
    const [row, column] = [1, 2];
    const alone = Float32Array.from({ length: 12 }, (_, at) => {
      const [y, x, channel] = [Math.floor(at / 6), Math.floor(at / 3) % 2, at % 3];
      return pixels[((row * 2 + y) * 6 + column * 2 + x) * 3 + channel]!;
    });
    const small = modelOf({ ...config, image: { height: 2, width: 2, channels: 3 } } as never);
    const one = await engine.compile(
      (learned: object, { images }: { images: never }) =>
        small.apply({ params: learned, buffers: small.buffers }, { images }),
      [specsOf(params) as object, { images: spec('float32', [1, 2, 2, 3]) }] as never,
    );
    const patch = (await one.run([params, { images: float32([1, 2, 2, 3], alone) }] as never)) as never as {
      hidden: HostTensor;
    };
    await one.dispose();
    const found = values(hidden).slice((row * 3 + column) * 16, (row * 3 + column + 1) * 16);
    values(patch.hidden).forEach((value, at) => expect(found[at]).toBeCloseTo(value, 4));
  });
});

const trainingWith = (options: object = {}) =>
  trainingConfig({ steps: 40, batch: 8, window: 1, learningRate: 1e-2, redrawInterval: 0, ...options });

function classifying(pooling: ImageClassifierOptions['pooling'], options: object = {}) {
  const config = imageClassifierConfig({ ...sizes, image: set.size, patch: 2, pooling, targets: classTargets(tokens) });
  const model = modelOf(config);
  const training = trainingOf(model, trainingWith(options));
  return { config, training, task: classification(model, training, data) };
}

function painting(options: object = {}) {
  const config = pixelModelConfig({ ...sizes, image: set.size });
  const model = modelOf(config);
  const training = trainingOf(model, trainingWith(options));
  return { config, training, task: imageModelling(model, training, data) };
}

describe('an image classifier', () => {
  it.each(['mean', 'class-token', 'attention'] as const)('pooled by %s learns to tell images', async (pooling) => {
    const { config, training, task } = classifying(pooling);
    expect(training.window).toBe(4);
    expect(task.tokensPerStep).toBe(32);
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 40; step++) await trainer.step();
    const { measures } = await trainer.evaluate();
    expect(measures.accuracy).toBe(1);
    const { params, buffers } = await trainer.fetchSnapshot();
    const loaded: LoadedModel = { model: task.model, params, buffers };
    const told = await predict(engine, loaded, given.map(({ image }) => image.pixels).slice(0, 6), { batch: 4 });
    expect(told.map(([left, right]) => left! > right!)).toEqual([true, false, true, false, true, false]);
    await expect(predict(engine, loaded, [new Uint8Array(9)])).rejects.toThrow(
      'expected 16 values of an image of 4×4 grey, got 9',
    );
    await trainer.dispose();
  });

  it('is trained by the task of its family', () => {
    expect(taskOfModel(modelOf(classifierOf())).name).toBe('image-classification');
    expect(taskOfModel(modelOf(pixelsOf())).name).toBe('image-modelling');
  });
});

describe.each([
  ['image classification', () => classifying('class-token', { accumulation: 2 })],
  ['image modelling', () => painting({ accumulation: 2, embeddingDropout: 0.1 })],
])('%s', (_, make) => {
  it('goes on from a snapshot as if unbroken', async () => {
    const { config, training, task } = make();
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    const losses: number[] = [];
    for (let step = 0; step < 8; step++) losses.push((await trainer.step()).loss);
    await trainer.dispose();
    const first = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 4; step++) await first.step();
    const snapshot = structuredClone(await first.fetchSnapshot());
    await first.dispose();
    const second = await Trainer.create(snapshot, { engine, task: make().task });
    for (let step = 4; step < 8; step++) expect((await second.step()).loss).toBe(losses[step]);
    await second.dispose();
  });

  it('carries no state', () => {
    const { task } = make();
    const size = { ...task.size, carryState: true };
    const build = task.name === 'image-modelling' ? imageModelling : classification;
    expect(() => build(task.model, size, data)).toThrow('carryState');
  });
});

describe('a pixel model', () => {
  it('begins at eight bits a value, and tells bits of all colours of a pixel together', async () => {
    const config = pixelModelConfig({ ...sizes, image: { height: 2, width: 2, channels: 3 } });
    const images = halves(10, 2).map(({ image }) => ({
      image: { ...image, channels: 3, pixels: Uint8Array.from({ length: 12 }, (_, at) => at * 20) } as const,
    }));
    const own = await encodeTexts(imageSet(images).texts, byteTokenizer);
    const model = modelOf(config);
    const training = trainingOf(model, trainingWith({ batch: 4 }));
    const task = imageModelling(model, training, { train: own, heldOut: own });
    const evaluator = new Evaluator(engine, task);
    const { measures, chosen } = await evaluator.run(initialSnapshot(config, training));
    await evaluator.dispose();
    expect(measures.bitsPerDimension).toBeCloseTo(chosen / Math.LN2, 6);
    expect(measures.bitsPerPixel).toBeCloseTo(3 * measures.bitsPerDimension!, 6);
    expect(Math.abs(measures.bitsPerDimension! - Math.log2(257))).toBeLessThan(1);
  });

  it('is refused by models of other families', () => {
    const model = modelOf(languageModelConfig(sizes));
    expect(() => imageModelling(model, trainingWith(), data)).toThrow(
      'expected a model that paints images, got a causal',
    );
  });

  it('learns images, paints such as it learned, and completes one that is given', async () => {
    const { config, training, task } = painting({ steps: 120 });
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    const before = (await trainer.evaluate()).measures.bitsPerPixel!;
    for (let step = 0; step < 120; step++) await trainer.step();
    const after = (await trainer.evaluate()).measures.bitsPerPixel!;
    expect(after).toBeLessThan(before - 2);
    const { params, buffers } = await trainer.fetchSnapshot();
    await trainer.dispose();
    const session = await GenerationSession.create(engine, { model: task.model, params, buffers }, { batch: 4 });
    const how: PaintOptions = { temperature: 0.5, seed: 3 };
    const images = await paint(session, how);
    for (const { height, width, channels, pixels } of images) {
      expect([height, width, channels, pixels.length]).toEqual([4, 4, 1, 16]);
    }
    expect(await paint(session, how)).toEqual(images);
    expect(await paint(session, { ...how, seed: 4 })).not.toEqual(images);
    const rows: number[] = [];
    const begun = given.slice(0, 4).map(({ image }) => image.pixels.subarray(0, 8));
    const completed = await paint(session, { ...how, begun, onRow: (painted) => rows.push(painted) });
    expect(rows).toEqual([12, 16]);
    for (const [index, { pixels }] of completed.entries()) {
      expect(pixels.subarray(0, 8)).toEqual(begun[index]);
      // The lower half is bright where the upper half is.
      const [left, right] = [pixels[8]! + pixels[9]!, pixels[10]! + pixels[11]!];
      expect(left > right).toBe(index % 2 === 0);
    }
    await expect(paint(session, { ...how, begun: begun.slice(1) })).rejects.toThrow('one for each row of 4');
    await expect(paint(session, { ...how, begun: given.slice(0, 4).map(({ image }) => image.pixels) })).rejects.toThrow(
      'below the 16 values of 4×4 grey',
    );
    await expect(paint(session, { ...how, begun: begun.map(() => [256]) })).rejects.toThrow('from 0 to 255, got 256');
    await expect(paint(session, { ...how, temperature: -1 })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(paint(session, { ...how, signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
    await session.dispose();
  });
});
