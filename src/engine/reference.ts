/** The float64 oracle behind the interface of an engine: slow, plain, and what the others are held against. */
import type { DataOf, HostTensor } from '../base/array.js';
import { internalError } from '../base/errors.js';
import { type MapLeaves, mapTree } from '../base/tree.js';
import { type DenseArray, evaluate } from '../graph/index.js';
import type { Tensor } from '../graph/tensor.js';
import { trace } from '../graph/trace.js';
import { arraysByName, bindSymbols } from './bindings.js';
import type { Engine, Executable, RunArguments, RunOptions } from './engine.js';

function dense({ shape, data }: HostTensor): DenseArray {
  return { shape, data: Float64Array.from(data as ArrayLike<number | bigint>, Number) };
}

/** Floating-point results stay float64; the others get the dtype of the graph. */
function host({ dtype }: Tensor, { shape, data }: DenseArray): HostTensor {
  if (dtype === 'float32' || dtype === 'float64') return { dtype: 'float64', shape, data };
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from(Array.from(data, BigInt)) };
  const arrays = { int32: Int32Array, uint32: Uint32Array, bool: Uint8Array } as const;
  return { dtype, shape, data: arrays[dtype].from(data) as DataOf[typeof dtype] } as HostTensor;
}

/** The oracle. Its floating-point outputs are float64 arrays, and its inputs may be. */
export function referenceEngine(): Engine {
  return {
    name: 'reference',
    async compile<const A extends readonly unknown[], R>(
      build: Parameters<typeof trace<A, R>>[0],
      args: A,
    ): Promise<Executable<A, R>> {
      const { graph, result } = trace(build, args);
      return {
        async run(inputs: RunArguments<A>, options?: RunOptions<R>) {
          const arrays = arraysByName(inputs);
          for (const { name, value } of graph.constants) arrays.set(name, value);
          const bindings = bindSymbols(graph.inputs, arrays);
          const given = new Map([...arrays].map(([name, array]) => [name, dense(array)]));
          const outputs = evaluate(
            graph.outputs.map(({ tensor }) => tensor),
            given,
            bindings,
          );
          const values = new Map(graph.outputs.map(({ tensor }, index) => [tensor, outputs[index] as DenseArray]));
          const results = mapTree(result, (tensor: Tensor) => {
            const value = values.get(tensor);
            if (value === undefined) throw internalError('an output was not evaluated');
            return host(tensor, value);
          }) as MapLeaves<R, HostTensor>;
          if (options?.outputs === undefined) return results;
          const targets = arraysByName([options.outputs]);
          for (const [name, { data }] of arraysByName([results])) {
            (targets.get(name)?.data as Float32Array | undefined)?.set(data as Float64Array);
          }
          return options.outputs;
        },
        async dispose() {},
      };
    },
  };
}
