/** What the engines on ONNX Runtime share: graphs encoded, sessions kept, arrays handed over, errors translated. */
import type { InferenceSession, Tensor as OrtTensor, TensorConstructor } from 'onnxruntime-common';
import type { Dtype, HostTensor } from '../base/array.js';
import { internalError, messageOf, PerformerError } from '../base/errors.js';
import { elementCount, resolveShape } from '../base/shape.js';
import { type MapLeaves, mapTree } from '../base/tree.js';
import type { Target } from '../graph/emitter.js';
import type { Tensor } from '../graph/tensor.js';
import { type TracedGraph, trace } from '../graph/trace.js';
import { encodeModel, type OnnxModel } from '../onnx/index.js';
import { arraysByName, bindSymbols } from './bindings.js';
import type { Engine, Executable, RunArguments, RunOptions } from './engine.js';

export interface OrtEngineOptions {
  readonly name: string;
  readonly target: Target;
  /** The runtime's own tensor class: it takes no other for an output. */
  readonly tensorClass: TensorConstructor;
  createSession(model: OnnxModel): Promise<InferenceSession>;
}

/** "… running MatMul node. Name:'blocks.0.attention/MatMul_3' Status Message: why" → what, where and why. */
function translate(where: string, cause: unknown): PerformerError {
  const message = messageOf(cause);
  const [, op, name, why] = /running (\w+) node\. Name:'([^']*)' Status Message: (.*)/s.exec(message) ?? [];
  const path = name?.split('/')[0];
  const place = op === undefined ? where : `${where}: ${op}${path ? ` in ${path}` : ''}`;
  return new PerformerError('DEVICE', `${place}: the engine failed: ${(why ?? message).trim()}`, { cause });
}

function toOrt(tensorClass: TensorConstructor, { dtype, shape, data }: HostTensor, expected: Dtype): OrtTensor {
  if (dtype === 'float64' && expected === 'float32') {
    return new tensorClass('float32', Float32Array.from(data as Float64Array), shape);
  }
  return new tensorClass(dtype, data as never, shape);
}

/** Sessions by the digest of their model, each closed when its last user is disposed of. */
class SessionCache {
  readonly #entries = new Map<string, { session: Promise<InferenceSession>; users: number }>();
  readonly #create: OrtEngineOptions['createSession'];

  constructor(create: OrtEngineOptions['createSession']) {
    this.#create = create;
  }

  async acquire(model: OnnxModel): Promise<{ session: InferenceSession; release: () => Promise<void> }> {
    if (model.externalData.length > 0) {
      const session = await this.#create(model);
      return { session, release: () => session.release() };
    }
    const digest = await crypto.subtle.digest('SHA-256', model.bytes as Uint8Array<ArrayBuffer>);
    const key = new Uint8Array(digest).join();
    const entry = this.#entries.get(key) ?? { session: this.#create(model), users: 0 };
    this.#entries.set(key, entry);
    entry.users++;
    const release = async () => {
      entry.users--;
      if (entry.users > 0) return;
      this.#entries.delete(key);
      await (await entry.session).release();
    };
    try {
      return { session: await entry.session, release };
    } catch (cause) {
      this.#entries.delete(key);
      throw cause;
    }
  }
}

class OrtExecutable<A extends readonly unknown[], R> implements Executable<A, R> {
  #released = false;

  constructor(
    private readonly graph: TracedGraph,
    private readonly result: R,
    private readonly tensorClass: TensorConstructor,
    private readonly session: InferenceSession,
    private readonly release: () => Promise<void>,
  ) {}

  async run(args: RunArguments<A>, options: RunOptions<R> = {}): Promise<MapLeaves<R, HostTensor>> {
    if (this.#released) throw new PerformerError('DEVICE', 'run: expected a live executable, got one disposed of.');
    const { inputs, outputs } = this.graph;
    const arrays = arraysByName(args);
    const bindings = bindSymbols(inputs, arrays);
    const feeds: Record<string, OrtTensor> = {};
    for (const { name, tensor } of inputs)
      feeds[name] = toOrt(this.tensorClass, arrays.get(name) as HostTensor, tensor.dtype);
    const targets = arraysByName(options.outputs === undefined ? [] : [options.outputs]);
    const fetches: Record<string, OrtTensor | null> = {};
    for (const { path, name, tensor } of outputs) {
      const target = targets.get(path);
      if (target !== undefined && target.data.length !== elementCount(resolveShape(tensor.shape, bindings))) {
        throw new PerformerError('SHAPE', `run: expected a buffer for ${name} ${tensor}, got [${target.shape}].`);
      }
      fetches[name] = target === undefined ? null : toOrt(this.tensorClass, target, tensor.dtype);
    }
    let values: Awaited<ReturnType<InferenceSession['run']>>;
    try {
      values = await this.session.run(feeds, fetches);
    } catch (cause) {
      throw translate('run', cause);
    }
    const results = new Map(
      outputs.map(({ path, name, tensor }) => {
        const value = values[name];
        if (value === undefined) throw internalError(`the session gave no ${name}`);
        return [
          path,
          targets.get(path) ?? ({ dtype: tensor.dtype, shape: value.dims, data: value.data } as HostTensor),
        ];
      }),
    );
    return mapTree(this.result, (_: Tensor, path) => results.get(path) as HostTensor) as MapLeaves<R, HostTensor>;
  }

  async dispose(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.release();
  }
}

/** An engine on ONNX Runtime, given how sessions are made there. */
export function ortEngine({ name, target, tensorClass, createSession }: OrtEngineOptions): Engine {
  const cache = new SessionCache(createSession);
  return {
    name,
    async compile<const A extends readonly unknown[], R>(
      build: Parameters<typeof trace<A, R>>[0],
      args: A,
    ): Promise<Executable<A, R>> {
      const { graph, result } = trace(build, args);
      const model = encodeModel(graph, target);
      try {
        const { session, release } = await cache.acquire(model);
        return new OrtExecutable<A, R>(graph, result, tensorClass, session, release);
      } catch (cause) {
        throw cause instanceof PerformerError ? cause : translate('compile', cause);
      }
    },
  };
}
