/**
 * Which feature map, and how many features, for a tolerated error of attention: predicted for every candidate and number of
 * features (`error.ts`), and measured where that decides (`measure.ts`). Predictions are good for small errors and too high
 * for large ones, so that nothing is recommended, or ruled out, unmeasured.
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import {
  type FeatureMapOptions,
  type FeatureShape,
  featureCountOf,
  featureMapProblems,
  isShaped,
} from '../features/index.js';
import { type PredictableMap, predictableMaps } from './correlation.js';
import { predictAttentionError } from './error.js';
import { measureAttentionError, shapeOfSamples } from './measure.js';
import type { AttentionSamples } from './samples.js';

/** A map that is compared with others, and how its projection is drawn. */
export type FeatureCandidate = { readonly name: PredictableMap } & Pick<
  FeatureMapOptions,
  'projectionKind' | 'rowNorm'
>;

/** Every predictable map with orthogonal rows of norm chi. */
export const defaultCandidates: readonly FeatureCandidate[] = predictableMaps.map((name) => ({
  name,
  projectionKind: 'orthogonal',
  rowNorm: 'chi',
}));
/** The numbers of features that are compared unless others are given. */
export const defaultFeatureCounts: readonly number[] = [32, 64, 128, 256, 512];

/** How maps are compared. */
export interface RecommendOptions {
  /** The relative error √(E|ô − o|²/|o|²) that is tolerated, above 0. */
  readonly tolerance: number;
  readonly candidates?: readonly FeatureCandidate[];
  /** Even numbers, ascending. Maps whose number follows from the dim have that one alone. */
  readonly featureCounts?: readonly number[];
  /** Measures every candidate at every number of features, and not only where it decides. */
  readonly measuresAll?: boolean;
  /** Projections drawn for each measurement; 4 unless given. */
  readonly draws?: number;
  readonly seed?: number;
}

/** The error of a map with so many features. */
export interface FeatureEstimate {
  readonly featureCount: number;
  /** Absent for regularised rows (root), whose bias the prediction does not know. */
  readonly predicted?: number;
  /** Where it was measured. */
  readonly measured?: number;
}

/** A candidate, and its error for each number of features. */
export interface CandidateReport extends FeatureCandidate {
  readonly estimates: readonly FeatureEstimate[];
}

/** What the comparison of maps came to. */
export interface Recommendation {
  readonly tolerance: number;
  /**
   * The candidate that needs the fewest features, and of several the one with the least error, as measured. Absent where none
   * reaches the tolerance: then exact attention, or more features than were tried, is the answer.
   */
  readonly best?: FeatureCandidate & { readonly featureCount: number; readonly error: number };
  /** In the order of the candidates. */
  readonly candidates: readonly CandidateReport[];
}

/** One candidate at work. */
class Trial {
  readonly counts: readonly number[];
  readonly predicted: readonly number[] | undefined;
  readonly measured = new Map<number, number>();

  private constructor(
    readonly candidate: FeatureCandidate,
    counts: readonly number[],
    private readonly shape: FeatureShape<HostTensor> | undefined,
    private readonly samples: AttentionSamples,
    private readonly engine: Engine,
    private readonly options: RecommendOptions,
  ) {
    this.counts = counts;
    const { name, projectionKind, rowNorm } = candidate;
    const map = { name, projectionKind, ...(shape === undefined ? {} : { shape }) };
    this.predicted = rowNorm === 'chi' ? predictAttentionError(samples, map, counts) : undefined;
  }

  static async of(
    engine: Engine,
    samples: AttentionSamples,
    candidate: FeatureCandidate,
    options: RecommendOptions,
  ): Promise<Trial> {
    const headDim = samples.query.shape[3] as number;
    const asked = options.featureCounts ?? defaultFeatureCounts;
    const counts = [...new Set(asked.map((featureCount) => featureCountOf({ ...candidate, headDim, featureCount })))];
    for (const featureCount of counts) {
      const problems = featureMapProblems({ ...candidate, headDim, featureCount });
      if (problems.length > 0) {
        const text = problems.map(([key, message]) => `${key}: ${message}`).join('; ');
        throw new PerformerError('CONFIG', `recommendFeatures: expected candidates that fit, got ${text}.`);
      }
    }
    const { name } = candidate;
    const shape = isShaped(name) ? await shapeOfSamples(engine, name, samples) : undefined;
    return new Trial(candidate, counts, shape, samples, engine, options);
  }

