import { float32, float32Scalar, type HostTensor, int32, mapTree, Random, symbol, zeros } from '../src/base/index.js';
import { initialize } from '../src/blocks/index.js';
import type { Engine } from '../src/engine/index.js';
import { gradient, mean, spec, sum, type Tensor } from '../src/graph/index.js';
import {
  AliasTable,
  type ClassTable,
  defaultOptimizer,
  distinctRows,
  type Draws,
  exactCrossEntropy,
  gatherRows,
  initClassTable,
  initMoments,
  initRowSquares,
  mixtureQuery,
  SampledSoftmax,
  sampledCrossEntropy,
  scatterRows,
  type TableState,
  touchClasses,
  type UpdatedClasses,
  updateParams,
  updateRows,
  updateTouched,
} from '../src/training/index.js';
import { engine } from './model.js';
import { attentionProjection, batch, bodySpecs, dim, hiddenOf, rows, window } from './next-token.js';
import { readWordStream } from './word-stream.js';

const env = (name: string, d: number) => Number(process.env[name] ?? d);
const temperature = env('TAU', 16);
const kernelTemperature = env('NU', 2);
const samples = env('S', 1024);
const features = env('D', 128);
const tableRate = env('TR', 0.05);
const bodyRate = env('BR', 1e-3);

const stream = readWordStream(100_000);
const { classes } = stream;
const random = Random.fromSeed(1);
// every 20th block held out
const blockLen = 1024;
const trainT: number[] = [];
const heldT: number[] = [];
stream.tokens.forEach((t, i) => (Math.floor(i / blockLen) % 20 === 19 ? heldT : trainT).push(t));
const train = Int32Array.from(trainT);
const held = Int32Array.from(heldT).slice(0, 24 * rows + 1);
console.log(stream.tokens.length, classes, stream.occurring, train.length, heldT.length, held.length);
const freq = new Float64Array(classes).fill(0.5);
for (const t of train) freq[t]!++;

const n = symbol('touched');
const v = symbol('distinct');
const column = (count: never | typeof n) => ({ weight: spec('float32', [count, dim]), bias: spec('float32', [count]) });
const inputSpecs = {
  embeddings: spec('float32', [v, dim]),
  embeddingSquares: spec('float32', [v]),
  places: spec('int32', [batch, window]),
  attention: spec('float32', attentionProjection.shape),
};
const scalars = { learningRate: spec('float32', []), update: spec('float32', []), tableRate: spec('float32', []) };
const optimizer = { ...defaultOptimizer, weightDecay: 0.01 };

function initTable(): ClassTable<HostTensor<'float32'>> {
  const t = initClassTable(classes, dim, random.split('table'));
  const total = freq.reduce((a, b) => a + b, 0);
  return { weight: t.weight, bias: float32([classes], freq.map((f) => Math.log(f / total))) };
}

class Body {
  params = initialize(bodySpecs as never, random.split('body')) as never as typeof bodySpecs extends infer B ? any : never;
  moments = initMoments(this.params);
  spare: any = mapTree({ params: this.params, moments: this.moments }, (l: HostTensor) => zeros('float32', l.shape));
  table = { weight: initClassTable(classes, dim, random.split('input')).weight };
  squares = initRowSquares(this.table);
  updates = 0;
  inputs(tokens: Int32Array) {
    const inTokens = new Int32Array(rows);
    const targets = new Int32Array(rows);
    for (let b = 0; b < batch; b++) {
      inTokens.set(tokens.subarray(b * (window + 1), b * (window + 1) + window), b * window);
      targets.set(tokens.subarray(b * (window + 1) + 1, (b + 1) * (window + 1)), b * window);
    }
    const { distinct, places } = distinctRows(inTokens);
    const g = gatherRows({ table: this.table, squares: this.squares }, distinct);
    return {
      targets,
      distinct,
      input: {
        embeddings: g.table.weight,
        embeddingSquares: g.squares.weight,
        places: int32([batch, window], places),
        attention: attentionProjection,
      },
    };
  }
  scalars() {
    this.updates++;
    const warm = Math.min(1, this.updates / 20);
    return { learningRate: float32Scalar(bodyRate * warm), update: float32Scalar(this.updates), tableRate: float32Scalar(tableRate) };
  }
  put(distinct: Float64Array, result: any) {
    const p = this.params, m = this.moments;
    this.params = this.spare.params; this.moments = this.spare.moments;
    this.spare = { params: p, moments: m };
    scatterRows({ table: this.table, squares: this.squares }, distinct, { table: result.table, squares: result.squares });
  }
}

