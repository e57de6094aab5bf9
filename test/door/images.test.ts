/** Models of images at the front door: created, trained, saved and called, here and through messages. */
import { afterEach, expect, expectTypeOf, it } from 'vitest';
import { imageSet } from '../../src/data/index.js';
import type { MessageEnd } from '../../src/door/remote-calls.js';
import { Connection, remotePerformer } from '../../src/door/remote-performer.js';
import { serve } from '../../src/door/serve.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  createModel,
  type Image,
  type ImageClassifier,
  type Loaded,
  loadModel,
  type PixelModel,
  saveModel,
  trainModel,
} from '../../src/index.js';
import { halves } from '../support/image-files.js';

const given = halves(40, 4);
const images = given.map(({ image }) => image);
const image = { height: 4, width: 4, channels: 1 } as const;
const size = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } } as const;
const training = { ...size, steps: 40, batch: 8, learningRate: 1e-2, heldOut: 0.2, redrawInterval: 0 } as const;
const classification = { ...training, task: 'image-classification', patch: 2, pooling: 'class-token' } as const;

const ports: { close(): void }[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

it('an image classifier is trained, saved, loaded, and tells the class of images', async () => {
  const model = await trainModel(given, classification);
  expectTypeOf(model).toEqualTypeOf<ImageClassifier & Loaded>();
  expect([model.kind, model.image, model.classes]).toEqual(['image-classifier', image, ['left', 'right']]);
  const told = await model.classify(images);
  expect(told.map(({ label }) => label)).toEqual(given.map(({ label }) => label));
  expect(told[0]!.probabilities.left! + told[0]!.probabilities.right!).toBeCloseTo(1, 5);
  const [vector] = await model.embed(images.slice(0, 1), { normalize: true });
  expect(Math.hypot(...vector!)).toBeCloseTo(1, 5);
  const loaded = await loadModel(await saveModel(model), { kind: 'image-classifier' });
  expect(await loaded.classify(images, { batch: 40 })).toEqual(await model.classify(images, { batch: 40 }));
  const same = await trainModel(imageSet(given), classification);
  expect(await same.classify(images)).toEqual(told);
  const further = await trainModel(given, { task: 'image-classification', from: model, steps: 2, batch: 4 });
  expect(further.classes).toEqual(model.classes);
});

it('a pixel model is trained on images, with classes or without, and paints', async () => {
  const model = await trainModel(images, { ...training, task: 'image-modelling', steps: 10 });
  expectTypeOf(model).toEqualTypeOf<PixelModel & Loaded>();
  const two = await model.paint({ count: 2, seed: 5 });
  expect(two.map(({ pixels, ...own }) => [own, pixels.length])).toEqual([
    [image, 16],
    [image, 16],
  ]);
  expect(await model.paint({ count: 2, seed: 5 })).toEqual(two);
  const [completed] = await model.paint({ complete: images[0], keptRows: 3 });
  expect(completed!.pixels.subarray(0, 12)).toEqual(images[0]!.pixels.subarray(0, 12));
  const unnamed = imageSet(images.map((each) => ({ image: each })));
  const same = await trainModel(unnamed, { ...training, task: 'image-modelling', steps: 10 });
  expect(await same.paint({ count: 2, seed: 5 })).toEqual(two);
  await model.dispose();
  await expect(model.paint()).rejects.toMatchObject({ code: 'USAGE' });
});

it('both are the same through messages', async () => {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serve(port1 as unknown as MessageEnd, async () => nodeEngine({ threads: 1 }));
  const connection = new Connection(port2 as unknown as MessageEnd);
  await connection.call('start', [{ threads: 1 }]);
  const remote = remotePerformer(connection, () => port1.close());
  const options = { ...size, image, seed: 2 } as const;
  const [own, other] = await Promise.all(
    [createModel, remote.createModel].map((create) => create({ ...options, model: 'pixel-model' })),
  );
  expect(await other!.paint({ count: 2 })).toEqual(await own!.paint({ count: 2 }));
  const trained = await remote.trainModel(imageSet(given), { ...classification, steps: 3 });
  expect(trained.image).toEqual(image);
  const here = await trainModel(given, { ...classification, steps: 3 });
  expect(await trained.classify(images)).toEqual(await here.classify(images));
});

it('what does not fit is one clear error', async () => {
  const targets = { names: ['a', 'b'] };
  const model = await createModel({ ...size, model: 'image-classifier', image, patch: 2, targets });
  const wide: Image = { height: 2, width: 8, channels: 1, pixels: new Uint8Array(16) };
  await expect(model.classify([wide])).rejects.toThrow('classify, image 0: expected an image of 4×4 grey');
  await expect(model.classify(wide as never)).rejects.toThrow('expected a list of images, got object');
  await expect(trainModel([...given, { image: wide, label: 'x' }], classification)).rejects.toThrow(
    'trainModel, image 40: expected an image of 4×4 grey, got one of 2×8 grey',
  );
  await expect(trainModel(['text'] as never, classification)).rejects.toThrow('expected a list of images');
  await expect(trainModel(images as never, classification)).rejects.toThrow('two classes at least');
  await expect(trainModel(given, { ...classification, window: 9 } as never)).rejects.toThrow('images are read whole');
  // @ts-expect-error: autoregression has no class token
  await expect(trainModel(images, { ...training, task: 'image-modelling', pooling: 'class-token' })).rejects.toThrow(
    /pooling/,
  );
  const painter = await createModel({ ...size, model: 'pixel-model', image });
  await expect(painter.paint({ complete: wide })).rejects.toThrow('expected an image of 4×4 grey');
  await expect(painter.paint({ complete: images[0], keptRows: 4 })).rejects.toMatchObject({ code: 'CONFIG' });
});
