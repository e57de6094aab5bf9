/** Every form of attention behind one signature: arrays in, the output [batch, queries, heads, dim] out. */
import {
  type AttentionInputs,
  type AttentionState,
  bidirectionalAttention,
  causalAttention,
  type ExactState,
  exactAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import { emptyLogScale } from '../../src/attention/state.js';
import { type AnyHostTensor, type HostTensor, symbol, zeros } from '../../src/base/index.js';
import type { Engine, RunResult } from '../../src/engine/engine.js';
import { type FeatureMap, positiveFeatures } from '../../src/features/index.js';
import { type Symbolic, spec, specsOf, type Tensor, type TensorSpec } from '../../src/graph/index.js';
import { cutLength, type DrawnAttention, joinLength } from './attention-inputs.js';
import { streamDeferred } from './deferred-run.js';

/** Compiles for the shapes of `inputs`, runs once and frees the session. */
export async function runOnce<I extends object, R>(
  engine: Engine,
  build: (inputs: Symbolic<I>) => R,
  inputs: I,
): Promise<RunResult<R, undefined>> {
  const specs = specsOf(inputs);
  const executable = await engine.compile(build as never, [specs] as never);
  const result = await executable.run([inputs] as never);
  await executable.dispose();
  return result as RunResult<R, undefined>;
}

/** A feature map that a test runs: the arrays it is made of, and how. */
export interface TestedMap {
  readonly parts: object;
  readonly build: (parts: never) => FeatureMap;
  /** The features that its state keeps. */
  readonly stateFeatures: number;
}

/** SM+ over a projection. */
export function positiveMap(projection: HostTensor): TestedMap {
  return {
    parts: { projection },
    build: ({ projection: rows }: { projection: Tensor }) => positiveFeatures(rows),
    stateFeatures: projection.shape[0]!,
  };
}

/** The state of a causal attention that has read nothing. */
export function emptyState(
  batch: number,
  heads: number,
  features: number,
  valueDim: number,
): AttentionState<HostTensor> {
  const logScale = zeros('float32', [batch, heads, features]);
  logScale.data.fill(emptyLogScale);
  return { sum: zeros('float32', [batch, heads, features, valueDim + 1]), logScale };
}

/** Specifications for any length: [batch, length, heads, dim], and the mask and positions where there are some. */
export function streamSpecs(inputs: DrawnAttention, length: ReturnType<typeof symbol> | 1) {
  const free = ({ dtype, shape }: HostTensor): TensorSpec =>
    spec(
      dtype,
      shape.map((size, axis) => (axis === 1 ? length : size)),
    );
  return Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, free(tensor)]));
}

/** The inputs from `start` to `end`. */
export function cutInputs(inputs: DrawnAttention, start: number, end: number): DrawnAttention {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]) => [name, cutLength(tensor, start, end)]),
  ) as unknown as DrawnAttention;
}

export interface StreamResult {
  readonly output: AnyHostTensor;
  readonly state: AttentionState<HostTensor>;
}

/** Reads pieces one after another from one compiled step that carries the state; `ends` are where the pieces end. */
export async function stream(
  engine: Engine,
  inputs: DrawnAttention,
  map: TestedMap,
  ends: readonly number[],
  form: { chunk: number } | 'recurrent',
  start: { at: number; state: AttentionState<HostTensor> | undefined } = { at: 0, state: undefined },
): Promise<StreamResult> {
  const [batch, , heads, valueDim] = inputs.value.shape as [number, number, number, number];
  const { parts } = map;
  let state = start.state ?? emptyState(batch, heads, map.stateFeatures, valueDim);
  const build = (given: { parts: never; state: AttentionState }, tokens: AttentionInputs) => {
    const features = map.build(given.parts);
    if (form === 'recurrent') return recurrentAttention(tokens, features, given.state);
    return causalAttention(tokens, features, { chunk: form.chunk, state: given.state });
  };
  const length = form === 'recurrent' ? 1 : symbol('length');
  const fixed = specsOf({ parts, state });
  const step = await engine.compile(build as never, [fixed, streamSpecs(inputs, length)] as never);
  const pieces: AnyHostTensor[] = [];
  let at = start.at;
  for (const end of ends) {
    const piece = cutInputs(inputs, at, end);
    const result = (await step.run([{ parts, state }, piece] as never)) as unknown as StreamResult;
    pieces.push(result.output);
    state = result.state;
    at = end;
  }
  await step.dispose();
  return { output: joinLength(pieces), state };
}

export interface AttentionForm {
  readonly name: string;
  readonly isCausal: boolean;
  readonly isExact?: boolean;
  /** Whether queries and keys may differ in number. */
  readonly isCross?: boolean;
  run(engine: Engine, inputs: DrawnAttention, map: TestedMap): Promise<AnyHostTensor>;
}

