/** The error of attention through a feature map, measured on samples: on an engine, against exact attention, over draws. */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Engine } from '../engine/index.js';
import {
  drawFeatureParts,
  type FeatureMap,
  type FeatureMapOptions,
  type FeatureMapParts,
  type FeatureShape,
  featureMap,
  isShaped,
  rowMoments,
  type ShapeMethod,
  shapeFromMoments,
} from '../features/index.js';
import { expectCounts } from '../features/projection.js';
import { specsOf, square, subtract, sum, type Tensor } from '../graph/index.js';
import { bidirectionalAttention } from './bidirectional.js';
import { causalAttention } from './causal.js';
import { exactAttention } from './exact.js';
import { hybridAttention } from './hybrid.js';
import type { AttentionInputs } from './layout.js';
import { attentionMap, exactAttentionMap } from './map.js';
import { type AttentionSamples, checkSamples, sampledRows } from './samples.js';

/** How the error of attention is measured. */
export interface MeasureOptions {
  /** Projections drawn; 4 unless given. */
  readonly draws?: number;
  /** Of the draws; 0 unless given. */
  readonly seed?: number;
  /** Of shaped maps; that of the samples' own moments unless given. */
  readonly shape?: FeatureShape<HostTensor>;
  /** Keys that are read exactly, as the hybrid does; none unless given. Needs samples with values. */
  readonly window?: number;
}

/** Rows of the attention matrix that are compared where there are no values. */
const mapRows = 64;

type Arrays<T> = { readonly query: T; readonly key: T; readonly value?: T };

function arraysOf({ query, key, value }: AttentionSamples): Arrays<HostTensor> {
  return { query, key, ...(value === undefined ? {} : { value }) };
}

/** The shape that suits the samples' moments. */
export async function shapeOfSamples(
  engine: Engine,
  method: ShapeMethod,
  samples: AttentionSamples,
): Promise<FeatureShape<HostTensor>> {
  checkSamples('shapeOfSamples', samples);
  const arrays = { query: samples.query, key: samples.key };
  const moments = await engine.compile(
    ({ query, key }: Arrays<Tensor>) => ({ query: rowMoments(query), key: rowMoments(key) }),
    [specsOf(arrays)],
  );
  try {
    const found = await moments.run([arrays]);
    return shapeFromMoments(method, found);
  } finally {
    await moments.dispose();
  }
}

/**
 * √(Σ|ô − o|²/Σ|o|²) over all queries, heads and draws: of the outputs, or without values of rows of the attention matrix.
 * Infinity where features overflow.
 *
 * @throws SHAPE for samples that do not fit; CONFIG for options that do not.
 */
export async function measureAttentionError(
  engine: Engine,
  samples: AttentionSamples,
  options: FeatureMapOptions,
  { draws = 4, seed = 0, shape, window }: MeasureOptions = {},
): Promise<number> {
  checkSamples('measureAttentionError', samples);
  expectCounts('measureAttentionError', { draws });
  if (window !== undefined && samples.value === undefined) {
    throw new PerformerError(
      'CONFIG',
      'measureAttentionError: expected samples with values beside a window, got none.',
    );
  }
  const { isCausal } = samples;
  const { name } = options;
  const heads = samples.query.shape[2] as number;
  const random = Random.fromSeed(seed);
  const own = isShaped(name) ? (shape ?? (await shapeOfSamples(engine, name, samples))) : undefined;
  const drawn = (draw: number): FeatureMapParts<HostTensor> => {
    const parts = drawFeatureParts(options, heads, random.split(draw));
    return own === undefined ? parts : { ...parts, shape: own };
  };
  const arrays = arraysOf(samples);
  const compare = ({ query, key, value }: Arrays<Tensor>, parts: FeatureMapParts) => {
    const map = featureMap(options, parts);
    const inputs = { query, key };
    const rows = sampledRows(samples.query.shape[1] as number, mapRows);
    const [found, exact] =
      value === undefined
        ? [attentionMap(inputs, map, { isCausal, rows }), exactAttentionMap(inputs, { isCausal, rows })]
        : [
            estimateOf({ ...inputs, value }, map, { isCausal, window }),
            exactAttention({ ...inputs, value }, { isCausal }).output,
          ];
    return { error: sum(square(subtract(found, exact))), signal: sum(square(exact)) };
  };
  const compiled = await engine.compile(compare, [specsOf(arrays), specsOf(drawn(0))]);
  try {
    let [error, signal] = [0, 0];
    for (let draw = 0; draw < draws; draw++) {
      const found = await compiled.run([arrays, drawn(draw)]);
      error += Number(found.error.data[0]);
      signal += Number(found.signal.data[0]);
    }
    const relative = Math.sqrt(error / signal);
    return Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative;
  } finally {
    await compiled.dispose();
  }
}

/** Attention through a map, exact within a window where there is one. */
function estimateOf(
  inputs: AttentionInputs,
  map: FeatureMap,
  { isCausal, window }: { readonly isCausal: boolean; readonly window: number | undefined },
): Tensor {
  if (window !== undefined) return hybridAttention(inputs, map, { window, isCausal }).output;
  return isCausal ? causalAttention(inputs, map).output : bidirectionalAttention(inputs, map);
}
