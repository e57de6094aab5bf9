/** The front door: attention, models, training and folders in few lines, as users call them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { GenerationSession, generate } from '../../src/generation/index.js';
import {
  attention,
  createModel,
  type LanguageModel,
  type Local,
  loadModel,
  saveModel,
  type TrainingProgress,
  trainModel,
} from '../../src/index.js';

const size = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } } as const;
const short = { ...size, steps: 6, batch: 2, window: 16, learningRate: 1e-2 } as const;
const text = 'the cat sat on the mat, and the dog sat by it. '.repeat(40);

let model: Local<LanguageModel>;
let folder: string;

beforeAll(async () => {
  model = await createModel({ ...size, seed: 3 });
  folder = await mkdtemp(join(tmpdir(), 'performer-door-'));
});

afterAll(async () => {
  await model.dispose();
  await rm(folder, { recursive: true });
});

describe('attention', () => {
  const shape = [2, 5, 3, 4] as const;
  const draw = (name: string, count: number) =>
    Random.fromSeed(1)
      .split(name)
      .normals(count)
      .map((x) => x / 2);
  const [query, key, value] = [draw('query', 120), draw('key', 120), draw('value', 120)];

  /** softmax(QKᵀ/√dim)V by its definition, for arrays [batch, length, heads, dim]. */
  function definition(isCausal: boolean, keys = 5, valueDim = 4, isSeen = (_: number) => true): number[] {
    const [batch, length, heads, dim] = shape;
    const output: number[] = [];
    for (let b = 0; b < batch; b++)
      for (let i = 0; i < length; i++)
        for (let h = 0; h < heads; h++) {
          const weights = Array.from({ length: keys }, (_, j) => {
            if ((isCausal && j > i) || !isSeen(b * keys + j)) return 0;
            let score = 0;
            for (let d = 0; d < dim; d++)
              score += query[((b * length + i) * heads + h) * dim + d]! * key[((b * keys + j) * heads + h) * dim + d]!;
            return Math.exp(score / Math.sqrt(dim));
          });
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (let d = 0; d < valueDim; d++) {
            const of = (j: number) => value[((b * keys + j) * heads + h) * valueDim + d]!;
            output.push(weights.reduce((sum, weight, j) => sum + weight * of(j), 0) / total);
          }
        }
    return output;
  }

  function expectNear(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
    expect(actual.length).toBe(expected.length);
    const worst = Math.max(...expected.map((one, at) => Math.abs(one - actual[at]!)));
    expect(worst).toBeLessThan(tolerance);
  }

  it('with softmax is the definition, causal or not', async () => {
    for (const isCausal of [false, true]) {
      const output = await attention({ query, key, value, shape }, { kind: 'softmax', isCausal });
      expect(output).toBeInstanceOf(Float32Array);
      expectNear(output, definition(isCausal), 1e-5);
    }
  });

  it('with FAVOR+ comes close to it with many features, and equal seeds give equal outputs', async () => {
    for (const isCausal of [false, true]) {
      const options = { isCausal, features: { featureCount: 4096 }, seed: 5 };
      const output = await attention({ query, key, value, shape }, options);
      expectNear(output, definition(isCausal), 0.05);
      expect(await attention({ query, key, value, shape }, options)).toEqual(output);
      expect(await attention({ query, key, value, shape }, { ...options, seed: 6 })).not.toEqual(output);
    }
  });

  it('takes keys of another length, values of another width, a mask and any feature map', async () => {
    const keys = { query, key: key.slice(0, 72), value: value.slice(0, 36), shape }; // 3 keys, values of width 2
    const keyMask = [true, false, true, true, true, false];
    const output = await attention({ ...keys, keyMask }, { kind: 'softmax' });
    expectNear(
      output,
      definition(false, 3, 2, (at) => keyMask[at]!),
      1e-5,
    );
    expect(await attention(keys, { features: 'relu' })).toHaveLength(2 * 5 * 3 * 2);
    expect(await attention(keys, { features: 'hedgehog' })).toHaveLength(2 * 5 * 3 * 2);
  });

  it('runs on an engine that is passed in', async () => {
    const arrays = { query, key, value, shape };
    const output = await attention(arrays, { engine: referenceEngine(), isCausal: true });
    expectNear(await attention(arrays, { isCausal: true }), Array.from(output), 1e-4);
  });

  it('refuses arrays and options that do not fit', async () => {
    await expect(attention({ query, key: [1], value, shape })).rejects.toThrow(/attention: expected a multiple of 24/);
    await expect(attention({ query, key, value, shape: [1, 2, 3] as never })).rejects.toThrow(/a shape \[batch/);
    await expect(attention({ query, key, value, shape }, { kind: 'hard' as never })).rejects.toThrow(
      /favor\+ or softmax/,
    );
    await expect(attention({ query, key, value, shape }, { features: 'unknown' })).rejects.toMatchObject({
      code: 'CONFIG',
    });
  });
});

