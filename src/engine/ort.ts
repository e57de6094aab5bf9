/** What the engines on ONNX Runtime share: graphs encoded, sessions kept, arrays handed over, errors translated. */
import type { Env, InferenceSession, Tensor as OrtTensor, TensorConstructor } from 'onnxruntime-common';
import { type AnyHostTensor, byteLength, type Dtype, zeros } from '../base/array.js';
import { internalError, messageOf, PerformerError } from '../base/errors.js';
import { leavesOf, mapTree } from '../base/tree.js';
import type { Target } from '../graph/emitter.js';
import type { AnyTensor } from '../graph/tensor.js';
import { type TracedGraph, trace } from '../graph/trace.js';
import { encodeModel, type OnnxModel, type ProductDtype, productDtypes } from '../onnx/index.js';
import { arraysByName, bindSymbols, bindTargets, checkTensor } from './bindings.js';
import type {
  Engine,
  EngineTensor,
  Executable,
  PlacedTensor,
  RunArguments,
  RunOptions,
  RunOutputs,
  RunResult,
} from './engine.js';
import { onHost } from './on-host.js';

export interface OrtEngineOptions {
  readonly name: string;
  readonly target: Target;
  /** How products with constant weights are computed; float32 unless given. */
  readonly dtype?: ProductDtype | undefined;
  /** The runtime's own tensor class: it takes no other for an output. */
  readonly tensorClass: TensorConstructor;
  /** Whether the runtime writes into arrays that are given for outputs; where not, they are copied there. */
  readonly fillsOutputs: boolean;
  /** Where placed tensors lie, unless it is the host. */
  readonly memory?: DeviceMemory;
  createSession(model: OnnxModel): Promise<Session>;
}

type Session = Pick<InferenceSession, 'run' | 'release'>;

/** The memory of a device: tensors of the runtime there. */
export interface DeviceMemory {
  /** A copy of an array. */
  place(array: AnyHostTensor): OrtTensor;
  /** The bytes of a tensor. */
  fetch(tensor: OrtTensor, byteLength: number): Promise<ArrayBuffer>;
}

/** Throws CONFIG unless a number of threads is a positive integer. */
export function expectThreads(where: string, threads: number): void {
  if (Number.isSafeInteger(threads) && threads >= 1) return;
  throw new PerformerError('CONFIG', `${where}: expected a positive integer as threads, got ${threads}.`);
}

/** Throws CONFIG unless it is a way of computing products. */
export function expectProducts(where: string, dtype: ProductDtype): void {
  if (productDtypes.includes(dtype)) return;
  throw new PerformerError('CONFIG', `${where}: expected ${productDtypes.join(', ')} as dtype, got ${dtype}.`);
}

/**
 * What the runtime may look for in a graph on processors: nothing. Ours have their fused nodes already, and what else it finds takes from
 * half to four fifths of the time of a session's creation and makes no step, prompt or token faster.
 */
export const processorOptimization = 'disabled';

/** Turns off the log that the runtime writes by default: what it says of failures is in the errors that are thrown. */
export function silence(env: Env): void {
  if (env.logLevel === 'warning') env.logLevel = 'fatal';
}

/** A placed tensor. */
class DeviceTensor implements PlacedTensor {
  readonly isPlaced = true;

  constructor(
    readonly dtype: Dtype,
    readonly shape: readonly number[],
    readonly tensor: OrtTensor,
  ) {}
}

/** "… running MatMul node. Name:'blocks.0.attention/MatMul_3' Status Message: why" → what, where and why. */
function translate(where: string, cause: unknown): PerformerError {
  const message = messageOf(cause);
  const [, op, name, why] = /running (\w+) node\. Name:'([^']*)' Status Message: (.*)/s.exec(message) ?? [];
  const path = name?.split('/')[0];
  const place = op === undefined ? where : `${where}: ${op}${path ? ` in ${path}` : ''}`;
  return new PerformerError('DEVICE', `${place}: the engine failed: ${(why ?? message).trim()}`, { cause });
}

