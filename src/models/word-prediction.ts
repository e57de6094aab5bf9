/** What a token classifier tells of the words of texts. */
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { areBio, encodeWords, type Span, spansOf, type Word, type WordText } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { softmax } from '../graph/index.js';
import type { LoadedModel } from './folder.js';
import { targetsOf } from './targets.js';
import { compileTextVectors, type TextBatchOptions } from './text-vectors.js';
import { textFrameOf, tokenizerOf } from './tokenizer.js';

/** A word with the likeliest label. */
export interface ToldWord extends Word {
  readonly label: string;
  /** Of this label, from 0 to 1. */
  readonly probability: number;
}

/** What is told of a text. */
export interface ToldWords {
  /** In their order; those that begin behind the window are missing. */
  readonly words: readonly ToldWord[];
  /** Where the labels are of the form BIO, the spans of the text that have one. */
  readonly spans?: readonly Span[] | undefined;
}

/** Tells the labels of words, by a compiled model. Free it with `dispose`. */
export interface WordPredictor {
  /** The labels that there are. */
  readonly names: readonly string[];
  /** What is told of each text. Throws CONFIG for one that is longer than the model knows. */
  predict(texts: readonly WordText[]): Promise<ToldWords[]>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** Compiles the predictions of a token classifier. Throws CONFIG for a model of another kind, and for a batch or window that is none. */
export async function createWordPredictor(
  engine: Engine,
  loaded: LoadedModel,
  options: TextBatchOptions = {},
): Promise<WordPredictor> {
  const { kind, config } = loaded.model;
  const names = targetsOf(loaded.model)?.names;
  if (kind !== 'token-classifier' || names === undefined) {
    throw new PerformerError('CONFIG', `predict: expected a token-classifier, got ${withArticle(config.model)}.`);
  }
  const { window = Number.POSITIVE_INFINITY } = options;
  const vectors = await compileTextVectors('predict', engine, loaded, options, ({ output }) => softmax(output));
  return {
    names,
    async predict(texts) {
      const encoded = encodeWords(texts, tokenizerOf(config), textFrameOf(config));
      const rows = await vectors.of(encoded.map(({ tokens }) => tokens)); // [length · classes] each
      return texts.map(({ words }, text) => {
        const { places } = encoded[text] as (typeof encoded)[number];
        const read = words.filter((_, at) => (places[at] as number) < window);
        const told = read.map((word, at): ToldWord => {
          const first = (places[at] as number) * names.length;
          const own = (rows[text] as Float32Array).subarray(first, first + names.length);
          const probability = Math.max(...own);
          return { ...word, label: names[own.indexOf(probability)] as string, probability };
        });
        return { words: told, spans: areBio(names) ? spansIn(told) : undefined };
      });
    },
    dispose: vectors.dispose,
  };
}

/** The spans that labels of words tell, as places in the text. */
function spansIn(words: readonly ToldWord[]): readonly Span[] {
  return spansOf(words.map(({ label }) => label)).map(({ start, end, label }) => ({
    start: (words[start] as Word).start,
    end: (words[end - 1] as Word).end,
    label,
  }));
}
