/**
 * The host's side of training with a large softmax: the table of all classes, the tree that draws negatives, and the
 * rows that travel between them and the graph.
 *
 * A step runs as
 *
 *   1. graph: hidden vectors → the query of the mixture of their proposals (`mixtureQuery`)
 *   2. host:  draw negatives, take out the rows of targets and negatives (`touch`)
 *   3. graph: sampled loss, gradients, the rows updated and their new features (`sampledCrossEntropy`, `updateTouched`)
 *   4. host:  put rows and features back (`putBack`)
 *
 * so that nothing in it is as large as the number of classes.
 */
import { float32, type HostTensor } from '../../base/array.js';
import { symbol } from '../../base/dimension.js';
import { PerformerError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { formatShape } from '../../base/shape.js';
import { mapTree } from '../../base/tree.js';
import type { Engine } from '../../engine/index.js';
import { drawProjection } from '../../features/index.js';
import { spec, type Tensor } from '../../graph/index.js';
import { type ClassTable, initClassTable } from './class-logits.js';
import { type Draws, expectCount } from './draws.js';
import { FeatureTree } from './feature-tree.js';
import { scatterRows } from './host-rows.js';
import { classFeatures } from './proposal.js';
import { initRowSquares, updateRows } from './row-adagrad.js';
import { type TableState, type TouchedClasses, touchClasses } from './touched.js';

/** The sizes of the head, and how its negatives are drawn. */
export interface SampledSoftmaxOptions {
  /** The number of classes, more than `samples`. */
  readonly classes: number;
  readonly dim: number;
  /** Negatives drawn for a step and shared by all its rows: more are a better gradient and a slower step. */
  readonly samples: number;
  /** τ: logits are τ·ĥ·ĉ + bias. Default 16. */
  readonly temperature?: number;
  /** ν, the temperature of the kernel by which negatives are drawn. Default 8. */
  readonly kernelTemperature?: number;
  /** Random features of the proposal: the tree holds 2·classes·featureCount float32. Default 128. */
  readonly featureCount?: number;
  /** Of the first class vectors and the projection. Default 0. */
  readonly seed?: number;
  /** Class vectors and biases to go on from; drawn from the seed unless given. Kept, and changed by steps. */
  readonly table?: ClassTable<HostTensor>;
  /** The accumulators of Adagrad to go on from, [classes] each; 0 unless given. Kept, and changed by steps. */
  readonly squares?: ClassTable<HostTensor>;
}

/** What a step's graph gives back for the touched classes. */
export interface UpdatedClasses<T = Tensor> extends TableState<T> {
  /** The features of the updated rows: [touched, features]. */
  readonly features: T;
}

/** Classes whose features are computed in one run. */
const featureBlock = 4096;

const optionNames: readonly string[] = [
  ...['classes', 'dim', 'samples', 'temperature', 'kernelTemperature', 'featureCount', 'seed', 'table', 'squares'],
];

function checkOptions(options: Omit<SampledSoftmaxOptions, 'table' | 'squares'>): void {
  const { classes, dim, samples, temperature, kernelTemperature, featureCount } = options;
  const unknown = Object.keys(options).find((name) => !optionNames.includes(name));
  if (unknown !== undefined) {
    throw new PerformerError(
      'CONFIG',
      `SampledSoftmax: expected options among ${optionNames.join(', ')}, got ${unknown}.`,
    );
  }
  for (const [name, value] of Object.entries({ classes, dim, samples, featureCount })) {
    expectCount('SampledSoftmax', name, value as number);
  }
  if (samples >= classes) {
    throw new PerformerError(
      'CONFIG',
      `SampledSoftmax: expected fewer samples than classes, got ${samples} samples of ${classes} classes. ` +
        'Use exactCrossEntropy, which is then cheaper and exact.',
    );
  }
  for (const [name, value] of Object.entries({ temperature, kernelTemperature })) {
    if (!((value as number) > 0 && (value as number) < Infinity)) {
      throw new PerformerError('CONFIG', `SampledSoftmax: expected a positive ${name}, got ${value}.`);
    }
  }
}

function expectShapes(name: string, table: ClassTable<HostTensor>, weight: number[], bias: number[]): void {
  const got = [table.weight.shape, table.bias.shape].map(formatShape);
  const expected = [weight, bias].map(formatShape);
  if (got.join() === expected.join()) return;
  throw new PerformerError(
    'SHAPE',
    `SampledSoftmax: expected a ${name} with weight ${expected[0]} and bias ${expected[1]}, got ${got[0]} and ${got[1]}.`,
  );
}

/**
 * The class table, its accumulators and its tree of features, kept in step with each other: `draw`, `touch` and `putBack`
 * around the graph of a step. Deterministic: all draws are functions of the seed and of the keys that are passed in.
 */
export class SampledSoftmax {
  readonly temperature: number;
  readonly kernelTemperature: number;
  readonly samples: number;
  /** The table of all classes: weight [classes, dim], bias [classes]; changed in place by `putBack`. */
  readonly table: ClassTable<HostTensor>;
  /** The accumulators of Adagrad: [classes] each. */
  readonly squares: ClassTable<HostTensor>;
  /** Ω [features, dim]. */
  readonly projection: HostTensor;
  readonly #tree: FeatureTree;

  private constructor(
    options: Required<Omit<SampledSoftmaxOptions, 'seed'>>,
    projection: HostTensor,
    tree: FeatureTree,
  ) {
    this.temperature = options.temperature;
    this.kernelTemperature = options.kernelTemperature;
    this.samples = options.samples;
    this.table = options.table;
    this.squares = options.squares;
    this.projection = projection;
    this.#tree = tree;
  }

  /** Draws or takes over a table and builds the tree over it. Throws CONFIG, SHAPE and, for bad vectors, NUMERIC. */
  static async create(engine: Engine, options: SampledSoftmaxOptions): Promise<SampledSoftmax> {
    const { classes, dim, samples, temperature = 16, kernelTemperature = 8, featureCount = 128 } = options;
    checkOptions({ ...options, temperature, kernelTemperature, featureCount });
    const random = Random.fromSeed(options.seed ?? 0).split('large softmax');
    const table = options.table ?? initClassTable(classes, dim, random.split('table'));
    const squares = options.squares ?? initRowSquares(table);
    expectShapes('table', table, [classes, dim], [classes]);
    expectShapes('squares', squares, [classes], [classes]);
    const projection = drawProjection(random.split('projection'), featureCount, dim);
    const tree = new FeatureTree(classes, featureCount);
    const all = { classes, dim, samples, temperature, kernelTemperature, featureCount, table, squares };
    const head = new SampledSoftmax(all, projection, tree);
    await head.#fillTree(engine);
    return head;
  }

  /** Σ φ(c_i), what `mixtureQuery` reads: float32 [features]. */
  get featureTotal(): HostTensor {
    return this.#tree.total();
  }

  /** Draws negatives by the tree for a query [features]: one of `mixtureQuery`, or any that is not negative. */
  draw(query: HostTensor, random: Random): Draws {
    return this.#tree.draw(query.data, this.samples, random);
  }

  /** Takes out the rows of `draws` and `targets` for a step. Throws DATA for a class that is not there. */
  touch(targets: ArrayLike<number>, draws: Draws): TouchedClasses {
    return touchClasses(this.state, targets, draws);
  }

  /** Puts updated rows back into the table, and their features into the tree. Throws NUMERIC, and changes nothing, if bad. */
  putBack({ classes }: TouchedClasses, { rows, squares, features }: UpdatedClasses<HostTensor>): void {
    this.#tree.set(classes, features.data);
    scatterRows(this.state, classes, { rows, squares } as typeof this.state);
  }

  /** The tables of all classes with their accumulators: all that a checkpoint needs. */
  get state(): TableState<HostTensor> {
    return { rows: this.table, squares: this.squares };
  }

  async #fillTree(engine: Engine): Promise<void> {
    const [classes, dim] = this.table.weight.shape as [number, number];
    const block = symbol('block');
    const executable = await engine.compile(
      (table: ClassTable, { projection }: { projection: Tensor }) => ({
        features: classFeatures(table, projection, this.kernelTemperature),
      }),
      [
        { weight: spec('float32', [block, dim]), bias: spec('float32', [block]) },
        { projection: spec('float32', this.projection.shape) },
      ],
    );
    try {
      const all = new Float32Array(classes * this.#tree.featureCount);
      for (let start = 0; start < classes; start += featureBlock) {
        const end = Math.min(start + featureBlock, classes);
        const rows = mapTree(this.table, ({ shape, data }: HostTensor) => {
          const width = data.length / classes;
          return float32([end - start, ...shape.slice(1)], data.subarray(start * width, end * width));
        });
        const { features } = await executable.run([rows, { projection: this.projection }]);
        all.set(features.data, start * this.#tree.featureCount);
      }
      this.#tree.set(
        Int32Array.from({ length: classes }, (_, index) => index),
        all,
      );
    } finally {
      await executable.dispose();
    }
  }
}

/** The touched rows after a step of Adagrad, with the features of what they became: for the end of a step's graph. */
export function updateTouched(
  { rows, squares }: TableState,
  gradients: ClassTable,
  { learningRate, projection }: { readonly learningRate: Tensor; readonly projection: Tensor },
  kernelTemperature: number,
): UpdatedClasses {
  const next = updateRows(rows, squares, gradients, learningRate);
  return { ...next, features: classFeatures(next.rows, projection, kernelTemperature) };
}
