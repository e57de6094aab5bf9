/** What the scaling benchmark measures: the model with fused attention is the exact one, and points are told by their names. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withFusedAttention } from '../../bench/fused-model.js';
import { isOutOfMemory, memoryOf } from '../../bench/scaling.js';
import { pointName, pointOf } from '../../bench/scaling-points.js';
import { type HostTensor, initialize, int32, Random } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { spec, specsOf, type Tensor } from '../../src/graph/index.js';
import { languageModelConfig, modelOf } from '../../src/models/index.js';

describe('the model with fused attention', () => {
  it('computes what the model with exact attention does', async () => {
    const sizes = { dim: 32, depth: 3, heads: 2, headDim: 16 };
    const exact = modelOf(languageModelConfig({ ...sizes, attention: 'softmax' }));
    const none = modelOf(languageModelConfig({ ...sizes, attention: 'none' }));
    const params: object = initialize(exact.params, Random.fromSeed(1));
    const tokens = int32(
      [1, 40],
      Array.from({ length: 40 }, (_, at) => (at * 37) % 256),
    );
    const outputs = await nodeEngine()
      .compile(
        (learned: object, { tokens }: { tokens: Tensor<'int32'> }) => {
          const weights = { params: learned, buffers: none.buffers };
          const passed = none.apply(weights, { tokens });
          return {
            fused: withFusedAttention(passed),
            exact: exact.apply(weights, { tokens }).hidden,
            passed: passed.hidden,
          };
        },
        [specsOf(params), { tokens: spec('int32', [1, 40]) }],
      )
      .then((executable) => executable.run([params, { tokens }]));
    const distance = (other: HostTensor) =>
      Math.max(...[...outputs.exact.data].map((value, at) => Math.abs(Number(value) - Number(other.data[at]))));
    expect(distance(outputs.fused)).toBeLessThan(1e-4);
    expect(distance(outputs.passed)).toBeGreaterThan(1e-2);
  });
});

describe('the points of the scaling benchmark', () => {
  it('are told by the names of their rows', () => {
    const point = { mode: 'training step', form: 'fused exact', length: 65_536 } as const;
    expect(pointOf(pointName(point))).toEqual(point);
    expect(pointOf('length 512')).toBeUndefined();
    expect(pointOf('backward, favor+, length 512')).toBeUndefined();
    expect(pointOf('forward, relu, length 512')).toBeUndefined();
  });

  it('grow in memory by the length, and with scores by its square', () => {
    const grown = (form: 'favor+' | 'exact' | 'fused exact') =>
      memoryOf({ mode: 'forward', form, length: 131_072 }) / memoryOf({ mode: 'forward', form, length: 65_536 });
    expect(grown('favor+')).toBeLessThan(2);
    expect(grown('exact')).toBeCloseTo(4, 1);
    expect(grown('fused exact')).toBeCloseTo(4, 1);
  });
});

describe('a process that ended', () => {
  const ended = (script: string) => promisify(execFile)(process.execPath, ['-e', script]).catch((cause) => cause);

  it('is known to have had too little memory', async () => {
    expect(isOutOfMemory(await ended('process.kill(process.pid, "SIGKILL")'))).toBe(true);
    expect(isOutOfMemory(await ended('throw new Error("Failed to allocate memory for requested buffer")'))).toBe(true);
  });

  it('is known to have failed for another reason', async () => {
    expect(isOutOfMemory(await ended('throw new Error("no such form")'))).toBe(false);
  });
});
