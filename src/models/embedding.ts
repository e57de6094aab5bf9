/** Embeddings of texts: one vector for each, pooled from the last hidden layer of any model. */
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import { divide, maximum, slice, sqrt, square, sum, type Tensor } from '../graph/index.js';
import type { LoadedModel } from './folder.js';
import { poolings } from './pooling.js';
import { compileTextVectors, type GivenTokens, type TextBatchOptions } from './text-vectors.js';

/** How texts become vectors. */
export interface EmbeddingOptions extends TextBatchOptions {
  /**
   * How the tokens of a text become one vector: as the model says in `vectors`, or else their `mean`, unless given; the `last`, which is the one that has seen
   * all others in a causal model; or the `first`.
   */
  readonly pooling?: 'mean' | 'last' | 'first' | undefined;
  /** Whether vectors have the length 1, so that their products are cosines; as the model says in `vectors`, or else not, unless given. */
  readonly normalize?: boolean | undefined;
  /**
   * How many components of each vector are kept, the first ones; all of them unless given. Models that were trained so
   * (Matryoshka representations, Kusupati et al. 2022) lose little by it. A vector that is normalised has the length 1 again.
   */
  readonly dimensions?: number | undefined;
}

/** How texts become vectors, once all is known. */
export interface VectorManner {
  readonly pooling: NonNullable<EmbeddingOptions['pooling']>;
  readonly normalize: boolean;
  /** The length of a vector. */
  readonly dimensions: number;
  /** Tokens at which a text is cut; none where it is undefined. */
  readonly window?: number | undefined;
}

/** Turns texts into vectors, by a compiled model. Free it with `dispose`. */
export interface Embedder {
  /** What was asked for, or else what the model says. */
  readonly manner: VectorManner;
  /** One vector [dimensions] for each text, in their order; zeros for an empty text with `mean` and `last`. */
  embed(texts: readonly GivenTokens[]): Promise<Float32Array[]>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** Compiles embeddings of a model, for texts that come in several parts. Throws CONFIG for options out of range. */
export async function createEmbedder(
  engine: Engine,
  loaded: LoadedModel,
  given: EmbeddingOptions = {},
): Promise<Embedder> {
  const { vectors: own } = loaded.model.config;
  const { pooling = own?.pooling ?? 'mean', normalize = own?.normalize ?? false, window = own?.window } = given;
  const pool = poolings[pooling];
  if (!Object.hasOwn(poolings, pooling)) {
    const names = Object.keys(poolings).join(', ');
    throw new PerformerError('CONFIG', `embed: expected one of ${names} as pooling, got ${String(pooling)}.`);
  }
  const { dim } = loaded.model.config;
  const { dimensions = dim } = given;
  if (!(Number.isSafeInteger(dimensions) && dimensions >= 1 && dimensions <= dim)) {
    throw new PerformerError('CONFIG', `embed: expected dimensions from 1 to ${dim}, got ${dimensions}.`);
  }
  const vectors = await compileTextVectors('embed', engine, loaded, { ...given, window }, ({ hidden }, lengths) => {
    const pooled = slice(pool({ hidden, lengths }), -1, 0, dimensions);
    return normalize ? unitLength(pooled) : pooled;
  });
  const manner = { pooling, normalize, dimensions, window };
  return { manner, embed: vectors.of, dispose: vectors.dispose };
}

/**
 * Embeds texts, bytes or tokens: one vector [dimensions] for each, in their order. Texts are read in batches of about one length,
 * and a text has the same vector, up to rounding, whatever stands beside it.
 *
 * @throws CONFIG for a text that is longer than the learned positions of the model.
 */
export async function embed(
  engine: Engine,
  loaded: LoadedModel,
  texts: readonly GivenTokens[],
  options: EmbeddingOptions = {},
): Promise<Float32Array[]> {
  const embedder = await createEmbedder(engine, loaded, options);
  try {
    return await embedder.embed(texts);
  } finally {
    await embedder.dispose();
  }
}

/** x [batch, dim] with rows of length 1; rows of zeros stay as they are. */
function unitLength(x: Tensor): Tensor {
  return divide(x, maximum(sqrt(sum(square(x), -1, true)), 1e-12));
}
