/**
 * The error of attention through random features, measured: outputs against a reference, over many draws.
 *
 * All errors are squared and relative to the mean square of the reference output. With ō the mean over R draws,
 * bias² = |ō − reference|² − variance/R, variance = Σ|o_r − ō|²/(R − 1), and the mean squared error is their sum.
 */
import { bidirectionalAttention, exactAttention, shapeOfSamples } from '../src/attention/index.js';
import { float32, type HostTensor, Random } from '../src/base/index.js';
import type { Engine } from '../src/engine/index.js';
import {
  drawFeatureParts,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  isShaped,
} from '../src/features/index.js';
import { specsOf } from '../src/graph/index.js';
import type { Candidate } from './candidates.js';

export interface Sample {
  readonly length: number;
  readonly dim: number;
  /** The standard deviation of the entries of queries and keys; that of the values is 1. */
  readonly std: number;
  readonly seed: number;
}

export interface Rows {
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly value: HostTensor;
}

/** Independent normal rows, one head: [1, length, 1, dim]. */
export function drawRows({ length, dim, std, seed }: Sample): Rows {
  const random = Random.fromSeed(seed).split('rows');
  const draw = (name: string, deviation: number) =>
    float32(
      [1, length, 1, dim],
      random
        .split(name)
        .normals(length * dim)
        .map((value) => value * deviation),
    );
  return { query: draw('query', std), key: draw('key', std), value: draw('value', 1) };
}

/** Exact softmax attention of the rows. */
export async function exactOutput(engine: Engine, rows: Rows): Promise<Float32Array> {
  const exact = await engine.compile((inputs) => exactAttention(inputs, { isCausal: false }).output, [specsOf(rows)]);
  const output = await exact.run([rows]);
  await exact.dispose();
  return output.data as Float32Array;
}

type Parts = FeatureMapParts<HostTensor>;

async function shapeOf(engine: Engine, rows: Rows, { name }: FeatureMapOptions): Promise<Parts> {
  return isShaped(name) ? { shape: await shapeOfSamples(engine, name, { ...rows, isCausal: false }) } : {};
}

function learnedOf({ name, headDim: dim }: FeatureMapOptions): Parts {
  if (name !== 'hedgehog') return {};
  const weight = () => {
    const values = new Float32Array(dim * dim);
    for (let i = 0; i < dim; i++) values[i * (dim + 1)] = 2;
    return float32([1, dim, dim], values);
  };
  return { learned: { query: weight(), key: weight() } };
}

/** The options of a candidate with so many features, or as many as it has. */
export function optionsFor({ options }: Candidate, headDim: number, featureCount: number): FeatureMapOptions {
  return { ...options, headDim, featureCount: featureCountOf({ ...options, headDim, featureCount }) };
}

/** The outputs of attention through `draws` independent maps. */
export async function approximateOutputs(
  engine: Engine,
  rows: Rows,
  options: FeatureMapOptions,
  { draws, seed }: { readonly draws: number; readonly seed: number },
): Promise<readonly Float32Array[]> {
  const fixed = { ...(await shapeOf(engine, rows, options)), ...learnedOf(options) };
  const drawn = (index: number): Parts => ({
    ...drawFeatureParts(options, 1, Random.fromSeed(seed).split('features').split(index)),
    ...fixed,
  });
  const attention = await engine.compile(
    (inputs, { parts }) => bidirectionalAttention(inputs, featureMap(options, parts)),
    [specsOf(rows), { parts: specsOf(drawn(0)) }],
  );
  const outputs: Float32Array[] = [];
  for (let index = 0; index < draws; index++) {
    outputs.push((await attention.run([rows, { parts: drawn(index) }])).data as Float32Array);
  }
  await attention.dispose();
  return outputs;
}

export interface ErrorParts {
  readonly meanSquaredError: number;
  readonly squaredBias: number;
  readonly variance: number;
}

/** The relative error of outputs against a reference; with one output it is all bias. */
export function errorParts(outputs: readonly Float32Array[], reference: ArrayLike<number>): ErrorParts {
  let [bias, variance, power] = [0, 0, 0];
  const draws = outputs.length;
  for (let at = 0; at < reference.length; at++) {
    const truth = reference[at] as number;
    let total = 0;
    for (const output of outputs) total += output[at] as number;
    const middle = total / draws;
    let spread = 0;
    for (const output of outputs) spread += ((output[at] as number) - middle) ** 2;
    if (draws > 1) variance += spread / (draws - 1);
    bias += (middle - truth) ** 2;
    power += truth ** 2;
  }
  const squaredBias = Math.max(0, bias - variance / draws) / power;
  return { squaredBias, variance: variance / power, meanSquaredError: squaredBias + variance / power };
}

/** The mean of outputs: the reference for a kernel that has no exact attention of its own. */
export function meanOutput(outputs: readonly Float32Array[]): Float64Array {
  const mean = new Float64Array(outputs[0]?.length ?? 0);
  for (const output of outputs)
    for (let at = 0; at < mean.length; at++) mean[at]! += (output[at] as number) / outputs.length;
  return mean;
}