function toOrt(tensorClass: TensorConstructor, given: EngineTensor, expected: Dtype): OrtTensor {
  if (given instanceof DeviceTensor) return given.tensor;
  const { dtype, shape, data } = given as AnyHostTensor;
  if (dtype === 'float64' && expected === 'float32') {
    return new tensorClass('float32', Float32Array.from(data as Float64Array), shape);
  }
  return new tensorClass(dtype, data as never, shape);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** Sessions by their model, each closed when its last user is disposed of. */
class SessionCache {
  readonly #entries = new Set<{ readonly bytes: Uint8Array; readonly session: Promise<Session>; users: number }>();
  readonly #create: OrtEngineOptions['createSession'];

  constructor(create: OrtEngineOptions['createSession']) {
    this.#create = create;
  }

  async acquire(model: OnnxModel): Promise<{ session: Session; release: () => Promise<void> }> {
    if (model.externalData.length > 0) {
      const session = await this.#create(model);
      return { session, release: () => session.release() };
    }
    const { bytes } = model;
    const like = [...this.#entries].find((each) => sameBytes(each.bytes, bytes));
    const entry = like ?? { bytes, session: this.#create(model), users: 0 };
    this.#entries.add(entry);
    entry.users++;
    const release = async () => {
      entry.users--;
      if (entry.users > 0) return;
      this.#entries.delete(entry);
      await (await entry.session).release();
    };
    try {
      return { session: await entry.session, release };
    } catch (cause) {
      this.#entries.delete(entry);
      throw cause;
    }
  }
}

function copyInto({ data }: AnyHostTensor, value: OrtTensor): void {
  (data as Float32Array).set(value.data as Float32Array);
}

class OrtExecutable<A extends readonly unknown[], R> implements Executable<A, R> {
  #released = false;

  constructor(
    private readonly graph: TracedGraph,
    private readonly result: R,
    private readonly options: Pick<OrtEngineOptions, 'tensorClass' | 'fillsOutputs'>,
    private readonly session: Session,
    private readonly release: () => Promise<void>,
  ) {}

  async run<O extends RunOutputs<R> | undefined>(
    args: RunArguments<A>,
    options: RunOptions<O> = {},
  ): Promise<RunResult<R, O>> {
    if (this.#released) throw new PerformerError('DEVICE', 'run: expected a live executable, got one disposed of.');
    const { inputs, outputs } = this.graph;
    const { tensorClass, fillsOutputs } = this.options;
    const given = arraysByName(this.graph, args);
    const bindings = bindSymbols(inputs, given);
    const feeds: Record<string, OrtTensor> = {};
    for (const { name, tensor } of inputs) {
      feeds[name] = toOrt(tensorClass, given.get(name) as EngineTensor, tensor.dtype);
    }
    const targets = bindTargets(outputs, options.outputs, bindings);
    const fetches: Record<string, OrtTensor | null> = {};
    for (const { path, name, tensor } of outputs) {
      const target = targets.get(path);
      const isWritten = target !== undefined && (fillsOutputs || target instanceof DeviceTensor);
      fetches[name] = isWritten ? toOrt(tensorClass, target, tensor.dtype) : null;
    }
    let values: Awaited<ReturnType<InferenceSession['run']>>;
    try {
      values = await this.session.run(feeds, fetches);
    } catch (cause) {
      throw translate('run', cause);
    }
    const results = new Map<string, EngineTensor>();
    for (const { path, name, tensor } of outputs) {
      const value = values[name];
      if (value === undefined) throw internalError(`the session gave no ${name}`);
      const target = targets.get(path);
      if (target !== undefined && fetches[name] === null) copyInto(target as AnyHostTensor, value);
      const fresh = () => ({ dtype: tensor.dtype, shape: value.dims, data: value.data }) as AnyHostTensor;
      results.set(path, target ?? fresh());
    }
    return mapTree(this.result, (_: AnyTensor, path) => results.get(path)) as RunResult<R, O>;
  }

  async dispose(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.release();
  }
}

/** Placing tensors in the memory of a device. */
function onDevice(memory: DeviceMemory): Pick<Engine, 'place' | 'fetch' | 'free'> {
  const fetch = async (leaf: EngineTensor): Promise<AnyHostTensor> => {
    if (!(leaf instanceof DeviceTensor)) return leaf as AnyHostTensor;
    const array = zeros(leaf.dtype, leaf.shape);
    const bytes = await memory.fetch(leaf.tensor, byteLength(array));
    new Uint8Array(array.data.buffer).set(new Uint8Array(bytes));
    return array;
  };
  return {
    async place(tree) {
      return mapTree(tree, (leaf: EngineTensor, path) => {
        if (leaf instanceof DeviceTensor) return leaf;
        checkTensor(`place: ${path || 'the array'}`, leaf);
        return new DeviceTensor(leaf.dtype, leaf.shape, memory.place(leaf as AnyHostTensor));
      });
    },
    async fetch(tree) {
      const arrays = new Map<string, AnyHostTensor>();
      for (const [path, leaf] of leavesOf<unknown, EngineTensor>(tree)) arrays.set(path, await fetch(leaf));
      return mapTree(tree, (_, path) => arrays.get(path) as AnyHostTensor);
    },
    free(tree) {
      for (const [, leaf] of leavesOf<unknown, EngineTensor>(tree)) {
        if (leaf instanceof DeviceTensor) leaf.tensor.dispose();
      }
    },
  };
}

/** An engine on ONNX Runtime, given how sessions are made there. */
export function ortEngine({
  name,
  target,
  dtype = 'float32',
  tensorClass,
  fillsOutputs,
  memory,
  createSession,
}: OrtEngineOptions): Engine {
  const cache = new SessionCache(createSession);
  return {
    name,
    products: dtype === 'float32' ? undefined : dtype,
    ...(memory === undefined ? onHost : onDevice(memory)),
    async compile<const A extends readonly unknown[], R>(
      build: Parameters<typeof trace<A, R>>[0],
      args: A,
    ): Promise<Executable<A, R>> {
      const { graph, result } = trace(build, args);
      const model = encodeModel(graph, target, { dtype });
      try {
        const { session, release } = await cache.acquire(model);
        return new OrtExecutable<A, R>(graph, result, { tensorClass, fillsOutputs }, session, release);
      } catch (cause) {
        throw cause instanceof PerformerError ? cause : translate('compile', cause);
      }
    },
  };
}