function windowsAt(step: number): Int32Array {
  const out = new Int32Array(batch * (window + 1));
  const words = random.split('batches').split(step).bits(batch);
  words.forEach((w, b) => {
    const start = w % (train.length - window - 1);
    out.set(train.subarray(start, start + window + 1), b * (window + 1));
  });
  return out;
}

function buildStep(makeHead: any, headSpec: any) {
  return engine.compile(
    ((body: any, moments: any, input: any, head: any, s: any) => {
      const hidden = hiddenOf(body, input.embeddings, input.places, input.attention);
      const losses = makeHead.loss(hidden, head);
      const loss = mean(losses);
      const g = gradient(loss, { body, embeddings: input.embeddings, rows: head.rows }) as any;
      const up = updateParams(body, g.body, moments, s, optimizer);
      const e = updateRows({ weight: input.embeddings }, { weight: input.embeddingSquares }, { weight: g.embeddings }, s.tableRate);
      return { loss, next: { params: up.params, moments: up.moments }, table: e.rows, squares: e.squares, head: makeHead.next(head, g.rows, s) };
    }) as any,
    [bodySpecs, { firstMoment: bodySpecs, secondMoment: bodySpecs }, inputSpecs, headSpec, scalars] as any,
  ) as any;
}

async function evaluator() {
  const ex: any = await engine.compile(
    ((body: any, input: any, head: any) => ({ total: sum(exactCrossEntropy(hiddenOf(body, input.embeddings, input.places, input.attention), head.rows, head.targets, temperature)) })) as any,
    [bodySpecs, inputSpecs, { rows: column(classes as never), targets: spec('int32', [rows]) }] as any,
  );
  return async (body: Body, table: any) => {
    let total = 0;
    const count = Math.floor((held.length - 1) / rows);
    for (let i = 0; i < count; i++) {
      const toks = new Int32Array(batch * (window + 1));
      for (let b = 0; b < batch; b++) toks.set(held.subarray(i * rows + b * window, i * rows + b * window + window + 1), b * (window + 1));
      const { input, targets } = body.inputs(toks);
      const { total: t } = await ex.run([body.params, input, { rows: table, targets: int32([rows], targets) }]);
      total += Number(t.data[0]);
    }
    return total / (count * rows);
  };
}

const allRows = column(classes as never);
async function full() {
  const body = new Body();
  let state: any = { rows: initTable() };
  state.squares = initRowSquares(state.rows);
  let spare: any = mapTree(state, (l: HostTensor) => zeros('float32', l.shape));
  const step = await buildStep(
    { loss: (h: Tensor, head: any) => exactCrossEntropy(h, head.rows, head.targets, temperature),
      next: (head: any, g: any, s: any) => updateRows(head.rows, head.squares, g, s.tableRate) },
    { rows: allRows, squares: { weight: spec('float32', [classes]), bias: spec('float32', [classes]) }, targets: spec('int32', [rows]) },
  );
  return { body, table: () => state.rows, step: async (i: number) => {
    const { input, targets, distinct } = body.inputs(windowsAt(i));
    const r = await step.run([body.params, body.moments, input, { ...state, targets: int32([rows], targets) }, body.scalars()], { outputs: { next: body.spare, head: spare } });
    [state, spare] = [spare, state];
    body.put(distinct, r);
    return Number(r.loss.data[0]);
  } };
}

const touchedSpecs = { rows: column(n), squares: { weight: spec('float32', [n]), bias: spec('float32', [n]) }, targets: spec('int32', [rows]), corrections: spec('float32', [n]) };

