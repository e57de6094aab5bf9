/** The worker's side of the front door: it holds the engine and the models, and answers the calls of its page. */
import { messageOf, PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import type { WebEngineOptions } from '../engine/web.js';
import { attention } from './attention.js';
import type { LocalLanguageModel } from './language-model.js';
import { createModel, loadModel } from './model.js';
import type { Answer, CallName, MessageEnd, ModelHandle, RemoteCalls, Request } from './remote-calls.js';
import { trainModel } from './train.js';

interface Context {
  /** Given when the page cancels the call. */
  readonly signal: AbortSignal;
  tell(value: unknown): void;
}

type Calls = {
  readonly [K in CallName]: (
    context: Context,
    ...args: Parameters<RemoteCalls[K]>
  ) => Promise<ReturnType<RemoteCalls[K]>>;
};

/** Answers all calls that come, with the engine that `makeEngine` makes of the options of the call `start`. */
export function serve(end: MessageEnd, makeEngine: (options: WebEngineOptions) => Promise<Engine>): void {
  const calls = callsWith(makeEngine);
  const running = new Map<number, AbortController>();
  const send = (answer: Answer) => end.postMessage(answer);
  end.onmessage = async ({ data }) => {
    const request = data as Request;
    if ('cancelled' in request) return running.get(request.cancelled)?.abort();
    const { id, name, args } = request;
    const controller = new AbortController();
    running.set(id, controller);
    const context = { signal: controller.signal, tell: (value: unknown) => send({ id, kind: 'told', value }) };
    const call = calls[name] as (context: Context, ...args: readonly unknown[]) => Promise<unknown>;
    try {
      send({ id, kind: 'value', value: await call(context, ...args) });
    } catch (cause) {
      send({
        id,
        kind: 'error',
        code: cause instanceof PerformerError ? cause.code : undefined,
        message: messageOf(cause),
      });
    } finally {
      running.delete(id);
    }
  };
}

function callsWith(makeEngine: (options: WebEngineOptions) => Promise<Engine>): Calls {
  const models = new Map<number, LocalLanguageModel>();
  let engine: Engine | undefined;
  let count = 0;
  const keep = (own: LocalLanguageModel): ModelHandle => {
    count += 1;
    models.set(count, own);
    return { model: count, config: own.config, parameterCount: own.parameterCount };
  };
  const modelOf = (number: number): LocalLanguageModel => {
    const found = models.get(number);
    if (found !== undefined) return found;
    throw new PerformerError('USAGE', 'model: expected a live model, got one disposed of.');
  };
  return {
    async start(_, options) {
      engine = await makeEngine(options);
    },
    attention: (_, arrays, options) => attention(arrays, { ...options, engine }),
    createModel: async (_, options) => keep(await createModel({ ...options, engine })),
    trainModel: async ({ signal, tell }, text, options) =>
      keep(await trainModel(text, { ...options, engine, signal, onProgress: tell })),
    loadModel: async (_, source) => keep(await loadModel(source, { engine })),
    logits: (_, model, tokens) => modelOf(model).logits(tokens),
    async generate({ signal, tell }, model, prompt, options) {
      for await (const piece of modelOf(model).generate(prompt, { ...options, signal })) tell(piece);
    },
    files: (_, model) => modelOf(model).files(),
    async dispose(_, model) {
      await models.get(model)?.dispose();
      models.delete(model);
    },
  };
}
