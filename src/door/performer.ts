/** A plain Performer with its weights, ready to be called: embeddings in, hidden layers out. */
import { float32 } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { ModelInputs } from '../models/index.js';
import type { Numbers } from './attention.js';
import { type BasicModel, basicModel, type Host, type Local } from './host.js';
import { rowLengths } from './row-lengths.js';

/** Embeddings of several rows side by side. */
export interface EmbeddingRows {
  /** [batch, length, dim], the last axis first to change. */
  readonly embeddings: Numbers;
  /** How many rows there are; 1 unless given. */
  readonly batch?: number | undefined;
  /** How many embeddings of each row are real, [batch]; all of them unless given. What the others hold changes nothing. */
  readonly lengths?: ArrayLike<number> | undefined;
}

/** The Performer alone, here or in a worker. */
export interface Performer extends BasicModel {
  readonly kind: 'performer';
  /**
   * Hidden layers [batch, length, dim] of embeddings.
   *
   * @throws SHAPE for numbers that are no such embeddings, and for lengths that do not fit; CONFIG for more than the model's positions know.
   */
  apply(rows: EmbeddingRows): Promise<Float32Array>;
}

export function performer(host: Host): Local<Performer> {
  return { kind: 'performer', ...basicModel(host), apply: (rows) => applyTo(host, rows) };
}

async function applyTo(host: Host, { embeddings, batch = 1, lengths }: EmbeddingRows): Promise<Float32Array> {
  const { config, maxLength = Number.POSITIVE_INFINITY } = host.loaded.model;
  const length = embeddings.length / batch / config.dim;
  if (!Number.isSafeInteger(length) || length < 1 || length > maxLength) {
    const most = maxLength === Number.POSITIVE_INFINITY ? '' : ` of ${maxLength} at most`;
    const expected = `[${batch}, length, ${config.dim}] numbers, the length from 1 on${most}`;
    throw new PerformerError('SHAPE', `apply: expected ${expected}, got ${embeddings.length}.`);
  }
  const inputs = {
    embeddings: float32([batch, length, config.dim], embeddings),
    ...(lengths && { lengths: rowLengths('apply', lengths, batch, length) }),
  };
  return host.use(
    `apply ${lengths !== undefined}`,
    () => compileApply(host, lengths !== undefined),
    async (compiled) => Float32Array.from((await compiled.run([{}, {}, inputs])).output.data),
  );
}

function compileApply({ engine, loaded: { model, params, buffers } }: Host, isRagged: boolean) {
  const { lengths, ...inputs } = model.inputs(symbol('batch'), symbol('length'));
  return engine.compile(
    (learned: object, drawn: object, given: ModelInputs) => ({
      output: model.apply({ params: learned, buffers: drawn }, given).output,
    }),
    [params, buffers, isRagged ? { ...inputs, lengths } : inputs],
  );
}
