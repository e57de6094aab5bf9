/** What a page and its worker say to each other: calls, their answers, what is told on the way, and cancelling. */

import type { ErrorCode } from '../base/errors.js';
import type { WebEngineOptions } from '../engine/web.js';
import type { ModelKind } from '../models/index.js';
import type { AttentionArrays, AttentionOptions } from './attention.js';
import type { CreateModelOptions } from './signatures.js';
import type { TrainingData } from './training-data.js';
import type { TrainModelOptions } from './training-options.js';

/** A model that the worker holds, by its number. */
export interface ModelHandle {
  readonly model: number;
  /** What the model says of itself: its kind, its config and so on. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The names of its methods. */
  readonly methods: readonly string[];
}

/** What messages cannot carry, or carry on their own. */
type Sent<O> = O extends unknown ? Omit<O, 'engine' | 'signal' | 'onProgress'> : never;

/** The functions that a worker has for its page. Progress and pieces of text are told before the answer. */
export interface RemoteCalls {
  start(options: WebEngineOptions): void;
  attention(arrays: AttentionArrays, options: Sent<AttentionOptions>): Float32Array;
  createModel(options: CreateModelOptions): ModelHandle;
  trainModel(
    data: TrainingData,
    options: Sent<TrainModelOptions> & { readonly from?: number | undefined },
  ): ModelHandle;
  loadModel(source: string | ReadonlyMap<string, Uint8Array>, kind: ModelKind | undefined): ModelHandle;
  /** What a method of a model answers. */
  ask(model: number, method: string, args: readonly unknown[]): unknown;
  /** The same of a method that tells a text piece by piece. */
  stream(model: number, method: string, prompt: unknown, options: object): void;
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
