/**
 * The predictor of the large-softmax benchmark: embeddings of the tokens that a step reads (rows of a table on the
 * host), one causal Performer block and a norm, with the head that turns hidden vectors into a loss.
 */
import {
  float32Scalar,
  type HostTensor,
  initialize,
  int32,
  mapTree,
  type ParameterSpec,
  Random,
  symbol,
  zeros,
} from '../src/base/index.js';
import {
  applyNorm,
  block,
  feedForwardBranch,
  type NormParams,
  normLayout,
  positionsFrom,
  rotaryAngles,
} from '../src/blocks/index.js';
import { drawProjection } from '../src/features/index.js';
import {
  broadcastTo,
  gradient,
  mean,
  reshape,
  scalar,
  slice,
  spec,
  specsOf,
  type Tensor,
  type TensorSpec,
  takeRows,
} from '../src/graph/index.js';
import { buildMixer } from '../src/mixers/index.js';
import {
  defaultOptimizer,
  distinctRows,
  exactCrossEntropy,
  gatherRows,
  initMoments,
  initRowSquares,
  type Moments,
  type SampledTargets,
  sampledCrossEntropy,
  scatterRows,
  type TableState,
  updateParams,
  updateRows,
  updateTouched,
} from '../src/training/index.js';
import { engine } from './model.js';

export const dim = 256;
const batch = 4;
const window = 128;
/** Predictions in a step. */
export const rows = batch * window;
/** Tokens in a step: each window and the target of its last token. */
export const stepTokens = batch * (window + 1);
export const temperature = 16;
export const kernelTemperature = 8;
export const featureCount = 128;
const heads = 4;
const headDim = dim / heads;
const attentionFeatures = 128;
const bodyRate = 1e-3;
const tableRate = 0.01;
const optimizer = { ...defaultOptimizer, weightDecay: 0.01 };

export interface Body<T = Tensor> {
  readonly block: object;
  readonly norm: NormParams<T>;
}

/** What the body reads of a step. */
interface Read<T = Tensor, I = Tensor<'int32'>> {
  /** The rows of the step's distinct tokens: [distinct, dim], and their accumulators [distinct]. */
  readonly embeddings: T;
  readonly embeddingSquares: T;
  /** [batch, window] int32 */
  readonly places: I;
  readonly attention: T;
}

/** What the head reads of a step: sampled where there are corrections, and with a tree where there is a projection. */
export interface HeadInputs<T = Tensor, I = Tensor<'int32'>> extends TableState<T> {
  readonly targets: I;
  readonly corrections?: T;
  readonly projection?: T;
}

const outputGain = Math.SQRT1_2;
const performer = block({
  path: 'block',
  dim,
  norm: { kind: 'layer', placement: 'pre', epsilon: 1e-5 },
  tokenShift: 1,
  slots: [
    {
      name: 'attention',
      rate: 'attention',
      branch: buildMixer(
        {
          kind: 'favor+',
          features: { name: 'positive', featureCount: attentionFeatures, projectionKind: 'orthogonal', rowNorm: 'chi' },
          forgetting: 'none',
        },
        { dim, heads, keyHeads: heads, headDim, isCausal: true, outputGain, chunk: 64 },
      ),
    },
    {
      name: 'feedForward',
      branch: feedForwardBranch({ dim, hidden: 4 * dim, activation: 'gelu', outputGain }),
      rate: 'feedForward',
    },
  ],
});
const layout: Body<ParameterSpec> = {
  block: performer.params,
  norm: normLayout('layer', dim),
};
export const bodySpecs: Body<TensorSpec> = specsOf(layout);
const attention = drawProjection(Random.fromSeed(7), attentionFeatures, headDim);
const distinct = symbol('distinct');
export const readSpecs: Read<TensorSpec, TensorSpec<'int32'>> = {
  embeddings: spec('float32', [distinct, dim]),
  embeddingSquares: spec('float32', [distinct]),
  places: spec('int32', [batch, window]),
  attention: spec('float32', attention.shape),
};

/** The hidden vector of each position: [rows, dim]. */
export function hiddenOf(body: Body, read: Read): Tensor {
  const x = takeRows(read.embeddings, read.places); // [batch, window, dim]
  const positions = positionsFrom(broadcastTo(scalar(0, 'int32'), [batch]), window);
  const weights = { params: body.block, buffers: { attention: { projection: read.attention } } };
  const { output } = performer.apply(weights as never, x, {
    length: window,
    positions,
    angles: rotaryAngles(positions, headDim),
    takeLast: (y) => slice(y, 1, window - 1),
  });
  return reshape(applyNorm(body.norm, output), [rows, dim]);
}