/** The `output` of a function that has one. */
async function outputOf(engine: Engine, build: (inputs: never) => unknown, inputs: object): Promise<HostTensor> {
  return ((await runOnce(engine, build as never, inputs)) as { output: HostTensor }).output;
}

interface MapInputs {
  readonly parts: never;
  readonly tokens: AttentionInputs;
}

function causal(chunk: number): AttentionForm {
  return {
    name: `causal, chunks of ${chunk}`,
    isCausal: true,
    run: async (engine, tokens, map) => {
      const build = (given: MapInputs) => causalAttention(given.tokens, map.build(given.parts), { chunk });
      return outputOf(engine, build, { parts: map.parts, tokens });
    },
  };
}

function bidirectional(name: string, isCross: boolean): AttentionForm {
  return {
    name,
    isCausal: false,
    isCross,
    run: async (engine, tokens, map) => {
      const build = (given: MapInputs) => ({ output: bidirectionalAttention(given.tokens, map.build(given.parts)) });
      return outputOf(engine, build, { parts: map.parts, tokens });
    },
  };
}

function exact(isCausal: boolean, isCross: boolean): AttentionForm {
  return {
    name: isCausal ? 'exact causal' : isCross ? 'exact cross' : 'exact bidirectional',
    isCausal,
    isExact: true,
    isCross,
    run: async (engine, inputs) => {
      const build = (tensors: AttentionInputs) => exactAttention(tensors, { isCausal });
      return outputOf(engine, build as never, inputs as never);
    },
  };
}

const tokenEnds = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at + 1);

/** The length of every sequence in the conformance cases, and places to cut it that no chunk divides evenly. */
export const caseLength = 21;
const cuts = [3, 4, 13, caseLength];
const exactCut = 13;

export const attentionForms: readonly AttentionForm[] = [
  bidirectional('bidirectional', false),
  bidirectional('cross', true),
  ...[1, 4, 7, caseLength, 64].map(causal),
  ...[1, 4, 64].map(
    (chunk): AttentionForm => ({
      name: `causal with a carried state, any length, pieces ending at ${cuts}, chunks of ${chunk}`,
      isCausal: true,
      run: async (engine, inputs, map) => (await stream(engine, inputs, map, cuts, { chunk })).output,
    }),
  ),
  {
    name: 'recurrent, token by token',
    isCausal: true,
    run: async (engine, inputs, map) =>
      (await stream(engine, inputs, map, tokenEnds(0, caseLength), 'recurrent')).output,
  },
  {
    name: 'prefill in chunks, then recurrent, then chunks again',
    isCausal: true,
    run: async (engine, inputs, map) => {
      const prefill = await stream(engine, inputs, map, [10], { chunk: 4 });
      const generated = await stream(engine, inputs, map, tokenEnds(10, 17), 'recurrent', {
        at: 10,
        state: prefill.state,
      });
      const rest = await stream(engine, inputs, map, [caseLength], { chunk: 4 }, { at: 17, state: generated.state });
      return joinLength([prefill.output, generated.output, rest.output]);
    },
  },
  {
    name: 'deferred, token by token, the state written for every four',
    isCausal: true,
    run: async (engine, inputs, map) => (await streamDeferred(engine, inputs, map, 4)).output,
  },
  exact(false, false),
  exact(false, true),
  exact(true, false),
  {
    name: 'exact causal with carried keys and values',
    isCausal: true,
    isExact: true,
    run: async (engine, inputs) => {
      const first = (await runOnce(
        engine,
        ((tensors: AttentionInputs) => exactAttention(tensors, { isCausal: true })) as never,
        cutInputs(inputs, 0, exactCut) as never,
      )) as unknown as { output: HostTensor; state: ExactState<HostTensor> };
      const [batch, , heads, dim] = inputs.key.shape as [number, number, number, number];
      const past = (count: number, last: number) => spec('float32', [batch, count, symbol('past'), last]);
      const kept = { key: past(heads, dim), value: past(heads, dim), isReal: past(1, 1) };
      const step = await engine.compile(
        (({ state }: { state: ExactState }, tokens: AttentionInputs) =>
          exactAttention(tokens, { isCausal: true, state })) as never,
        [{ state: kept }, streamSpecs(inputs, symbol('length'))] as never,
      );
      const pieces = [first.output];
      let state = first.state;
      for (const [start, end] of [
        [exactCut, exactCut + 1],
        [exactCut + 1, caseLength],
      ] as const) {
        const piece = cutInputs(inputs, start, end);
        const result = (await step.run([{ state }, piece] as never)) as unknown as typeof first;
        pieces.push(result.output);
        state = result.state;
      }
      await step.dispose();
      return joinLength(pieces);
    },
  },
];
