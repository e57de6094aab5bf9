/**
 * The predictor of the large-softmax benchmark: embeddings of the tokens that a step reads (rows of a table on the
 * host), one causal Performer block, and a norm. Its hidden vectors are what the heads are compared on.
 */
import { float32, type HostTensor, int32, Random, symbol, zeros } from '../src/base/index.js';
import {
  applyLayerNorm,
  type BlockParams,
  block,
  blockLayout,
  initialize,
  type LayerNormParams,
  layerNormLayout,
  positionsFrom,
  rotaryAngles,
} from '../src/blocks/index.js';
import { drawProjection } from '../src/features/index.js';
import { reshape, scalar, broadcastTo, slice, spec, type Tensor, takeRows } from '../src/graph/index.js';
import { distinctRows, gatherRows, initMoments, initRowSquares, scatterRows } from '../src/training/index.js';

export const dim = 256;
export const batch = 4;
export const window = 128;
export const rows = batch * window;
const heads = 4;
const headDim = dim / heads;

export interface BodyParams<T = Tensor> {
  readonly block: BlockParams<T>;
  readonly norm: LayerNormParams<T>;
}

const layout = {
  block: blockLayout({ dim, inner: dim, hidden: 4 * dim, outputGain: Math.SQRT1_2 }),
  norm: layerNormLayout(dim),
};
export const bodySpecs: BodyParams<ReturnType<typeof spec>> = specsOf(layout);
export const attentionProjection = drawProjection(Random.fromSeed(7), 128, headDim);

function specsOf(tree: typeof layout) {
  return tree as unknown as BodyParams<ReturnType<typeof spec>>;
}

/** embeddings [distinct, dim], places [batch, window] int32 → hidden [batch·window, dim]. */
export function hiddenOf(params: BodyParams, embeddings: Tensor, places: Tensor, projection: Tensor): Tensor {
  const x = takeRows(embeddings, places); // [batch, window, dim]
  const positions = positionsFrom(broadcastTo(scalar(0, 'int32'), [batch]), window);
  const { output } = block(params.block, x, {
    path: 'block',
    heads,
    headDim,
    chunk: 64,
    projection,
    angles: rotaryAngles(positions, headDim),
    tokenShift: true,
    attentionDropout: 0,
    feedForwardDropout: 0,
    takeLast: (y) => slice(y, 1, window - 1),
  });
  return reshape(applyLayerNorm(params.norm, output), [rows, dim]);
}
