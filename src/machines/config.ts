/**
 * What a kernel machine is made of: options with their defaults, and which feature maps estimate which kernel.
 *
 * Kernels of dot products see x·y/√dim, as attention does; rows are standardised before, unless told otherwise.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues, option } from '../base/options.js';
import { encodings } from '../data/index.js';
import {
  type FeatureMapName,
  type FeatureMapOptions,
  featureCountOf,
  featureMapProblems,
  nonlinearities,
  projectionKinds,
} from '../features/index.js';

export const kernelNames = [
  'gaussian',
  'softmax',
  'polynomial',
  'taylor',
  'arc-cosine',
  'linear',
  'generalized',
] as const;
export type KernelName = (typeof kernelNames)[number];

const named: FeatureMapName[] = ['relu', 'identity'];
const unnamed = (Object.keys(nonlinearities) as FeatureMapName[]).filter((name) => !named.includes(name));

/** The maps that estimate a kernel; the first is the one that is taken unless told otherwise. */
export const mapsOfKernel: Readonly<Record<KernelName, readonly FeatureMapName[]>> = {
  gaussian: ['trigonometric', 'positive', 'hyperbolic'],
  softmax: ['positive', 'hyperbolic', 'trigonometric'],
  polynomial: ['polynomial'],
  taylor: ['taylor'],
  'arc-cosine': ['relu'],
  linear: ['identity'],
  generalized: [...unnamed, 'exponential'],
};

const mapNames = [...new Set(Object.values(mapsOfKernel).flat())] as [FeatureMapName, ...FeatureMapName[]];

/** The matrix of the normal equations is featureCount²: half a gigabyte in float64 here. */
export const mostFeatures = 8192;
const defaultFeatures = 1024;

const size = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** What config.json says of the machine itself, and what a fit may be asked for. */
const shared = {
  task: option(
    z.enum(['regression', 'classification']).default('regression'),
    'predict numbers, or one of several classes',
  ),
  projectionKind: option(
    z.enum(projectionKinds).default('orthogonal'),
    'how the rows of the random projection are arranged',
  ),
  rowNorm: option(z.enum(['chi', 'root']).default('chi'), 'their norms: as of normal vectors, or √columns'),
  gamma: option(z.number().positive().optional(), 'γ of the gaussian kernel exp(−γ|x − y|²)', {
    fallback: '1/median |x − y|² of a sample',
  }),
  degree: option(z.int().min(1).max(16).optional(), 'of the polynomial kernel', { fallback: '2' }),
  offset: option(z.number().min(0).optional(), 'of the polynomial kernel', { fallback: '1' }),
  lambda: option(z.number().positive().optional(), 'λ|W|² is added to the mean squared error', {
    fallback: 'the best of six on held-out rows',
  }),
  standardize: option(
    z.boolean().default(true),
    'subtract the mean of each column and divide by its standard deviation',
  ),
  seed: option(
    z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    'of everything random: equal seeds give equal machines',
  ),
};

export const fitSchema = z.strictObject({
  ...shared,
  kernel: option(z.enum(kernelNames).optional(), 'the kernel (see below)', { fallback: 'gaussian, or that of --map' }),
  map: option(z.enum(mapNames).optional(), 'the feature map that estimates it', { fallback: "the kernel's first" }),
  featureCount: option(z.int().min(1).max(mostFeatures).optional(), 'random features', {
    fallback: '1024, or what the map has',
  }),
  heldOut: option(
    z.number().min(0).lt(1).default(0.2),
    'the part of the rows that chooses λ and measures; the machine then sees them too',
  ),
  batch: option(
    z
      .int()
      .min(1)
      .max(2 ** 20)
      .default(2048),
    'rows that the engine takes at once; changes speed and memory alone',
  ),
});

export type FitOptions = z.input<typeof fitSchema>;

const machineSchema = z
  .strictObject({
    model: z.literal('kernel-machine').default('kernel-machine'),
    version: z.literal(2).default(2),
    ...shared,
    lambda: z.number().positive(),
    kernel: z.enum(kernelNames),
    map: z.enum(mapNames),
    featureCount: z.int().min(1).max(mostFeatures),
    /** Columns of the inputs, and of the predictions: values, or one score for each class. */
    dim: size,
    outputs: size,
    /** What the columns and classes are called, where they came from a table. */
    names: z
      .strictObject({
        inputs: z.array(z.string()),
        targets: z.array(z.string()),
        classes: z.array(z.string()).optional(),
        header: z.boolean(),
        delimiter: z.string(),
        /** utf-8 unless given. */
        encoding: z.enum(encodings).optional(),
        /** Columns of the table, those left out among them. */
        columns: z.array(z.string()),
      })
      .optional(),
  })
  .superRefine(({ kernel, map, gamma, dim, outputs, task, names }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (!mapsOfKernel[kernel].includes(map))
      refuse('map', `the ${kernel} kernel has ${mapsOfKernel[kernel].join(', ')}`);
    if ((gamma !== undefined) !== (kernel === 'gaussian')) refuse('gamma', 'the gaussian kernel has it, and no other');
    if (names === undefined) return;
    const called = task === 'classification' ? (names.classes ?? []) : names.targets;
    if (names.inputs.length !== dim || called.length !== outputs) refuse('names', 'one for each column and output');
  });