describe('a model', () => {
  it('gives the logits of texts and of tokens', async () => {
    const logits = await model.logits('cat');
    expect(logits.shape).toEqual([3, 256]);
    expect(await model.logits([99, 97, 116])).toEqual(logits);
    const whole = await model.logits('cats');
    expect(Array.from(whole.data.subarray(0, 768), (x) => x.toFixed(3))).toEqual(
      Array.from(logits.data, (x) => x.toFixed(3)),
    );
    await expect(model.logits('')).rejects.toThrow(/from 1 to Infinity tokens, got 0/);
    await expect(model.logits([256])).rejects.toThrow(/tokens from 0 to 255, got 256/);
  });

  it('has the preset tiny unless told otherwise, and refuses options that there are not', async () => {
    await expect(createModel({ preset: 'huge' as never })).rejects.toThrow(/tiny, small, base as preset, got huge/);
    expect(await createModel()).toMatchObject({ config: { dim: 192, depth: 3 }, parameterCount: 1_435_282 });
    await expect(createModel({ steps: 3 } as never)).rejects.toThrow(/createModel: .*"steps"/);
    await expect(createModel({ width: 3 } as never)).rejects.toThrow(/createModel: .*"width"/);
  });

  it('generates the text of a session, in pieces and as a whole, several at once', async () => {
    const session = await GenerationSession.create(nodeEngine(), model.loaded);
    let expected = '';
    for await (const piece of generate(session, 'a', { maxTokens: 12, temperature: 0.8, topP: 0.95, seed: 4 })) {
      expected += piece.text;
    }
    await session.dispose();
    const begin = () => model.generate('a', { maxTokens: 12, seed: 4 });
    let pieces = '';
    for await (const piece of begin()) pieces += piece;
    expect(pieces).toBe(expected);
    expect(await Promise.all([begin().text(), begin().text()])).toEqual([expected, expected]);
  });

  it('ends a generation by a signal, and a loop that is left harms no other', async () => {
    const controller = new AbortController();
    const stopped = model.generate('a', { maxTokens: 1000, signal: controller.signal }).text();
    controller.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
    const all = await model.generate('a', { maxTokens: 30 }).text();
    for await (const piece of model.generate('a', { maxTokens: 30 })) {
      expect(all.startsWith(piece)).toBe(true);
      break;
    }
    expect(await model.generate('a', { maxTokens: 30 }).text()).toBe(all);
  });

  it('that was disposed of says so', async () => {
    const gone = await createModel(size);
    await gone.dispose();
    await expect(gone.logits('a')).rejects.toMatchObject({ code: 'USAGE' });
    await expect(gone.generate('a').text()).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('training in memory', () => {
  it('learns, tells each step and evaluation, and equal seeds give equal models', async () => {
    const told: TrainingProgress[] = [];
    const trained = await trainModel(text, { ...short, steps: 40, onProgress: (each) => void told.push(each) });
    const losses = told.flatMap((each) => (each.kind === 'step' ? [each.loss] : []));
    expect(losses).toHaveLength(40);
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 1);
    expect(told.at(-1)).toMatchObject({ kind: 'evaluation', step: 40, steps: 40, isBest: true });
    const again = await trainModel([text.slice(0, 500), new TextEncoder().encode(text.slice(500))], {
      ...short,
      steps: 40,
    });
    expect(await again.logits('the')).toEqual(await trained.logits('the'));
    expect(await trained.generate('the c', { maxTokens: 5 }).text()).toBe(
      await again.generate('the c', { maxTokens: 5 }).text(),
    );
  });

  it('begins with the model that createModel makes, and gives the model so far when it is stopped', async () => {
    const controller = new AbortController();
    controller.abort();
    const untouched = await trainModel(text, { ...short, seed: 3, signal: controller.signal });
    expect(await untouched.logits('the')).toEqual(await model.logits('the'));
    const late = new AbortController();
    const steps: number[] = [];
    const stopped = await trainModel(text, {
      ...{ ...short, seed: 3, steps: 1000, signal: late.signal },
      onProgress: ({ step }) => {
        steps.push(step);
        if (step === 2) late.abort();
      },
    });
    expect(steps).toEqual([1, 2]);
    expect(await stopped.logits('the')).not.toEqual(await model.logits('the'));
  });

  it('refuses options and texts that do not fit', async () => {
    await expect(trainModel(text, { ...short, learningRat: 1 } as never)).rejects.toThrow(/trainModel: .*learningRat/);
    await expect(trainModel('short', short)).rejects.toMatchObject({ code: 'DATA' });
  });
});

describe('a saved model', () => {
  it('is the same from its files, its folder and a URL', async () => {
    const expected = await model.logits('the cat');
    const files = await saveModel(model);
    expect([...files.keys()].sort()).toEqual([
      ...['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json'],
    ]);
    const place = join(folder, 'new/model');
    await saveModel(model, place);
    const server = createServer(({ url }, response) => {
      const bytes = files.get((url ?? '').replace('/models/cat/', ''));
      response.writeHead(bytes === undefined ? 404 : 200).end(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/cat`;
    try {
      for (const source of [files, place, pathToFileURL(place), url, new URL(`${url}/`)]) {
        const loaded = await loadModel(source, { kind: 'language-model' });
        expect(await loaded.logits('the cat')).toEqual(expected);
        await loaded.dispose();
      }
      await expect(loadModel(`${url}s`)).rejects.toThrow(/cats\/config\.json, got the status 404/);
    } finally {
      server.close();
    }
    await expect(loadModel(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'CHECKPOINT' });
    await expect(loadModel(url)).rejects.toThrow(/expected a file at http/);
  });
});
