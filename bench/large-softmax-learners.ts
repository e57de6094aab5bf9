/** The contenders of the large-softmax benchmark: one body, and a head with full or with sampled softmax. */
import { float32, type HostTensor, int32, mapTree, Random, symbol, zeros } from '../src/base/index.js';
import { spec } from '../src/graph/index.js';
import {
  AliasTable,
  type ClassTable,
  initRowSquares,
  mixtureQuery,
  SampledSoftmax,
  scatterRows,
  type TableState,
  touchClasses,
} from '../src/training/index.js';
import { engine } from './model.js';
import {
  BodyState,
  bodySpecs,
  compileLearning,
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

/** Negatives of a step. */
export const samples = 1024;
const random = Random.fromSeed(1);

/** What learns: one step, and the state that an evaluation reads. */
export interface Learner {
  readonly body: BodyState;
  readonly table: () => ClassTable<HostTensor>;
  step(): Promise<void>;
}

/** The windows of a step: from random places of the text, the same for every contender. */
function windowsAt(tokens: Int32Array, step: number): Int32Array {
  const out = new Int32Array(stepTokens);
  const length = stepTokens / 4;
  random
    .split('windows')
    .split(step)
    .bits(4)
    .forEach((word, index) => {
      const start = word % (tokens.length - length);
      out.set(tokens.subarray(start, start + length), index * length);
    });
  return out;
}

export interface Setting {
  readonly classes: number;
  readonly train: Int32Array;
  /** How often each class occurs in the training text. */
  readonly counts: Float64Array;
  readonly table: ClassTable<HostTensor>;
  readonly embeddings: HostTensor;
}

function copy<T>(tree: T): T {
  return mapTree(tree, ({ shape, data }: HostTensor) => float32(shape, data.slice())) as T;
}

function freshTable({ table }: Setting): TableState<HostTensor> {
  return { rows: copy(table), squares: initRowSquares(table) };
}

export async function fullSoftmax(setting: Setting): Promise<Learner> {
  const step = await compileLearning({ ...tableSpecs(setting.classes), targets: spec('int32', [rows]) });
  const body = new BodyState(copy(setting.embeddings));
  let state: TableState<HostTensor> = freshTable(setting);
  let spare = mapTree(state, ({ shape }: HostTensor) => zeros('float32', shape)) as TableState<HostTensor>;
  let index = 0;
  return {
    body,
    table: () => state.rows,
    async step() {
      const headOf = async (targets: Int32Array) => ({ ...state, targets: int32([rows], targets) });
      await body.learn(step, windowsAt(setting.train, index++), headOf, spare);
      [state, spare] = [spare, state];
    },
  };
}

export const touched = symbol('touched');
const sampledSpecs = {
  ...tableSpecs(touched),
  targets: spec('int32', [rows]),
  corrections: spec('float32', [touched]),
};

/** Negatives from a fixed distribution. */
export async function fromWeights(setting: Setting, weights: Float64Array): Promise<Learner> {
  const step = await compileLearning(sampledSpecs);
  const body = new BodyState(copy(setting.embeddings));
  const proposal = new AliasTable(weights);
  const state = freshTable(setting);
  let index = 0;
  return {
    body,
    table: () => state.rows,
    async step() {
      let classes = new Int32Array();
      const key = random.split('negatives').split(index);
      const head = await body.learn(step, windowsAt(setting.train, index++), async (targets) => {
        const found = touchClasses(state, targets, proposal.draw(samples, key));
        classes = found.classes as Int32Array<ArrayBuffer>;
        return { ...found.state, ...found.inputs };
      });
      scatterRows(state, classes, { rows: head.rows, squares: head.squares } as TableState<HostTensor>);
    },
  };
}

/** Negatives from the tree of positive features. */
export async function fromFeatures(setting: Setting): Promise<Learner & { readonly head: SampledSoftmax }> {
  const projection = spec('float32', [featureCount, dim]);
  const step = await compileLearning({ ...sampledSpecs, projection });
  const ask = await engine.compile(
    (params, read, { projection: rows_, total }) => ({
      query: mixtureQuery(hiddenOf(params, read), rows_, total, kernelTemperature),
    }),
    [bodySpecs, readSpecs, { projection, total: spec('float32', [featureCount]) }],
  );
  const body = new BodyState(copy(setting.embeddings));
  const table = copy(setting.table);
  const { classes } = setting;
  const options = { classes, dim, samples, temperature, kernelTemperature, featureCount, table };
  const head = await SampledSoftmax.create(engine, options);
  let index = 0;
  return {
    body,
    head,
    table: () => head.table,
    async step() {
      const key = random.split('negatives').split(index);
      const found: ReturnType<SampledSoftmax['touch']>[] = [];
      const updated = await body.learn(step, windowsAt(setting.train, index++), async (targets, read) => {
        const given = { projection: head.projection, total: head.featureTotal };
        const { query } = await ask.run([body.params, read, given]);
        const one = head.touch(targets, head.draw(query, key));
        found.push(one);
        return { ...one.state, ...one.inputs, projection: head.projection };
      });
      head.putBack(found[0]!, updated as Parameters<SampledSoftmax['putBack']>[1]);
    },
  };
}
