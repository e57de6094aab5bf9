/** Classifiers and regressors with their weights, ready to be called: the class of a text, its labels, or numbers. */
import {
  createPredictor,
  type GivenTokens,
  likelyLabels,
  type Predictor,
  type TextBatchOptions,
  targetsOf,
} from '../models/index.js';
import { checkTexts, type Host, type Local, type TextModel, textModel } from './host.js';

/** What a classifier tells of a text. */
export interface Classification {
  /** The likeliest class. */
  readonly label: string;
  /** Of each class, by its name; they add up to 1. */
  readonly probabilities: Readonly<Record<string, number>>;
}

/** A model that tells the class of a text, here or in a worker. */
export interface Classifier extends TextModel {
  readonly kind: 'classifier';
  /** The names of the classes. */
  readonly classes: readonly string[];
  /**
   * The class of each text, in their order. Texts are read in batches of about one length.
   *
   * @throws CONFIG for options out of range, and for a text longer than the learned positions; DATA for tokens that there
   *   are not.
   */
  classify(texts: readonly GivenTokens[], options?: TextBatchOptions): Promise<Classification[]>;
}

/** What a classifier of labels tells of a text. */
export interface Labelling {
  /** Those whose probability is above one half, in the order of the model's; there may be none. */
  readonly labels: readonly string[];
  /** Of each label, by its name, that the text has it. */
  readonly probabilities: Readonly<Record<string, number>>;
}

/** A model that tells which of some labels a text has, here or in a worker. */
export interface MultiLabelClassifier extends TextModel {
  readonly kind: 'multi-label-classifier';
  /** The names of the labels. */
  readonly labels: readonly string[];
  /** The labels of each text, in their order. Throws as that of a `Classifier`. */
  classify(texts: readonly GivenTokens[], options?: TextBatchOptions): Promise<Labelling[]>;
}

/** A model that tells numbers of a text, here or in a worker. */
export interface Regressor extends TextModel {
  readonly kind: 'regressor';
  /** The names of the numbers. */
  readonly values: readonly string[];
  /** The numbers of each text by their names, in the units of the data and in the order of the texts. Throws as `classify`. */
  predict(texts: readonly GivenTokens[], options?: TextBatchOptions): Promise<Readonly<Record<string, number>>[]>;
}

export function classifier(host: Host): Local<Classifier> {
  return {
    kind: 'classifier',
    ...textModel(host),
    classes: namesOf(host),
    classify: (texts, options) =>
      told(host, 'classify', texts, options, (numbers, names) => classificationOf(names, numbers)),
  };
}

export function multiLabelClassifier(host: Host): Local<MultiLabelClassifier> {
  return {
    kind: 'multi-label-classifier',
    ...textModel(host),
    labels: namesOf(host),
    classify: (texts, options) =>
      told(host, 'classify', texts, options, (numbers, names) => ({
        labels: likelyLabels(names, numbers),
        probabilities: byName(names, numbers),
      })),
  };
}

export function regressor(host: Host): Local<Regressor> {
  return {
    kind: 'regressor',
    ...textModel(host),
    values: namesOf(host),
    predict: (texts, options) => told(host, 'predict', texts, options, (numbers, names) => byName(names, numbers)),
  };
}

function namesOf({ loaded }: Host): readonly string[] {
  return targetsOf(loaded.model)?.names ?? [];
}

async function told<R>(
  host: Host,
  where: string,
  texts: readonly GivenTokens[],
  options: TextBatchOptions = {},
  tell: (numbers: Float32Array, names: readonly string[]) => R,
): Promise<R[]> {
  const { engine, loaded } = host;
  const checked = checkTexts(where, texts, loaded.model.config);
  const work = async ({ predict, targets: { names } }: Predictor) =>
    (await predict(checked)).map((numbers) => tell(numbers, names));
  return host.use(`${where} ${JSON.stringify(options)}`, () => createPredictor(engine, loaded, options), work);
}

/** The likeliest class, and the probability of each. */
export function classificationOf(names: readonly string[], numbers: Float32Array): Classification {
  return { label: names[numbers.indexOf(Math.max(...numbers))] as string, probabilities: byName(names, numbers) };
}

function byName(names: readonly string[], numbers: Float32Array): Readonly<Record<string, number>> {
  return Object.fromEntries(names.map((name, index) => [name, numbers[index] as number]));
}
