/** Single tokens read beside a state, which gets them when some have gathered, or at once where a weight is too large. */

import { addRecent } from '../../src/attention/deferred.js';
import {
  type AttentionInputs,
  type AttentionState,
  type DeferredState,
  deferredAttention,
  largestDeferredWeight,
  type RecentTokens,
  recurrentAttention,
} from '../../src/attention/index.js';
import { type AnyHostTensor, type HostTensor, zeros } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { specsOf } from '../../src/graph/index.js';
import { type DrawnAttention, joinLength } from './attention-inputs.js';
import { cutInputs, emptyState, streamSpecs, type TestedMap } from './attention-run.js';

type State = AttentionState<AnyHostTensor>;
type Recent = RecentTokens<HostTensor<'float64'>>;
interface Given {
  readonly parts: never;
  readonly state: DeferredState;
}

/** Puts a row [batch, heads, 1, size] into its place of rows [batch, heads, window, size]. */
function put(rows: HostTensor<'float64'>, place: number, row: AnyHostTensor): void {
  const [, , window, size] = rows.shape as [number, number, number, number];
  row.data.forEach((value, at) => {
    rows.data[(Math.floor(at / size) * window + place) * size + (at % size)] = Number(value);
  });
}

/** The outputs of all tokens, and how many were too heavy to stand beside the state, which gets `window` at once. */
export async function streamDeferred(
  engine: Engine,
  inputs: DrawnAttention,
  { parts, build, stateFeatures }: TestedMap,
  window: number,
): Promise<{ readonly output: AnyHostTensor; readonly refused: number }> {
  const [batch, length, heads, valueDim] = inputs.value.shape as [number, number, number, number];
  let state: State = emptyState(batch, heads, stateFeatures, valueDim);
  const rows = (size: number) => zeros('float64', [batch, heads, window, size]);
  const none = (): Recent => ({
    ...{ weight: rows(stateFeatures), value: rows(valueDim + 1) },
    ...(inputs.logDecay && { logDecay: rows(1) }),
  });
  let recent = none();
  let count = 0;
  const deferredSpecs = specsOf({ ...state, recent });
  const tokenSpecs = streamSpecs(inputs, 1);
  const beside = await engine.compile(
    ((given: Given, tokens: AttentionInputs) => deferredAttention(tokens, build(given.parts), given.state)) as never,
    [{ parts: specsOf(parts), state: deferredSpecs }, tokenSpecs] as never,
  );
  const recurrent = await engine.compile(
    ((given: Given, tokens: AttentionInputs) => recurrentAttention(tokens, build(given.parts), given.state)) as never,
    [{ parts: specsOf(parts), state: specsOf(state) }, tokenSpecs] as never,
  );
  const adder = await engine.compile(addRecent as never, [deferredSpecs] as never);
  const settle = async () => {
    state = (await adder.run([{ ...state, recent }] as never)) as unknown as State;
    recent = none();
    count = 0;
  };
  const pieces: AnyHostTensor[] = [];
  let refused = 0;
  for (let at = 0; at < length; at++) {
    const token = cutInputs(inputs, at, at + 1);
    if (count === window) await settle();
    const read = (await beside.run([{ parts, state: { ...state, recent } }, token] as never)) as unknown as {
      output: AnyHostTensor;
      state: Recent;
    };
    const isWithin = read.state.weight.data.every((weight) => Math.abs(weight) <= largestDeferredWeight);
    if (isWithin) {
      put(recent.weight, count, read.state.weight);
      put(recent.value, count, read.state.value);
      if (recent.logDecay !== undefined) put(recent.logDecay, count, read.state.logDecay!);
      count++;
      pieces.push(read.output);
      continue;
    }
    refused++;
    await settle();
    const written = (await recurrent.run([{ parts, state }, token] as never)) as unknown as {
      output: AnyHostTensor;
      state: State;
    };
    state = written.state;
    pieces.push(written.output);
  }
  await Promise.all([beside, recurrent, adder].map((each) => each.dispose()));
  return { output: joinLength(pieces), refused };
}