async function alias(weights: Float64Array) {
  const body = new Body();
  const state: any = { rows: initTable() };
  state.squares = initRowSquares(state.rows);
  const q = new AliasTable(weights);
  const step = await buildStep(
    { loss: (h: Tensor, head: any) => sampledCrossEntropy(h, head.rows, head, temperature),
      next: (head: any, g: any, s: any) => updateRows(head.rows, head.squares, g, s.tableRate) },
    touchedSpecs,
  );
  return { body, table: () => state.rows, step: async (i: number) => {
    const { input, targets, distinct } = body.inputs(windowsAt(i));
    const touched = touchClasses(state, targets, q.draw(samples, random.split('negatives').split(i)));
    const r = await step.run([body.params, body.moments, input, { ...touched.state, ...touched.inputs }, body.scalars()], { outputs: { next: body.spare } });
    scatterRows(state, touched.classes, { rows: r.head.rows, squares: r.head.squares });
    body.put(distinct, r);
    return Number(r.loss.data[0]);
  } };
}

async function rf() {
  const body = new Body();
  const t0 = performance.now();
  const head = await SampledSoftmax.create(engine, { classes, dim, samples, temperature, kernelTemperature, featureCount: features, table: initTable() });
  console.log('create', performance.now() - t0);
  const ask: any = await engine.compile(
    ((b: any, input: any, p: any) => ({ query: mixtureQuery(hiddenOf(b, input.embeddings, input.places, input.attention), p.projection, p.total, kernelTemperature) })) as any,
    [bodySpecs, inputSpecs, { projection: spec('float32', [features, dim]), total: spec('float32', [features]) }] as any,
  );
  const step = await buildStep(
    { loss: (h: Tensor, hd: any) => sampledCrossEntropy(h, hd.rows, hd, temperature),
      next: (hd: any, g: any, s: any) => updateTouched(hd, g, { learningRate: s.tableRate, projection: hd.projection }, kernelTemperature) },
    { ...touchedSpecs, projection: spec('float32', [features, dim]) },
  );
  const times: Record<string, number> = {};
  let last = 0;
  const mark = (name: string) => { const now = performance.now(); times[name] = (times[name] ?? 0) + now - last; last = now; };
  return { body, times, table: () => head.table, step: async (i: number) => {
    last = performance.now();
    const { input, targets, distinct } = body.inputs(windowsAt(i));
    mark('inputs');
    const { query } = await ask.run([body.params, input, { projection: head.projection, total: head.featureTotal }]);
    mark('query');
    const draws = head.draw(query, random.split('negatives').split(i));
    mark('draw');
    const touched = head.touch(targets, draws);
    mark('touch');
    const r = await step.run([body.params, body.moments, input, { ...touched.state, ...touched.inputs, projection: head.projection }, body.scalars()], { outputs: { next: body.spare } });
    mark('step');
    head.putBack(touched, r.head);
    mark('putBack');
    body.put(distinct, r);
    mark('body');
    if (i % 200 === 199) console.log('distinct', draws.classes.length, 'touched', touched.classes.length);
    return Number(r.loss.data[0]);
  } };
}

const evaluate = await evaluator();
const which = process.argv[2]!;
const steps = Number(process.argv[3] ?? 100);
const c: any = which === 'full' ? await full() : which === 'rf' ? await rf() : await alias(which === 'uniform' ? new Float64Array(classes).fill(1) : freq);
console.log('start', await evaluate(c.body, c.table()));
const every = env('EVERY', steps);
let t0 = performance.now();
let spent = 0;
let acc = 0;
for (let i = 0; i < steps; i++) {
  const l = await c.step(i);
  acc += l;
  if (i === 9) { spent = 0; t0 = performance.now(); for (const k in c.times ?? {}) c.times[k] = 0; }
  if ((i + 1) % every === 0) {
    spent += performance.now() - t0;
    console.log(which, 'steps', i + 1, 'train', (acc / every).toFixed(4), 'exact', (await evaluate(c.body, c.table())).toFixed(4), 'ms/step', (spent / (i + 1 - 10)).toFixed(1));
    acc = 0;
    t0 = performance.now();
  }
}
for (const k in c.times ?? {}) console.log(k, (c.times[k] / (steps - 10)).toFixed(2));
console.log('GB', process.resourceUsage().maxRSS / 1e6);
