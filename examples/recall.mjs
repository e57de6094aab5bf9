/**
 * Recall over thousands of tokens: the synthetic tasks of Arora et al. (Zoology, 2023), learned by exact softmax attention and
 * by Performers with states of several sizes.
 *
 * `npm run build && node examples/recall.mjs recall` or `… copying`, and after it the names of some rows alone; OPTIMIZER=adamw
 * before it takes AdamW in the place of Muon
 *
 * recall: pairs of a key and a value, noise, and each key again in another order, whose value is to be told.
 * copying: a row of symbols, noise, and the same row again.
 *
 * What is asked for stands at the end of the text and what tells it at the beginning, so that the distance is about the
 * length. A row of the table is a model that learned by short texts that ask for little, and then by longer ones: at once by long
 * ones, most models do not find the rule. It shows a task of one's own, too: batches, a loss over some of the tokens, and an
 * evaluation.
 */
import { int32, Random } from 'performer-ts/base';
import { nodeEngine } from 'performer-ts/engine/node';
import { argMax, cast, equal, less, multiply, reshape, scalar, slice, spec, sum, where } from 'performer-ts/graph';
import { stateBytes } from 'performer-ts/measure';
import { languageModelConfig, modelOf } from 'performer-ts/models';
import { crossEntropy } from 'performer-ts/tasks';
import { Evaluator, initialSnapshot, Trainer, trainingConfig } from 'performer-ts/training';

/** Tokens: 0 says that what follows is asked for; then noise, keys and values. */
const asking = 0;
const noise = { first: 1, count: 31 };
const keys = { first: 32, count: 64 };
const values = { first: 96, count: 64 };

/** What a model learns one after another: `asked` things to be told in texts of `length` tokens. */
const stages = [
  { length: 64, asked: 8, batch: 32, steps: 300 },
  { length: 128, asked: 16, batch: 16, steps: 200 },
  { length: 256, asked: 32, batch: 16, steps: 200 },
  { length: 1024, asked: 32, batch: 4, steps: 100 },
  { length: 4096, asked: 32, batch: 2, steps: 60 },
];
const questions = 512;

const maps = {
  ...Object.fromEntries([32, 128, 512].map((featureCount) => [`${featureCount} features`, { featureCount }])),
  hedgehog: { name: 'hedgehog' },
  taylor: { name: 'taylor' },
};
const favor = (features) => ({ kind: 'favor+', features });
const preset = (features) => ({ kind: 'hybrid', window: 64, forgetting: 'gates', features });
const rowsOf = (name, attention) =>
  Object.fromEntries(Object.entries(maps).map(([map, features]) => [`${name}, ${map}`, attention(features)]));
const rows = {
  softmax: { kind: 'softmax' },
  'window 64 alone': { kind: 'window', window: 64 },
  ...rowsOf('favor+', favor),
  ...rowsOf('hybrid with gates', preset),
};

/** `asked` distinct numbers of a range in random order. */
function someOf({ first, count }, asked, random) {
  const all = Array.from({ length: count }, (_, index) => first + index);
  for (let at = 0; at < asked; at++) {
    const other = at + random.split(at).integer(count - at);
    [all[at], all[other]] = [all[other], all[at]];
  }
  return all.slice(0, asked);
}

const drawn = (range, count, random) =>
  Array.from({ length: count }, (_, at) => range.first + random.split(at).integer(range.count));

/** What is told at the beginning, and what is asked at the end, of which every `every`-th token is to be told. */
const texts = {
  recall(asked, random) {
    const own = someOf(keys, asked, random.split('keys'));
    const told = drawn(values, asked, random.split('values'));
    const order = someOf({ first: 0, count: asked }, asked, random.split('order'));
    return {
      begin: own.flatMap((key, at) => [key, told[at]]),
      end: order.flatMap((at) => [own[at], told[at]]),
      every: 2,
    };
  },
  copying(asked, random) {
    const symbols = someOf(keys, asked, random);
    return { begin: [asking, ...symbols], end: symbols, every: 1 };
  },
};