  async measure(index: number): Promise<number> {
    const featureCount = this.counts[index] as number;
    const known = this.measured.get(featureCount);
    if (known !== undefined) return known;
    const { draws, seed } = this.options;
    const options = { ...this.candidate, headDim: this.samples.query.shape[3] as number, featureCount };
    const error = await measureAttentionError(this.engine, this.samples, options, {
      ...(draws === undefined ? {} : { draws }),
      ...(seed === undefined ? {} : { seed }),
      ...(this.shape === undefined ? {} : { shape: this.shape }),
    });
    this.measured.set(featureCount, error);
    return error;
  }

  /** The first number of features that is predicted to do, or the last. */
  predictedNeed(): number {
    const index = this.predicted?.findIndex((error) => error <= this.options.tolerance) ?? -1;
    return index < 0 ? this.counts.length - 1 : index;
  }

  /** The smallest measured number of at most `most` features that does: from the predicted one up or down. */
  async search(most: number): Promise<{ featureCount: number; error: number } | undefined> {
    const { tolerance } = this.options;
    const last = this.counts.findLastIndex((count) => count <= most);
    if (last < 0) return undefined;
    let index = Math.min(this.predictedNeed(), last);
    while ((await this.measure(index)) > tolerance) {
      if (index === last) return undefined;
      index++;
    }
    while (index > 0 && (await this.measure(index - 1)) <= tolerance) index--;
    return { featureCount: this.counts[index] as number, error: await this.measure(index) };
  }

  report(): CandidateReport {
    return {
      ...this.candidate,
      estimates: this.counts.map((featureCount, index) => {
        const [predicted, measured] = [this.predicted?.[index], this.measured.get(featureCount)];
        return {
          featureCount,
          ...(predicted === undefined ? {} : { predicted }),
          ...(measured === undefined ? {} : { measured }),
        };
      }),
    };
  }
}

/** Throws CONFIG for options that make no sense. */
function checkOptions({
  tolerance,
  candidates,
  featureCounts = defaultFeatureCounts,
  draws = 1,
}: RecommendOptions): void {
  const refuse = (expected: string, got: unknown) =>
    new PerformerError('CONFIG', `recommendFeatures: expected ${expected}, got ${got}.`);
  if (!(tolerance > 0 && tolerance < Number.POSITIVE_INFINITY)) throw refuse('a tolerance above 0', tolerance);
  if (candidates?.length === 0) throw refuse('at least one candidate', 'none');
  if (!Number.isSafeInteger(draws) || draws < 1) throw refuse('draws of 1 or more', draws);
  const isAscending = featureCounts.every(
    (count, at) => Number.isSafeInteger(count) && count > 0 && (at === 0 || count > (featureCounts[at - 1] as number)),
  );
  if (featureCounts.length === 0 || !isAscending) throw refuse('ascending numbers of features', `[${featureCounts}]`);
}

/**
 * Recommends a map and a number of features for samples of queries and keys (of one layer). With values, the error is that of the
 * outputs; without, of the attention matrix.
 *
 * @throws SHAPE or NUMERIC for samples that do not fit; CONFIG for options that do not.
 */
export async function recommendFeatures(
  engine: Engine,
  samples: AttentionSamples,
  options: RecommendOptions,
): Promise<Recommendation> {
  checkOptions(options);
  const trials: Trial[] = [];
  for (const candidate of options.candidates ?? defaultCandidates) {
    trials.push(await Trial.of(engine, samples, candidate, options));
  }
  if (options.measuresAll) {
    for (const trial of trials) for (const index of trial.counts.keys()) await trial.measure(index);
  }
  const need = (trial: Trial) => trial.counts[trial.predictedNeed()] as number;
  let best: Recommendation['best'];
  for (const trial of trials.toSorted((a, b) => need(a) - need(b))) {
    const found = await trial.search(best?.featureCount ?? Number.POSITIVE_INFINITY);
    if (found === undefined) continue;
    const isBetter =
      best === undefined ||
      found.featureCount < best.featureCount ||
      (found.featureCount === best.featureCount && found.error < best.error);
    if (isBetter) best = { ...trial.candidate, ...found };
  }
  return {
    tolerance: options.tolerance,
    ...(best === undefined ? {} : { best }),
    candidates: trials.map((trial) => trial.report()),
  };
}
