/** Models as ONNX files that any runtime reads: standard operators of opset 21 alone, and the weights inside. */
import { byteLength } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type LoadedModel, tensorsOf } from '../models/index.js';
import { encodeModel, type ProductDtype } from '../onnx/index.js';
import { type OnnxForm, tracedForm } from './forms.js';

/** How a model is exported. */
export interface OnnxExportOptions {
  /** whole: sequences as they are, unless given; streaming: tokens after a state, of causal models that read no source. */
  readonly form?: OnnxForm | undefined;
  /** How dense layers keep and multiply their weights, by standard operators; float32 unless given. */
  readonly dtype?: OnnxDtype | undefined;
}

/** What dense layers of a file may have: int4 is an operator of ONNX Runtime's own. */
export const onnxDtypes = ['float32', 'int8'] as const satisfies readonly ProductDtype[];
/** See `onnxDtypes`. */
export type OnnxDtype = (typeof onnxDtypes)[number];

/** A file of protocol buffers ends at 2 GB; the graph itself takes some megabytes at most. */
const mostBytes = 2 ** 31 - 2 ** 24;

/**
 * A model as the bytes of an ONNX file: standard operators of opset 21, weights inside, any batch and length.
 *
 * whole: `tokens` [batch, length] int32 (of models that read in both directions with `lengths` [batch] int32, how many of them
 * are real; `source`, `sourceLengths`, `embeddings` or `images` of models that read these) → `logits` [batch, length, vocabulary], or
 * `probabilities` or `values` of what the model tells, and `hidden` [batch, length, dim], the last hidden layer.
 *
 * streaming: `tokens`, and the parts of the state by their names, `state.position` [batch] int32 and others, zeros before the
 * first token → `logits` [batch, vocabulary] of the token that comes next, and `next.state.position` and the others.
 *
 * `metadata_props` tell form, dtype, kind, tokenizer, and the config as JSON, whose options `targets` names what is told.
 *
 * @throws CONFIG for a form that the model does not have, for another dtype, and for weights of 2 GB and more.
 */
export function exportOnnx(
  loaded: LoadedModel,
  { form = 'whole', dtype = 'float32' }: OnnxExportOptions = {},
): Uint8Array {
  const where = 'exportOnnx';
  if (!onnxDtypes.includes(dtype)) {
    throw new PerformerError('CONFIG', `${where}: expected ${onnxDtypes.join(' or ')} as dtype, got ${dtype}.`);
  }
  const { model, params, buffers } = loaded;
  const bytes = [...tensorsOf(params).values(), ...tensorsOf(buffers).values()].reduce(
    (total, tensor) => total + byteLength(tensor),
    0,
  );
  if (bytes > mostBytes) {
    const got = `${(bytes / 2 ** 30).toFixed(1)} GB`;
    throw new PerformerError(
      'CONFIG',
      `${where}: expected weights below 2 GB, which a file of ONNX may have, got ${got}.`,
    );
  }
  const graph = tracedForm(where, loaded, form);
  const { kind, config } = model;
  const metadata = {
    'performer.form': form,
    'performer.dtype': dtype,
    'performer.kind': kind,
    ...(config.tokenizer !== undefined && { 'performer.tokenizer': config.tokenizer }),
    'performer.config': JSON.stringify(config),
  };
  return encodeModel(graph, 'standard', { metadata, isWhole: true, dtype }).bytes;
}

/** The bytes that a session holds of a model, with its dense layers computed so: its weights and its graph. */
export function heldBytes(loaded: LoadedModel, dtype: ProductDtype): number {
  const { bytes, externalData } = encodeModel(tracedForm('heldBytes', loaded, 'whole'), 'native', { dtype });
  return externalData.reduce((total, { data }) => total + data.length, bytes.length);
}
