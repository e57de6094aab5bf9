/**
 * What models read, by name: tokens, embeddings or images, and beside the tokens of a decoder those of its source. A model
 * declares what it reads (`Model.inputs`), a task makes batches of what it knows, and a session asks whether there is a source.
 */
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { spec, type Tensor, type TensorSpec } from '../graph/index.js';

/** What models read, by name; a model reads some of it. */
export interface ModelInputs<I = Tensor<'int32'>, F = Tensor> {
  /** [batch, length] int32 */
  readonly tokens?: I | undefined;
  /** How many tokens (or embeddings) of each row are real, [batch] int32; all unless given. */
  readonly lengths?: I | undefined;
  /** The kinds of the tokens, of models that have `tokenTypes`, [batch, length] int32; all of the first unless given. */
  readonly types?: I | undefined;
  /** [batch, length, dim] */
  readonly embeddings?: F | undefined;
  /** [batch, height, width, channels], from 0 to 1. */
  readonly images?: F | undefined;
  /** The tokens that a decoder looks at, [batch, source] int32. */
  readonly source?: I | undefined;
  /** How many of them are real, [batch] int32; all unless given. */
  readonly sourceLengths?: I | undefined;
}

/** The name of an input. */
export type InputName = keyof ModelInputs;

/** Inputs as specifications. */
export type InputSpecs = ModelInputs<TensorSpec<'int32'>, TensorSpec>;

/** The inputs of models that read tokens. */
export function tokenInputs(batch: Dim, length: Dim): InputSpecs {
  return { tokens: spec('int32', [batch, length]), lengths: spec('int32', [batch]) };
}

/** The input of this name. Throws SHAPE where another was given. */
export function inputOf<const N extends InputName>(
  where: string,
  inputs: ModelInputs,
  name: N,
): NonNullable<ModelInputs[N]> {
  const found = inputs[name];
  if (found !== undefined) return found;
  const got = Object.entries(inputs).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  throw new PerformerError('SHAPE', `${where}: expected ${name}, got ${got.join(', ') || 'nothing'}.`);
}
