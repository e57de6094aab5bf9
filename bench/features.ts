/**
 * The features of the keys alone: [1, 8 heads, 4096, 64] → 256 features, or as many as a map has, against SM+ for each
 * feature. What reads them is one product with a column, which every attention makes.
 */
import { float32, type HostTensor } from '../src/base/index.js';
import {
  drawFeatureParts,
  type FeatureMapName,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  featureMapNames,
} from '../src/features/index.js';
import { matmul, spec, specsOf, sum, type Tensor } from '../src/graph/index.js';
import { inTurns } from './measure.js';
import { engine, random } from './model.js';
import { type Benchmark, type BenchmarkOptions, bounded, type Row, spreadOf } from './report.js';

const [heads, length, featureCount] = [8, 4096, 256];

/** What a formula needs beyond SM+'s product and exponential. */
const needsMore: Partial<Record<FeatureMapName, string>> = {
  trigonometric: 'a sine and a cosine',
  aderf: 'the product Tx',
  polynomial: 'a product for each degree',
  softplus: 'an exponential and a logarithm',
  taylor: 'two picks and their product',
  elu: 'an exponential and a choice',
  gelu: 'an erf',
  cos: 'a cosine',
  hedgehog: 'two softmaxes',
};

/** Taylor features of heads of 64 are 2,145: those of 16 are measured, as the Based paper has them. */
const headDimOf = (name: FeatureMapName) => (name === 'taylor' ? 16 : 64);

async function contender(name: FeatureMapName) {
  const headDim = headDimOf(name);
  const choice = { name, headDim, projectionKind: 'orthogonal', rowNorm: 'chi' } as const;
  const options: FeatureMapOptions = { ...choice, featureCount: featureCountOf({ ...choice, featureCount }) };
  const draw = (part: string, shape: readonly number[]): HostTensor =>
    float32(shape, random.split(part).normals(shape.reduce((a, b) => a * b, 1)));
  const weight = () => draw('weight', [heads, headDim, headDim]);
  const parts: FeatureMapParts<HostTensor> = {
    ...drawFeatureParts(options, heads, random.split('parts')),
    ...(name === 'hedgehog' ? { learned: { query: weight(), key: weight() } } : {}),
  };
  const x = draw('x', [1, heads, length, headDim]);
  const column = draw('column', [1, heads, length, 1]);
  const position = draw('position', [1, 1, length, 1]);
  const executable = await engine.compile(
    (given: FeatureMapParts, inputs: { x: Tensor; column: Tensor; position: Tensor }) => {
      const { values, logScale } = featureMap(options, given).key(inputs.x, inputs.position);
      const total = sum(matmul(values, inputs.column, { transposeLeft: true }));
      return logScale === undefined ? { total } : { total, scale: sum(logScale) };
    },
    [
      specsOf(parts) as never,
      { x: spec('float32', x.shape), column: spec('float32', column.shape), position: spec('float32', position.shape) },
    ],
  );
  const inputs = { x, column, position };
  return {
    features: options.featureCount,
    run: () => executable.run([parts as never, inputs]),
    dispose: () => executable.dispose(),
  };
}

async function rowOf(name: FeatureMapName, isQuick: boolean): Promise<Row> {
  const [own, plain] = [await contender(name), await contender('positive')];
  const times = await inTurns({ own: own.run, plain: plain.run }, { warmup: 2, rounds: isQuick ? 1 : 7 });
  await own.dispose();
  await plain.dispose();
  const perFeature = times.own.median / own.features / (times.plain.median / plain.features);
  const reason = needsMore[name];
  const row = {
    what: `${name}, ${own.features} features${headDimOf(name) === 64 ? '' : ' of heads of 16'}${reason === undefined ? '' : ` (needs ${reason})`}`,
    value: `${times.own.median.toFixed(1)} ms against ${times.plain.median.toFixed(1)} ms`,
    spread: spreadOf(times.own, times.plain),
    ratio: perFeature,
    opponent: 'SM+, per feature',
  };
  return reason === undefined ? bounded(row, { atMost: 1.15 }) : row;
}

export const features: Benchmark = {
  name: 'features',
  title: 'key features alone, 8 heads, length 4,096',
  async run({ isQuick }: BenchmarkOptions) {
    const rows: Row[] = [];
    const names = isQuick ? (['positive', 'relu'] as const) : featureMapNames();
    for (const name of names) rows.push(await rowOf(name, isQuick));
    return rows;
  },
};
