/** Which ops have no kernel on the GPU, so that ONNX Runtime runs them on the processor: the table of docs/engines.md. */
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/index.js';
import { compileReader } from '../../src/generation/reader.js';
import * as g from '../../src/graph/index.js';
import { compileStep } from '../../src/training/index.js';
import { randomModel } from '../generation/models.js';
import { type OpCase, opCases } from '../support/cases.js';
import { snapshotOf, taskFor } from '../support/tiny.js';
import { type Placement, placementOf } from './node-placement.js';

/** An op and its gradient. */
function graphOf({ inputs, build, differentiable }: OpCase): g.TracedGraph {
  const specs = Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape }]) => [name, g.spec(dtype, shape)]),
  );
  const both = (tensors: Record<string, g.Tensor>) => {
    const y = build(tensors) as g.Tensor;
    if (differentiable === false) return { y };
    const floats = Object.fromEntries(Object.entries(tensors).filter(([, { dtype }]) => dtype === 'float32'));
    return { y, gradient: g.gradient(g.sum(g.multiply(y, y)), floats) };
  };
  return g.trace(both as never, [specs] as never).graph;
}

/** The graph that a room compiles. */
async function compiledBy(compile: (engine: Engine) => Promise<unknown>): Promise<g.TracedGraph> {
  let graph: g.TracedGraph | undefined;
  const engine = {
    compile: async (build: never, args: never) => {
      graph = g.trace(build, args).graph;
      return {};
    },
  };
  await compile(engine as never);
  return graph!;
}

const names = (side: Placement['gpu']) => [...side.keys()].sort();

describe('the ops without a kernel on the GPU', () => {
  it('are these', { timeout: 300_000 }, async () => {
    const missing: Record<string, string[]> = {};
    for (const each of opCases) {
      const { processor } = await placementOf(graphOf(each));
      for (const op of processor.keys()) missing[op] = [...(missing[op] ?? []), each.name.split(' ')[0]!];
    }
    const table = Object.fromEntries(Object.entries(missing).map(([op, cases]) => [op, [...new Set(cases)]]));
    expect(table).toEqual({
      Acos: ['acos'],
      BitShift: ['bits'],
      BitwiseXor: ['bits'],
      Cos: ['sin', 'cos'],
      Equal: ['takeRows'],
      Scan: ['inBlocks'],
      Sign: ['abs'],
      Sin: ['sin', 'cos'],
      Unsqueeze: ['takeRows'],
    });
  });

  it('are of a training step the recurrence over chunks, a choice and the handling of tokens', async () => {
    const snapshot = snapshotOf();
    const compile = async (engine: Engine) => compileStep(engine, await taskFor(snapshot), snapshot.training);
    const { gpu, processor } = await placementOf(await compiledBy(compile));
    expect(names(processor)).toEqual(['Equal', 'If', 'Scan', 'Slice', 'Unsqueeze']);
    expect(gpu.get('Gemm')).toBeGreaterThan(10);
    expect(gpu.get('MatMul')).toBeGreaterThan(10);
  });

  it('are of a generated token the sine and cosine of its position', async () => {
    const model = randomModel();
    const graph = await compiledBy((engine) =>
      compileReader(engine, model, { batch: 1, weightsAs: 'constants' }, { form: 'token', hasLengths: false }),
    );
    expect(names((await placementOf(graph)).processor)).toEqual(['Cos', 'Sin']);
  });
});
