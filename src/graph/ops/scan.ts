/** A loop along the first axis that carries states from step to step, by an ONNX Scan. */
import type { Dtype } from '../../base/array.js';
import { sameDim } from '../../base/dimension.js';
import { elementCount, resolveShape, sameShape } from '../../base/shape.js';
import { Body, zip } from '../body.js';
import { type AnyTensor, applyMany, type DenseArray, noGradient, type Op, shapeError, type Tensor } from '../tensor.js';

interface ScanAttributes {
  readonly body: Body;
  readonly stateCount: number;
  readonly sequenceCount: number;
  readonly reverse: boolean;
}

/** Inputs: states, sequences [steps, ...], captures of the body. Outputs: the last states, items [steps, ...]. */
const scanOp: Op<ScanAttributes, Dtype> = {
  name: 'scan',
  infer: (inputs, { body, stateCount, sequenceCount }) => {
    const states = inputs.slice(0, stateCount);
    const sequences = inputs.slice(stateCount, stateCount + sequenceCount);
    const steps = sequences[0]!.shape[0]!;
    if (!sequences.every(({ shape }) => sameDim(shape[0]!, steps))) {
      throw shapeError('scan', 'sequences of one length', ...sequences);
    }
    const next = body.outputs.slice(0, stateCount);
    if (!states.every(({ dtype, shape }, at) => dtype === next[at]!.dtype && sameShape(shape, next[at]!.shape))) {
      throw shapeError('scan', 'a step that keeps the types of its states', ...states, ...next);
    }
    const items = body.outputs.slice(stateCount);
    return [...states, ...items.map(({ dtype, shape }) => ({ dtype, shape: [steps, ...shape] }))];
  },
  evaluate: (inputs, { body, stateCount, sequenceCount, reverse }, { bindings, outputShapes }) => {
    let states = inputs.slice(0, stateCount);
    const sequences = inputs.slice(stateCount, stateCount + sequenceCount);
    const captures = zip(body.captures, inputs.slice(stateCount + sequenceCount));
    const itemShapes = body.outputs.slice(stateCount).map(({ shape }) => resolveShape(shape, bindings));
    const items = outputShapes.slice(stateCount).map((shape) => new Float64Array(elementCount(shape)));
    const steps = sequences[0]!.shape[0]!;
    for (let i = 0; i < steps; i++) {
      const step = reverse ? steps - 1 - i : i;
      const results = body.evaluate([...states, ...sequences.map((one) => itemOf(one, step))], captures, bindings);
      states = results.slice(0, stateCount) as DenseArray[];
      items.forEach((all, at) => {
        all.set(results[stateCount + at]!.data, step * elementCount(itemShapes[at]!));
      });
    }
    return [...states.map(({ data }) => data), ...items];
  },
  differentiate: noGradient,
  lower: (emitter, names, { body, stateCount, sequenceCount, reverse }, { inputs, outputs }) => {
    const count = stateCount + sequenceCount;
    const states = inputs.slice(0, stateCount);
    const captures = zip(body.captures, names.slice(count));
    const item = ({ dtype, shape }: (typeof inputs)[number]) => ({ dtype, shape: shape.slice(1) });
    const graph = {
      inputs: [...states, ...inputs.slice(stateCount, count).map(item)],
      outputs: [...states, ...outputs.slice(stateCount).map(item)],
      build: (inner: typeof emitter, parameters: readonly string[]) => body.lower(inner, parameters, captures),
    };
    const direction = Number(reverse);
    const attributes = {
      num_scan_inputs: sequenceCount,
      scan_input_directions: new Array<number>(sequenceCount).fill(direction),
      scan_output_directions: new Array<number>(outputs.length - stateCount).fill(direction),
      body: { graph },
    };
    return emitter.emitMany('Scan', names.slice(0, count), attributes, { outputCount: outputs.length });
  },
};

function itemOf({ shape, data }: DenseArray, step: number): DenseArray {
  const size = elementCount(shape.slice(1));
  return { shape: shape.slice(1), data: data.subarray(step * size, (step + 1) * size) };
}

/** What the body of a loop gives for an item: the next states, and what is collected of it. */
export interface ScanStep<
  S extends readonly AnyTensor[] = readonly Tensor[],
  I extends readonly AnyTensor[] = readonly Tensor[],
> {
  readonly states: S;
  readonly items: I;
}

/**
 * Runs `step` over the first axis of the sequences, handing its states on; with `reverse` from the last to the first.
 * Returns the last states and, for each item of a step, all of them [steps, ...] in the order of the sequences. It keeps
 * no state but the last and has no gradient of its own: wrap it with `withGradient`.
 */
export function scan<
  const S extends readonly AnyTensor[],
  const Q extends readonly AnyTensor[],
  const I extends readonly AnyTensor[],
>(
  states: S,
  sequences: Q,
  step: (states: S, items: Q) => ScanStep<readonly AnyTensor[], I>,
  { reverse = false }: { reverse?: boolean } = {},
): ScanStep<S, I> {
  const stateCount = states.length;
  const types = [...states, ...sequences.map(({ dtype, shape }) => ({ dtype, shape: shape.slice(1) }))];
  const body = new Body(types, (parameters) => {
    const [own, items] = [parameters.slice(0, stateCount), parameters.slice(stateCount)] as readonly AnyTensor[][];
    const next = step(own as readonly AnyTensor[] as S, items as readonly AnyTensor[] as Q);
    return [...next.states, ...next.items];
  });
  const attributes = { body, stateCount, sequenceCount: sequences.length, reverse };
  const outputs = applyMany(scanOp, [...states, ...sequences, ...body.captures], attributes);
  const [last, items]: (readonly AnyTensor[])[] = [outputs.slice(0, stateCount), outputs.slice(stateCount)];
  return { states: last as S, items: items as I };
}