/** The content of config.json. */
export type MachineConfig = z.output<typeof machineSchema>;
export type TableNames = NonNullable<MachineConfig['names']>;

/** The options of a fit once the kernel and the map are settled; the number of features waits for the data's dim. */
export interface FitPlan extends Omit<z.output<typeof fitSchema>, 'kernel' | 'map'> {
  readonly kernel: KernelName;
  readonly map: FeatureMapName;
}

function configError(where: string, got: string): PerformerError {
  return new PerformerError('CONFIG', `${where}: expected valid options, got ${got}.`);
}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function fitPlan(options: unknown, where = 'fitKernelMachine'): FitPlan {
  const parsed = fitSchema.safeParse(options, { reportInput: true });
  if (!parsed.success) throw configError(where, describeIssues(parsed.error));
  const { kernel: askedKernel, map: askedMap, ...rest } = parsed.data;
  const kernel = askedKernel ?? kernelNames.find((name) => mapsOfKernel[name].includes(askedMap ?? 'trigonometric'));
  if (kernel === undefined) throw configError(where, `map: ${askedMap}`);
  const map = askedMap ?? (mapsOfKernel[kernel][0] as FeatureMapName);
  if (!mapsOfKernel[kernel].includes(map)) {
    throw configError(where, `map: the ${kernel} kernel has ${mapsOfKernel[kernel].join(', ')}, not ${map}`);
  }
  if (kernel === 'generalized' && askedMap === undefined) {
    throw configError(where, `map: the generalized kernel is one of ${mapsOfKernel.generalized.join(', ')}; name it`);
  }
  if (rest.gamma !== undefined && kernel !== 'gaussian') {
    throw configError(where, 'gamma: only the gaussian kernel has it');
  }
  if (rest.lambda === undefined && rest.heldOut === 0) {
    throw configError(where, 'lambda: neither its value nor a heldOut part to choose it with');
  }
  return { ...rest, kernel, map };
}

/** The map of a machine over rows of a dim. Throws CONFIG for options that the map cannot have. */
export function mapOptions(
  where: string,
  plan: Pick<FitPlan, 'kernel' | 'map' | 'featureCount' | 'projectionKind' | 'rowNorm' | 'degree' | 'offset'>,
  dim: number,
): FeatureMapOptions {
  const { kernel, map: name, projectionKind, rowNorm, degree, offset } = plan;
  const shape = { name, headDim: dim, projectionKind: kernel === 'linear' ? ('none' as const) : projectionKind };
  const asked = plan.featureCount;
  const options: FeatureMapOptions = {
    ...shape,
    rowNorm,
    featureCount: asked ?? featureCountOf({ ...shape, featureCount: defaultFeatures }),
    ...(name in nonlinearities ? { kernelEpsilon: 0 } : {}), // there is no denominator to keep above zero
    ...(degree === undefined ? {} : { degree }),
    ...(offset === undefined ? {} : { offset }),
  };
  const problems = featureMapProblems(options).map(([key, message]) => `${key}: ${message}`);
  if (options.featureCount > mostFeatures) {
    problems.push(
      `featureCount: ${name} features of ${dim} columns are ${options.featureCount}, above ${mostFeatures}`,
    );
  }
  if (problems.length > 0) throw configError(where, problems.join('; '));
  return options;
}

/** Numbers of a batch that the engine holds at once, by columns or features: a gigabyte. */
const largestBatch = 2 ** 28;

/** Throws CONFIG for a batch whose rows, each of a width, are too many numbers. */
export function expectBatch(where: string, batch: number, width: number): void {
  const most = Math.floor(largestBatch / width);
  if (batch > most)
    throw configError(where, `batch: at most ${most} rows of ${width} columns or features, not ${batch}`);
}

/** Checks the content of a config.json. Throws CHECKPOINT. */
export function machineConfig(value: unknown, where: string): MachineConfig {
  const parsed = machineSchema.safeParse(value);
  if (!parsed.success) {
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected the configuration of a kernel machine, got ${describeIssues(parsed.error)}.`,
    );
  }
  return parsed.data;
}
