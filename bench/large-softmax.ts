/**
 * Softmax over 100,000 classes: full against sampled negatives, in time per step and in the exact loss on held-out text
 * after the same number of steps and after the same time.
 */
import { float32, int32, Random } from '../src/base/index.js';
import { gradient, spec, sum } from '../src/graph/index.js';
import {
  AliasTable,
  type Draws,
  exactCrossEntropy,
  initClassTable,
  mixtureQuery,
  sampledCrossEntropy,
  touchClasses,
} from '../src/training/index.js';
import {
  fromFeatures,
  fromWeights,
  fullSoftmax,
  type Learner,
  type Setting,
  samples,
  touched,
} from './large-softmax-learners.js';
import { inTurns } from './measure.js';
import { engine } from './model.js';
import {
  bodySpecs,
  dim,
  featureCount,
  hiddenOf,
  kernelTemperature,
  readSpecs,
  rows,
  stepTokens,
  tableSpecs,
  temperature,
} from './next-token.js';
import type { Benchmark, BenchmarkOptions, Row } from './report.js';
import { readWordStream } from './word-stream.js';

const heldOutSteps = 4;
const random = Random.fromSeed(2);

/** Every twentieth block of 1,024 tokens is held out. */
function splitStream(tokens: Int32Array): { train: Int32Array; heldOut: Int32Array } {
  const isHeldOut = (index: number) => Math.floor(index / 1024) % 20 === 19;
  return {
    train: tokens.filter((_, index) => !isHeldOut(index)),
    heldOut: tokens.filter((_, index) => isHeldOut(index)),
  };
}

/** The same beginning for every contender: the biases are the logarithms of the frequencies. */
function settingOf(classes: number, train: Int32Array): Setting {
  const counts = new Float64Array(classes).fill(0.5); // of a class that the training text does not have
  for (const token of train) counts[token]!++;
  const total = counts.reduce((a, b) => a + b);
  const { weight } = initClassTable(classes, dim, random.split('table'));
  return {
    classes,
    train,
    counts,
    table: {
      weight,
      bias: float32(
        [classes],
        counts.map((count) => Math.log(count / total)),
      ),
    },
    embeddings: initClassTable(classes, dim, random.split('embeddings')).weight,
  };
}

/** The exact loss on held-out text, in nats a token. */
async function compileEvaluation(classes: number, heldOut: Int32Array) {
  const executable = await engine.compile(
    (params, read, head) => ({
      total: sum(exactCrossEntropy(hiddenOf(params, read), head.rows, head.targets, temperature)),
    }),
    [bodySpecs, readSpecs, { rows: tableSpecs(classes).rows, targets: spec('int32', [rows]) }],
  );
  return async ({ body, table }: Learner): Promise<number> => {
    let total = 0;
    for (let step = 0; step < heldOutSteps; step++) {
      const { inputs, targets } = body.read(heldOut.subarray(step * stepTokens, (step + 1) * stepTokens));
      const head = { rows: table(), targets: int32([rows], targets) };
      total += Number((await executable.run([body.params, inputs, head])).total.data[0]);
    }
    return total / (heldOutSteps * rows);
  };
}

/** |ĝ − g|/|g| for the gradient g of the hidden vectors, root mean square over draws: what a proposal is worth. */
async function gradientErrors(learner: Awaited<ReturnType<typeof fromFeatures>>, setting: Setting, tokens: Int32Array) {
  const { body, head } = learner;
  const { inputs, targets } = body.read(tokens);
  const hiddenSpec = { hidden: spec('float32', [rows, dim]) };
  const ask = await engine.compile(
    (params, read, { projection, total }) => {
      const hidden = hiddenOf(params, read);
      return { hidden, query: mixtureQuery(hidden, projection, total, kernelTemperature) };
    },
    [
      bodySpecs,
      readSpecs,
      { projection: spec('float32', [featureCount, dim]), total: spec('float32', [featureCount]) },
    ],
  );
  const exact = await engine.compile(
    ({ hidden }, table, given) =>
      gradient(sum(exactCrossEntropy(hidden, table, given.targets, temperature)), { hidden }),
    [hiddenSpec, tableSpecs(setting.classes).rows, { targets: spec('int32', [rows]) }],
  );
  const { rows: touchedRows, squares } = tableSpecs(touched);
  const sampled = await engine.compile(
    ({ hidden }, table, given) => gradient(sum(sampledCrossEntropy(hidden, table, given, temperature)), { hidden }),
    [hiddenSpec, touchedRows, { targets: spec('int32', [rows]), corrections: squares.bias }],
  );
  const { hidden, query } = await ask.run([
    body.params,
    inputs,
    { projection: head.projection, total: head.featureTotal },
  ]);
  const truth = await exact.run([{ hidden }, head.table, { targets: int32([rows], targets) }]);
  const unigram = new AliasTable(setting.counts);
  const uniform = new AliasTable(setting.counts.map(() => 1));
  const proposals: Record<string, (key: Random) => Draws> = {
    'RF-softmax': (key) => head.draw(query, key),
    unigram: (key) => unigram.draw(samples, key),
    uniform: (key) => uniform.draw(samples, key),
  };
  const g = truth.hidden.data as Float32Array;
  const norm = Math.sqrt(g.reduce((total, value) => total + value * value, 0));
  const found: Record<string, number> = {};
  for (const [name, draw] of Object.entries(proposals)) {
    const rounds = 10;
    let total = 0;
    for (let round = 0; round < rounds; round++) {
      const one = touchClasses(head.state, targets, draw(random.split(name).split(round)));
      const result = await sampled.run([{ hidden }, one.state.rows, one.inputs]);
      total += (result.hidden.data as Float32Array).reduce((sum_, value, i) => sum_ + (value - g[i]!) ** 2, 0);
    }
    found[name] = Math.sqrt(total / rounds) / norm;
  }
  return found;
}

