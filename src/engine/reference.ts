/** The float64 oracle behind the interface of an engine: slow, plain, and what the others are held against. */
import type { AnyHostTensor, DataOf } from '../base/array.js';
import { mapTree } from '../base/tree.js';
import { type DenseArray, evaluate } from '../graph/index.js';
import type { AnyTensor } from '../graph/tensor.js';
import { trace } from '../graph/trace.js';
import { arraysByName, bindSymbols, bindTargets } from './bindings.js';
import type { Engine, Executable, RunArguments, RunOptions, RunOutputs, RunResult } from './engine.js';
import { onHost } from './on-host.js';

function dense({ shape, data }: AnyHostTensor): DenseArray {
  const numbers = data instanceof BigInt64Array ? Array.from(data, Number) : data;
  return { shape, data: new Float64Array(numbers) };
}

/** Floating-point results stay float64; the others get the dtype of the graph. */
function host({ dtype }: AnyTensor, { shape, data }: DenseArray): AnyHostTensor {
  if (dtype === 'float32' || dtype === 'float64') return { dtype: 'float64', shape, data };
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from(Array.from(data, BigInt)) };
  const arrays = { int32: Int32Array, uint32: Uint32Array, bool: Uint8Array } as const;
  return { dtype, shape, data: arrays[dtype].from(data) as DataOf[typeof dtype] } as AnyHostTensor;
}

/** The oracle. Its floating-point outputs are float64 arrays, and its inputs may be. */
export function referenceEngine(): Engine {
  return {
    name: 'reference',
    ...onHost,
    async compile<const A extends readonly unknown[], R>(
      build: Parameters<typeof trace<A, R>>[0],
      args: A,
    ): Promise<Executable<A, R>> {
      const { graph, result } = trace(build, args);
      return {
        async run<O extends RunOutputs<R> | undefined>(inputs: RunArguments<A>, options?: RunOptions<O>) {
          const arrays = arraysByName(graph, inputs) as Map<string, AnyHostTensor>;
          for (const { name, value } of graph.constants) arrays.set(name, value);
          const bindings = bindSymbols(graph.inputs, arrays);
          const given = new Map([...arrays].map(([name, array]) => [name, dense(array)]));
          const outputs = evaluate(
            graph.outputs.map(({ tensor }) => tensor),
            given,
            bindings,
          );
          const targets = bindTargets(graph.outputs, options?.outputs, bindings) as Map<string, AnyHostTensor>;
          const results = new Map(
            graph.outputs.map(({ path, tensor }, index) => {
              const value = host(tensor, outputs[index] as DenseArray);
              const target = targets.get(path);
              if (target !== undefined) (target.data as Float64Array).set(value.data as Float64Array);
              return [path, target ?? value];
            }),
          );
          return mapTree(result, (_: AnyTensor, path) => results.get(path) as AnyHostTensor) as RunResult<R, O>;
        },
        async dispose() {},
      };
    },
  };
}
