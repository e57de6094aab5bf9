import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gradient, multiply, spec, stopGradient, sum, type Tensor, type TensorType } from '../../src/graph/index.js';
import { normal, type OpCase, opCases } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });

function specsOf(inputs: OpCase['inputs']): Record<string, TensorType> {
  return Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, spec(dtype, shape)]));
}

async function runOn(engine: Engine, { inputs, build }: OpCase): Promise<HostTensor> {
  const executable = await engine.compile((tensors: Record<string, Tensor>) => ({ y: build(tensors) }), [
    specsOf(inputs),
  ] as never);
  const { y } = (await executable.run([inputs] as never)) as { y: HostTensor };
  await executable.dispose();
  return y;
}

/** A loss that weighs every output element differently, and its gradient. */
function lossOf(build: OpCase['build']) {
  return (tensors: Record<string, Tensor>, { lossWeight }: { lossWeight: Tensor }) => {
    const loss = sum(multiply(build(tensors) as Tensor, stopGradient(lossWeight)));
    const floats = Object.fromEntries(Object.entries(tensors).filter(([, { dtype }]) => dtype === 'float32'));
    return { loss, gradients: gradient(loss, floats) as Record<string, Tensor> };
  };
}

describe.each(opCases)('$name', (opCase) => {
  it('computes on ONNX Runtime what the oracle computes', async () => {
    const expected = await runOn(oracle, opCase);
    const got = await runOn(native, opCase);
    expect(got.shape).toEqual(expected.shape);
    expect(largestError(got, expected)).toBeLessThan(3e-6);
  });

  if (opCase.differentiable !== false) {
    it('has the gradient that finite differences show, on both engines', async () => {
      const { shape } = await runOn(oracle, opCase);
      const weight = normal('weights', shape);
      const build = lossOf(opCase.build);
      const args = [specsOf(opCase.inputs), { lossWeight: spec('float32', shape) }] as never;
      const run = async (engine: Engine, inputs: OpCase['inputs']) => {
        const executable = await engine.compile(build as never, args);
        return (await executable.run([inputs, { lossWeight: weight }] as never)) as {
          loss: HostTensor;
          gradients: Record<string, HostTensor>;
        };
      };
      const { gradients } = await run(oracle, opCase.inputs);
      const executable = await oracle.compile(build as never, args);
      const loss = async (inputs: OpCase['inputs']) =>
        values(((await executable.run([inputs, { lossWeight: weight }] as never)) as { loss: HostTensor }).loss)[0]!;
      for (const [name, tensor] of Object.entries(opCase.inputs)) {
        if (tensor.dtype !== 'float32') continue;
        const analytic = values(gradients[name]!);
        if (name === 'cosine' || name === 'sine') continue;
        const step = 1e-5;
        for (let at = 0; at < analytic.length; at += Math.ceil(analytic.length / 6)) {
          const shifted = async (by: number) => {
            const data = Float64Array.from(tensor.data as Float32Array);
            data[at]! += by;
            return loss({ ...opCase.inputs, [name]: { dtype: 'float64', shape: tensor.shape, data } });
          };
          const numeric = ((await shifted(step)) - (await shifted(-step))) / (2 * step);
          expect(analytic[at]!, `${name}[${at}]`).toBeCloseTo(numeric, 6);
        }
      }
      const onNative = await run(native, opCase.inputs);
      for (const name of Object.keys(gradients)) {
        expect(largestError(onNative.gradients[name]!, gradients[name]!), name).toBeLessThan(1e-5);
      }
    });
  }
});
