/** One vector for each of many texts: they are read in batches of about one length, and come back in their own order. */
import type { HostTensor } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { Weights } from '../blocks/index.js';
import { batchesByLength, framedTokens, textRows } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import type { Tensor } from '../graph/index.js';
import { rowInputs, rowSpecs } from './batch-inputs.js';
import type { LoadedModel } from './folder.js';
import { holdWeights } from './held-weights.js';
import type { ModelInputs } from './inputs.js';
import type { ModelConfig, ModelResult } from './model.js';
import { textFrameOf, tokenizerOf } from './tokenizer.js';

/** A text, its bytes as a Uint8Array, or its tokens in any other array. */
export type GivenTokens = string | ArrayLike<number>;

/** How many texts are read at once, and how much of each. */
export interface TextBatchOptions {
  /** Texts that are read at once; 8 unless given. */
  readonly batch?: number | undefined;
  /** Tokens at which a text is cut; none unless given. */
  readonly window?: number | undefined;
}

export interface TextVectors {
  /** One row for each text, in their order. Throws CONFIG for a text that is longer than the model knows. */
  of(texts: readonly GivenTokens[]): Promise<Float32Array[]>;
  /** Frees what was compiled and placed. */
  dispose(): Promise<void>;
}

/**
 * Compiles what makes a vector of a text: `build` gets the result of the model and the lengths [batch], and returns
 * [batch, size], or [batch, length, size], of which rows are padded.
 */
export async function compileTextVectors(
  where: string,
  engine: Engine,
  { model, params, buffers }: LoadedModel,
  { batch = 8, window = Number.POSITIVE_INFINITY }: TextBatchOptions,
  build: (result: ModelResult, lengths: Tensor<'int32'> | undefined) => Tensor,
): Promise<TextVectors> {
  expectSizes(where, { batch, window });
  const { maxLength = Number.POSITIVE_INFINITY, image } = model;
  const weights = await holdWeights(engine, { params, buffers });
  const compiled = await engine.compile(
    (learned: object, drawn: object, inputs: ModelInputs) => {
      const own: Weights = { params: learned, buffers: drawn };
      return { vectors: build(model.apply(own, inputs), inputs.lengths) };
    },
    [...weights.compiled, rowSpecs(model, symbol('batch'))],
  );
  return {
    async of(texts) {
      const rows = tokenRows(texts, model.config, window);
      const lengths = rows.map(({ length }) => Math.min(length, window));
      const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
      if (image === undefined && longest > maxLength) {
        const advice = 'Cut texts with window.';
        throw new PerformerError('CONFIG', `${where}: expected at most ${maxLength} tokens, got ${longest}. ${advice}`);
      }
      const vectors: Float32Array[] = [];
      for (const own of batchesByLength(lengths, batch)) {
        const batched = textRows(
          own.map((index) => rows[index] as ArrayLike<number>),
          window,
        );
        const given = rowInputs(where, model, batched);
        const { vectors: found } = await compiled.run([...weights.given, given]);
        const { data } = found as HostTensor;
        const size = data.length / own.length;
        own.forEach((index, row) => {
          vectors[index] = data.slice(row * size, (row + 1) * size);
        });
      }
      return vectors;
    },
    async dispose() {
      weights.free();
      await compiled.dispose();
    },
  };
}

/** The tokens of each text. The tokenizer is asked for where there is a text, as a model may have none that suits it. */
function tokenRows(texts: readonly GivenTokens[], config: ModelConfig, window: number): readonly ArrayLike<number>[] {
  if (config.tokenizer === undefined) return texts as readonly ArrayLike<number>[]; // the values of images
  const isText = (given: GivenTokens) => typeof given === 'string' || given instanceof Uint8Array;
  if (!texts.some(isText)) return texts as readonly ArrayLike<number>[];
  const tokenizer = tokenizerOf(config);
  const frame = textFrameOf(config);
  return texts.map((given) => {
    if (!isText(given)) return given as ArrayLike<number>;
    return framedTokens(tokenizer.encode(given as string | Uint8Array), frame, window);
  });
}

function expectSizes(where: string, sizes: Required<Readonly<Record<'batch' | 'window', number>>>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (value >= 1 && (Number.isSafeInteger(value) || value === Number.POSITIVE_INFINITY)) continue;
    throw new PerformerError('CONFIG', `${where}: expected a positive integer as ${name}, got ${value}.`);
  }
}
