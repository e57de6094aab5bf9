/** Distillation: a model whose attention was replaced learns what the exact one gives, block by block and as a whole. */
import { describe, expect, it } from 'vitest';
import { drawBuffers, type HostTensor, initialize, int32, leavesOf, mapTree, Random } from '../../src/base/index.js';
import { bytesSource, byteTokenizer, splitCorpus } from '../../src/data/index.js';
import { gradient, specsOf } from '../../src/graph/index.js';
import { encoderConfig, languageModelConfig, type ModelConfig, modelOf } from '../../src/models/index.js';
import { type DistillationOptions, distillation, type TextTaskFamily, taskOfModel } from '../../src/tasks/index.js';
import { Evaluator, initialSnapshot, snapshotFrom, Trainer, trainingConfig } from '../../src/training/index.js';
import { values } from '../support/compare.js';
import { corpus, engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8 };
const favor = { features: { featureCount: 16 } };
const configs: Record<string, (attention: 'softmax' | typeof favor) => ModelConfig> = {
  'a language model': (attention) => languageModelConfig({ ...sizes, attention }),
  'an encoder': (attention) => encoderConfig({ ...sizes, attention }),
};
const training = trainingConfig({
  ...{ steps: 40, batch: 4, window: 40, learningRate: 1e-2, weightDecay: 0, redrawInterval: 0, heldOut: 0.2 },
});

/** Weights that attend sharply, so that a replaced attention differs. */
function weightsOf(config: ModelConfig) {
  const model = modelOf(config);
  const params = mapTree<object, HostTensor, HostTensor>(initialize(model.params, Random.fromSeed(1)), (leaf, path) =>
    /query|key/.test(path) ? { ...leaf, data: leaf.data.map((value) => 4 * value) } : leaf,
  );
  return { params, buffers: drawBuffers(model.buffers, Random.fromSeed(2)) as object };
}

async function taskFor(config: ModelConfig, teacher: ModelConfig, options: DistillationOptions) {
  const data = await splitCorpus(bytesSource(corpus), byteTokenizer, training);
  const build = (given: ModelConfig) => {
    const model = modelOf(given);
    return (taskOfModel(model) as TextTaskFamily).build(model, training, data);
  };
  return distillation(build(config), { task: build(teacher), weights: weightsOf(teacher) }, options);
}

describe.each(Object.entries(configs))('%s', (_, configOf) => {
  const [exact, own] = [configOf('softmax'), configOf(favor)];
  const begin = () => snapshotFrom(initialSnapshot(own, training), weightsOf(exact));

  it.each([true, false])('that is its own teacher has no error (block by block: %s)', async (byBlock) => {
    const evaluator = new Evaluator(engine, await taskFor(exact, exact, { byBlock }));
    const { chosen, measures } = await evaluator.run(weightsOf(exact));
    expect(chosen).toBeLessThan(1e-6);
    expect(Object.keys(measures)).toEqual([...(byBlock ? [] : ['loss', 'divergence']), 'blocks', 'block 1', 'block 2']);
  });

  it.each([true, false])(
    'with other attention learns to give what the exact one gives (block by block: %s)',
    async (byBlock) => {
      const trainer = await Trainer.create(begin(), { engine, task: await taskFor(own, exact, { byBlock }) });
      const before = await trainer.evaluate();
      for (let step = 0; step < training.steps; step++) await trainer.step();
      const after = await trainer.evaluate();
      expect(before.chosen).toBeGreaterThan(1e-3);
      expect(after.chosen).toBeLessThan(0.7 * before.chosen);
      await trainer.dispose();
    },
  );

  it('block by block: no block feels an error of those before it', async () => {
    const task = await taskFor(own, exact, { byBlock: true });
    const { params, buffers } = begin();
    const spoilt = mapTree<object, HostTensor, HostTensor>(params, (leaf, path) =>
      path.startsWith('blocks.0.') ? { ...leaf, data: leaf.data.map((value) => -3 * value) } : leaf,
    );
    const { batches } = await task.step(0);
    const compiled = await engine.compile(
      (learned: object, drawn: object, batch: object) => ({
        gradients: gradient(task.loss({ params: learned, buffers: drawn }, batch as never, {}).total, learned),
      }),
      [specsOf(params), specsOf(buffers), specsOf(batches[0] as object)] as never,
    );
    const gradientsOf = async (given: object) => {
      const { gradients } = (await compiled.run([given, buffers, batches[0]] as never)) as { gradients: object };
      const last = leavesOf<object, HostTensor>(gradients).filter(([path]) => path.startsWith('blocks.1.'));
      return last.map(([path, leaf]) => [path, values(leaf)]);
    };
    const [clean, other] = [await gradientsOf(params), await gradientsOf(spoilt)];
    expect(other).toEqual(clean);
    expect(clean.some(([, gradients]) => (gradients as number[]).some((value) => value !== 0))).toBe(true);
  });
});

it('the divergence is that of the distributions of the next token', async () => {
  const [exact, own] = [configs['a language model']!('softmax'), configs['a language model']!(favor)];
  const task = await taskFor(own, exact, { byBlock: false });
  const weights = snapshotFrom(initialSnapshot(own, training), weightsOf(exact));
  const [evaluation] = task.evaluations;
  const batches = async function* () {
    for await (const batch of evaluation!.batches()) {
      yield batch;
      return;
    }
  };
  let [total, count] = [0, 0];
  for await (const { tokens } of batches()) {
    const read = int32(tokens!.shape as number[], tokens!.data as Int32Array);
    const [expected, got] = await Promise.all(
      [[exact, weightsOf(exact)] as const, [own, weights] as const].map(async ([config, { params, buffers }]) => {
        const model = modelOf(config);
        const compiled = await engine.compile(
          (learned: object, drawn: object, batch: { tokens: never }) =>
            model.apply({ params: learned, buffers: drawn }, batch).output,
          [specsOf(params), specsOf(buffers), specsOf({ tokens: read })] as never,
        );
        return values((await compiled.run([params, buffers, { tokens: read }] as never)) as never);
      }),
    );
    const length = read.shape[1] as number;
    for (let row = 0; row < read.data.length; row++) {
      if (row % length === length - 1) continue; // a target alone
      const logs = (logits: number[]) => {
        const own = logits.slice(row * 256, row * 256 + 256);
        const norm = Math.log(own.reduce((sum, value) => sum + Math.exp(value), 0));
        return own.map((value) => value - norm);
      };
      const [p, q] = [logs(expected!), logs(got!)];
      total += p.reduce((sum, value, at) => sum + Math.exp(value) * (value - q[at]!), 0);
      count++;
    }
  }
  const one = await new Evaluator(engine, task).sums({ ...evaluation!, batches }, weights);
  expect(one.sums.divergence![0]! / one.count).toBeCloseTo(total / count, 5);
});

it.each<[string, ModelConfig, RegExp]>([
  [
    'of another depth',
    languageModelConfig({ ...sizes, depth: 3 }),
    /expected causal-language-model, 2 blocks of 16, as the teacher is, got causal-language-model, 3 blocks of 16/,
  ],
  ['of another kind', encoderConfig(sizes), /as the teacher is, got encoder, 2 blocks of 16/],
  [
    'that is reversible',
    languageModelConfig({ ...sizes, reversible: true }),
    /expected blocks with one stream, got a reversible model/,
  ],
])('a model %s has no such teacher', async (_, config, message) => {
  await expect(taskFor(config, configs['a language model']!('softmax'), { byBlock: true })).rejects.toThrow(message);
});
