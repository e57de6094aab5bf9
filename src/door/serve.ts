/** The worker's side of the front door: it holds the engine and the models, and answers the calls of its page. */
import { messageOf, PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import type { WebEngineOptions } from '../engine/web.js';
import { attention } from './attention.js';
import type { Local } from './host.js';
import type { AnyModel } from './kinds.js';
import type { GeneratedText } from './language-model.js';
import { createModel, load } from './model.js';
import type { Answer, CallName, MessageEnd, ModelHandle, RemoteCalls, Request } from './remote-calls.js';
import { train } from './train.js';

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
  const models = new Map<number, Local<AnyModel>>();
  let engine: Engine | undefined;
  let count = 0;
  const keep = ({ loaded, ...own }: Local<AnyModel>): ModelHandle => {
    count += 1;
    models.set(count, { loaded, ...own } as Local<AnyModel>);
    const isMethod = ([, value]: [string, unknown]) => typeof value === 'function';
    const entries = Object.entries(own);
    return {
      model: count,
      facts: Object.fromEntries(entries.filter((entry) => !isMethod(entry))),
      methods: entries.filter(isMethod).map(([name]) => name),
    };
  };
  const modelOf = (number: number): Local<AnyModel> => {
    const found = models.get(number);
    if (found !== undefined) return found;
    throw new PerformerError('USAGE', 'model: expected a live model, got one disposed of.');
  };
  /** Calls a method of a model, of which only such are asked for as its handle named. */
  const call = (model: number, method: string, args: readonly unknown[]): unknown => {
    const methods = modelOf(model) as unknown as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
    return methods[method]?.(...args);
  };
  return {
    async start(_, options) {
      engine = await makeEngine(options);
    },
    attention: (_, arrays, options) => attention(arrays, { ...options, engine }),
    createModel: async (_, options) => keep(await createModel({ ...options, engine })),
    trainModel: async ({ signal, tell }, data, { from, ...options }) => {
      const known = from === undefined ? undefined : modelOf(from);
      return keep(await train(data, { ...options, from: known, engine, signal, onProgress: tell }));
    },
    loadModel: async (_, source, kind) => keep(await load(source, { engine, kind })),
    ask: async (_, model, method, args) => call(model, method, args),
    async stream({ signal, tell }, model, method, prompt, options) {
      const onNote = (note: string) => tell({ note });
      const text = call(model, method, [prompt, { ...options, signal, onNote }]) as GeneratedText;
      for await (const piece of text) tell(piece);
    },
    async dispose(_, model) {
      await models.get(model)?.dispose();
      models.delete(model);
    },
  };
}
