/** Embeddings of texts: one vector for each, pooled from the last hidden layer of any model. */
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import { divide, maximum, sqrt, square, sum, type Tensor } from '../graph/index.js';
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
}

/** Turns texts into vectors, by a compiled model. Free it with `dispose`. */
export interface Embedder {
  /** One vector [dim] for each text, in their order; zeros for an empty text with `mean` and `last`. */
  embed(texts: readonly GivenTokens[]): Promise<Float32Array[]>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** Compiles embeddings of a model, for texts that come in several parts. Throws CONFIG for a pooling, batch or window that is none. */
export async function createEmbedder(
  engine: Engine,
  loaded: LoadedModel,
  given: EmbeddingOptions = {},
): Promise<Embedder> {
  const { vectors: own } = loaded.model.config;
  const { pooling = own?.pooling ?? 'mean', normalize = own?.normalize ?? false, window = own?.window } = given;
  const options = { ...given, window };
  const pool = poolings[pooling];
  if (!Object.hasOwn(poolings, pooling)) {
    const names = Object.keys(poolings).join(', ');
    throw new PerformerError('CONFIG', `embed: expected one of ${names} as pooling, got ${String(pooling)}.`);
  }
  const vectors = await compileTextVectors('embed', engine, loaded, options, ({ hidden }, lengths) => {
    const pooled = pool({ hidden, lengths });
    return normalize ? unitLength(pooled) : pooled;
  });
  return { embed: vectors.of, dispose: vectors.dispose };
}

/**
 * Embeds texts, bytes or tokens: one vector [dim] for each, in their order. Texts are read in batches of about one length,
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