export const largeSoftmax: Benchmark = {
  name: 'large-softmax',
  title: 'softmax over 100,000 classes: words and word pairs, 512 predictions a step, dim 256, 1,024 negatives',
  async run({ isQuick }: BenchmarkOptions) {
    const sharedSteps = isQuick ? 6 : 24;
    const stream = readWordStream(isQuick ? 4000 : 100_000);
    const { train, heldOut } = splitStream(stream.tokens);
    const setting = settingOf(stream.classes, train);
    const uniform = setting.counts.map(() => 1);
    const learners = {
      full: await fullSoftmax(setting),
      features: await fromFeatures(setting),
      unigram: await fromWeights(setting, setting.counts),
      uniform: await fromWeights(setting, uniform),
    };
    const evaluate = await compileEvaluation(setting.classes, heldOut);
    const names = { full: 'full softmax', features: 'RF-softmax', unigram: 'unigram', uniform: 'uniform' };
    const contenders = Object.keys(names) as (keyof typeof names)[];
    const atStart = await evaluate(learners.full);

    const stepOf = (name: keyof typeof names) => () => learners[name].step();
    const steps = Object.fromEntries(contenders.map((name) => [name, stepOf(name)])) as Record<
      keyof typeof names,
      () => Promise<void>
    >;
    const times = await inTurns(steps, { warmup: 4, rounds: sharedSteps - 4 }); // each round is a step of training
    const losses: Partial<Record<keyof typeof names, number>> = {};
    for (const name of contenders) losses[name] = await evaluate(learners[name]);

    const tableRows: Row[] = contenders.map((name) => ({
      what: `${names[name]}: a step`,
      value: `${times[name].median.toFixed(0)} ms (${times[name].fastest.toFixed(0)}–${times[name].slowest.toFixed(0)})`,
      ...(name === 'full' ? {} : { ratio: times.full.median / times[name].median, opponent: 'full over it' }),
    }));
    const report: Row[] = [
      {
        what: 'the stream',
        value: `${stream.tokens.length} tokens, ${stream.classes} classes (${stream.words} words), ${stream.occurring} occur`,
      },
      ...tableRows,
      { what: 'held-out loss before training', value: `${atStart.toFixed(3)} nats` },
    ];
    for (const name of contenders) {
      report.push({ what: `${names[name]}: after ${sharedSteps} steps`, value: `${losses[name]?.toFixed(3)} nats` });
    }
    for (const name of contenders.filter((one) => one !== 'full')) {
      // By the medians, and not by the clock: a slow spell of the machine in one of the runs decides nothing.
      const count = Math.round((sharedSteps * times.full.median) / times[name].median);
      for (let step = sharedSteps; step < count; step++) await steps[name]();
      report.push({
        what: `${names[name]}: after the time of ${sharedSteps} full steps`,
        value: `${(await evaluate(learners[name])).toFixed(3)} nats, ${Math.max(count, sharedSteps)} steps`,
      });
    }
    const errors = await gradientErrors(learners.features, setting, heldOut.subarray(0, stepTokens));
    for (const [name, error] of Object.entries(errors)) {
      report.push({ what: `${name}: error of the gradient there`, value: `${(100 * error).toFixed(1)} %` });
    }
    return report;
  },
};