export function headLoss(hidden: Tensor, head: HeadInputs): Tensor {
  const { rows: table, targets, corrections } = head;
  if (corrections === undefined) return exactCrossEntropy(hidden, table, targets, temperature);
  return sampledCrossEntropy(hidden, table, { targets, corrections } satisfies SampledTargets, temperature);
}

/** One whole step: forward, gradients, AdamW for the body and Adagrad for the rows of both tables. */
export async function compileLearning(head: HeadInputs<TensorSpec, TensorSpec<'int32'>>) {
  const moments = { firstMoment: bodySpecs, secondMoment: bodySpecs };
  const number = spec('float32', []);
  return engine.compile(
    (body, bodyMoments, read, inputs, scalars) => {
      const loss = mean(headLoss(hiddenOf(body, read), inputs));
      const wanted = { body, embeddings: read.embeddings, table: inputs.rows };
      const found = gradient(loss, wanted) as unknown as typeof wanted;
      const updated = updateParams(body, found.body, bodyMoments, scalars, optimizer);
      const embeddings = updateRows(read.embeddings, read.embeddingSquares, found.embeddings, scalars.tableRate);
      const rates = { learningRate: scalars.tableRate };
      return {
        loss,
        next: { params: updated.params, moments: updated.moments },
        embeddings: embeddings.rows,
        embeddingSquares: embeddings.squares,
        head:
          inputs.projection === undefined
            ? updateRows(inputs.rows, inputs.squares, found.table, scalars.tableRate)
            : updateTouched(inputs, found.table, { ...rates, projection: inputs.projection }, kernelTemperature),
      };
    },
    [bodySpecs, moments, readSpecs, head, { learningRate: number, update: number, tableRate: number }],
  );
}

interface Weights {
  readonly params: Body<HostTensor>;
  readonly moments: Moments<Body<HostTensor>>;
}

/** The body's parameters and the table of input embeddings, and what changes in them with a step. */
export class BodyState {
  #weights: Weights;
  #spare: Weights;
  #updates = 0;
  private readonly table: { embeddings: HostTensor; embeddingSquares: HostTensor };

  constructor(embeddings: HostTensor) {
    const params = initialize(layout, Random.fromSeed(3)) as Body<HostTensor>;
    this.#weights = { params, moments: initMoments(params) as Weights['moments'] };
    this.#spare = mapTree(this.#weights, ({ shape }: HostTensor) => zeros('float32', shape)) as Weights;
    this.table = { embeddings, embeddingSquares: initRowSquares(embeddings) };
  }

  get params(): Body<HostTensor> {
    return this.#weights.params;
  }

  /** tokens [batch, window + 1] → what the body reads, the targets, and how to take in what the step returns. */
  read(tokens: Int32Array) {
    const column = (first: number) =>
      Int32Array.from(
        { length: rows },
        (_, at) => tokens[Math.floor(at / window) * (window + 1) + (at % window) + first]!,
      );
    const { distinct: used, places } = distinctRows(column(0));
    const inputs: Read<HostTensor, HostTensor<'int32'>> = {
      ...gatherRows(this.table, used),
      places: int32([batch, window], places),
      attention,
    };
    return { used, inputs, targets: column(1) };
  }

  /** One step on `tokens`; `headOf` makes what the head reads, and `head` are buffers for what it returns. */
  async learn(
    step: Learning,
    tokens: Int32Array,
    headOf: (
      targets: Int32Array,
      inputs: Read<HostTensor, HostTensor<'int32'>>,
    ) => Promise<HeadInputs<HostTensor, HostTensor<'int32'>>>,
    head?: TableState<HostTensor>,
  ) {
    const { used, inputs, targets } = this.read(tokens);
    const headInputs = await headOf(targets, inputs);
    this.#updates++;
    const scalars = {
      learningRate: float32Scalar(bodyRate * Math.min(1, this.#updates / 20)),
      update: float32Scalar(this.#updates),
      tableRate: float32Scalar(tableRate),
    };
    const { params, moments } = this.#weights;
    const outputs = { next: this.#spare, ...(head === undefined ? {} : { head }) };
    const result = await step.run([params, moments, inputs, headInputs, scalars], { outputs });
    [this.#weights, this.#spare] = [this.#spare, this.#weights];
    const { embeddings, embeddingSquares } = result as unknown as typeof this.table;
    scatterRows(this.table, used, { embeddings, embeddingSquares });
    return result.head;
  }
}

export type Learning = Awaited<ReturnType<typeof compileLearning>>;

/** The specification of a table of `count` classes with its accumulators. */
export function tableSpecs(count: TensorSpec['shape'][number]): TableState<TensorSpec> {
  const squares = { weight: spec('float32', [count]), bias: spec('float32', [count]) };
  return { rows: { weight: spec('float32', [count, dim]), bias: spec('float32', [count]) }, squares };
}