/** Texts [batch, length + 1], and 1 for each of the last `length` tokens that is to be told. */
function batchOf(kind, { batch, length, asked }, random) {
  const tokens = int32([batch, length + 1], new Int32Array(batch * (length + 1)));
  const mask = { dtype: 'float32', shape: [batch, length], data: new Float32Array(batch * length) };
  for (let row = 0; row < batch; row++) {
    const own = random.split(row);
    const { begin, end, every } = texts[kind](asked, own.split('text'));
    const between = drawn(noise, length - begin.length - end.length, own.split('noise'));
    tokens.data.set([...begin, ...between, asking, ...end], row * (length + 1));
    for (let at = every - 1; at < end.length; at += every) mask.data[(row + 1) * length - end.length + at] = 1;
  }
  return { tokens, mask };
}

function recallTask(kind, model, stage) {
  const { batch, length } = stage;
  const specs = { tokens: spec('int32', [batch, length + 1]), mask: spec('float32', [batch, length]) };
  const draws = Random.fromSeed(1).split(kind).split(length);
  return {
    name: kind,
    model,
    size: { batch, window: length, accumulation: 1, carryState: false, seed: 1 },
    tokensPerStep: batch * length,
    specs,
    loss(weights, { tokens, mask }, options) {
      const result = model.apply(weights, { tokens: slice(tokens, 1, 0, length) }, options);
      const targets = slice(tokens, 1, 1, length + 1);
      const total = sum(multiply(crossEntropy(result.output, targets), mask));
      const isRight = where(equal(argMax(result.output, -1), cast(targets, 'int64')), scalar(1), scalar(0));
      const right = reshape(sum(where(less(0, mask), isRight, scalar(0))), [1]);
      return { total, count: sum(mask), sums: { right }, result };
    },
    step: async (step) => ({ batches: [batchOf(kind, stage, draws.split('train').split(step))], isStart: true }),
    evaluations: [
      {
        ...{ name: 'questions', batch, carriesState: false, specs },
        async *batches() {
          for (let at = 0; at * batch * stage.asked < questions * 2; at++) {
            yield batchOf(kind, stage, draws.split('held out').split(at));
          }
        },
      },
    ],
    measures: (_, { count, sums }) => ({ accuracy: sums.right[0] / count }),
  };
}

async function accuracies(kind, attention, engine) {
  // Neither task asks how far away something stands: the token shift tells what comes after what.
  const sizes = { dim: 64, depth: 2, heads: 2, headDim: 32, vocabularySize: 160, positions: 'none' };
  const model = modelOf(languageModelConfig({ ...sizes, attention }));
  let weights = {};
  const found = [];
  for (const stage of stages) {
    const { batch, length: window, steps } = stage;
    const own = { batch, window, steps, optimizer, learningRate: 3e-3, seed: 0, redrawInterval: 0 };
    const training = trainingConfig(own);
    const task = recallTask(kind, model, stage);
    const trainer = await Trainer.create({ ...initialSnapshot(model.config, training), ...weights }, { engine, task });
    let seen = 0;
    let last = Date.now();
    for (let step = 1; step <= steps; step++) {
      const { loss } = await trainer.step();
      seen = step === 1 ? loss : 0.9 * seen + 0.1 * loss;
      if (Date.now() - last < 10_000 && step < steps) continue;
      last = Date.now();
      console.error(`  ${window} tokens, step ${step}/${steps}, loss ${seen.toFixed(3)}`);
    }
    const evaluator = new Evaluator(engine, task);
    const { params, buffers } = await trainer.fetchSnapshot();
    found.push((await evaluator.run({ params, buffers })).measures.accuracy);
    weights = { params, buffers };
    await evaluator.dispose();
    await trainer.dispose();
  }
  return { found, bytes: stateBytes(model, stages.at(-1).length) };
}

const [kind = 'recall', ...chosen] = process.argv.slice(2);
if (!(kind in texts)) throw new Error(`expected ${Object.keys(texts).join(' or ')}, got ${kind}`);
const optimizer = process.env.OPTIMIZER ?? 'muon';
const engine = nodeEngine({ threads: Number(process.env.THREADS ?? 0) || undefined });
console.log(`${kind}: part of what is asked that is the likeliest, by length and what is asked (of ${keys.count})`);
for (const [name, attention] of Object.entries(rows)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const { found, bytes } = await accuracies(kind, attention, engine);
  const told = stages.map(({ length, asked }, at) => `${length}/${asked}: ${(100 * found[at]).toFixed(1)} %`);
  console.log(`${name.padEnd(32)} ${told.join('  ')}  state ${Math.round(bytes / 1024)} kB`);
}
