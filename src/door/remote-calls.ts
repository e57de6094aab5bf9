/** What a page and its worker say to each other: calls, their answers, what is told on the way, and cancelling. */

import type { HostTensor } from '../base/array.js';
import type { ErrorCode } from '../base/errors.js';
import type { WebEngineOptions } from '../engine/web.js';
import type { ModelConfig } from '../models/index.js';
import type { AttentionArrays, AttentionOptions } from './attention.js';
import type { GenerationOptions, Tokens } from './language-model.js';
import type { CreateModelOptions } from './model.js';
import type { TrainingText, TrainModelOptions } from './train.js';

/** A model that the worker holds, by its number. */
export interface ModelHandle {
  readonly model: number;
  readonly config: ModelConfig;
  readonly parameterCount: number;
}

type Sent<O> = Omit<O, 'engine' | 'signal' | 'onProgress'>;

/** The functions that a worker has for its page. Progress and pieces of text are told before the answer. */
export interface RemoteCalls {
  start(options: WebEngineOptions): void;
  attention(arrays: AttentionArrays, options: Sent<AttentionOptions>): Float32Array;
  createModel(options: Sent<CreateModelOptions>): ModelHandle;
  trainModel(text: TrainingText, options: Sent<TrainModelOptions>): ModelHandle;
  loadModel(source: string | ReadonlyMap<string, Uint8Array>): ModelHandle;
  logits(model: number, tokens: Tokens): HostTensor;
  generate(model: number, prompt: string | Uint8Array, options: Sent<GenerationOptions>): void;
  files(model: number): Map<string, Uint8Array>;
  dispose(model: number): void;
}

export type CallName = keyof RemoteCalls;

export type Request =
  | { readonly id: number; readonly name: CallName; readonly args: readonly unknown[] }
  | { readonly cancelled: number };

export interface ErrorAnswer {
  readonly id: number;
  readonly kind: 'error';
  readonly code: ErrorCode | undefined;
  readonly message: string;
}

export type Answer =
  | ErrorAnswer
  | { readonly id: number; readonly kind: 'told'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'value'; readonly value: unknown };

/** One end of what messages go through: a worker, the scope within it, or a port. */
export interface MessageEnd {
  postMessage(message: unknown): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}
