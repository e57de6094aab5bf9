/** The kinds of models at the front door: each has an object of its own, with the methods of what it can do. */
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import type { LoadedModel, ModelKind } from '../models/index.js';
import {
  type Classifier,
  classifier,
  type MultiLabelClassifier,
  multiLabelClassifier,
  type Regressor,
  regressor,
} from './classifier.js';
import { type Encoder, encoder } from './encoder.js';
import { type EncoderDecoder, encoderDecoder } from './encoder-decoder.js';
import { Host, type Local } from './host.js';
import { type ImageClassifier, imageClassifier, type PixelModel, pixelModel } from './images.js';
import { type LanguageModel, languageModel } from './language-model.js';
import { type Performer, performer } from './performer.js';
import { type TokenClassifier, tokenClassifier } from './token-classifier.js';

/** The model of each kind. */
export interface ModelsByKind {
  'language-model': LanguageModel;
  encoder: Encoder;
  classifier: Classifier;
  'token-classifier': TokenClassifier;
  'multi-label-classifier': MultiLabelClassifier;
  regressor: Regressor;
  performer: Performer;
  'encoder-decoder': EncoderDecoder;
  'image-classifier': ImageClassifier;
  'pixel-model': PixelModel;
}

/** A model of any kind; `kind` tells which: `if (model.kind === 'classifier') await model.classify(texts)`. */
export type AnyModel = ModelsByKind[ModelKind];

const hosts: { readonly [K in ModelKind]: (host: Host) => Local<ModelsByKind[K]> } = {
  'language-model': languageModel,
  encoder,
  classifier,
  'token-classifier': tokenClassifier,
  'multi-label-classifier': multiLabelClassifier,
  regressor,
  performer,
  'encoder-decoder': encoderDecoder,
  'image-classifier': imageClassifier,
  'pixel-model': pixelModel,
};

/** The methods that tell a text piece by piece (`GeneratedText`); all others answer once. */
export const streamingMethods: readonly string[] = ['generate'];

/** The model of weights on an engine. */
export function modelOn(engine: Engine, loaded: LoadedModel): Local<AnyModel> {
  return hosts[loaded.model.kind](new Host(engine, loaded));
}

/** Throws CONFIG where a model is not of the kind that was asked for. */
export function expectKind(where: string, loaded: LoadedModel, kind: ModelKind | undefined): void {
  const { kind: own } = loaded.model;
  if (kind === undefined || kind === own) return;
  const [expected, got] = Object.hasOwn(hosts, kind)
    ? [`a model of the kind ${kind}`, own]
    : [`one of ${Object.keys(hosts).join(', ')} as kind`, String(kind)];
  throw new PerformerError('CONFIG', `${where}: expected ${expected}, got ${got}.`);
}
