/**
 * Recurrences along the first axis, run by the engine as a loop whose state stays in cache.
 *
 * linearRecurrence: y₀ = initial;  beforeᵢ = decayᵢ·yᵢ;  yᵢ₊₁ = beforeᵢ + valuesᵢ.  It gives every beforeᵢ, which
 * holds the values before i alone, and the last y. Linear in the number of steps, whatever the size of the state.
 */
import { subtractDims } from '../../base/dimension.js';
import type { Shape } from '../../base/shape.js';
import { broadcastShapes, elementCount, sameShape } from '../../base/shape.js';
import type { Emitter } from '../emitter.js';
import {
  apply,
  applyMany,
  expectDtype,
  here,
  type Op,
  shapeError,
  type Tensor,
  type TensorType,
  zeroGradient,
} from '../tensor.js';
import { broadcastOffsets } from './broadcast.js';
import { scalar } from './constant.js';
import { add, multiply } from './elementwise.js';
import { broadcastTo, concatenate, reshape, slice } from './layout.js';
import { sumTo } from './reduce.js';

type Step = (emitter: Emitter, state: string, items: readonly string[]) => readonly [state: string, item: string];

/** Emits a Scan with one state and one output per step. */
function emitScan(
  emitter: Emitter,
  [initial, ...sequences]: readonly string[],
  [initialType, ...sequenceTypes]: readonly TensorType[],
  reverse: boolean,
  step: Step,
): readonly [final: string, items: string] {
  const directions = sequences.map(() => Number(reverse));
  const item = (type: TensorType) => ({ dtype: type.dtype, shape: type.shape.slice(1) });
  const graph = {
    inputs: [initialType!, ...sequenceTypes.map(item)],
    outputs: [initialType!, initialType!],
    build: (body: Emitter, [state, ...items]: readonly string[]) => step(body, state!, items),
  };
  const attributes = {
    num_scan_inputs: sequences.length,
    scan_input_directions: directions,
    scan_output_directions: [Number(reverse)],
    body: { graph },
  };
  const names = emitter.emitMany('Scan', [initial!, ...sequences], attributes, { outputCount: 2 });
  return [names[0]!, names[1]!];
}

interface RecurrenceAttributes {
  readonly reverse: boolean;
}

/** Inputs initial [...state], decay [steps, ...broadcasts to state], values [steps, ...state]; outputs before, final. */
const linearRecurrenceOp: Op<RecurrenceAttributes> = {
  name: 'linearRecurrence',
  infer: (inputs) => {
    const [initial, decay, values] = inputs as readonly [TensorType, TensorType, TensorType];
    expectDtype('linearRecurrence', inputs, 'float32');
    const state = values.shape.slice(1);
    const decayed = broadcastShapes(here('linearRecurrence'), decay.shape.slice(1), state);
    if (!sameShape(initial.shape, state) || !sameShape(decayed, state)) {
      throw shapeError(
        'linearRecurrence',
        'initial [state], decay [steps, broadcasts to state], values [steps, state]',
        ...inputs,
      );
    }
    return [values, initial];
  },
  evaluate: ([initial, decay, values], { reverse }) => {
    const steps = values!.shape[0] as number;
    const size = elementCount(initial!.shape);
    const state = initial!.data.slice();
    const before = new Float64Array(values!.data.length);
    const decayShape = decay!.shape.slice(1);
    const decayOffsets = broadcastOffsets(decayShape, initial!.shape);
    for (let i = 0; i < steps; i++) {
      const step = reverse ? steps - 1 - i : i;
      const decayBase = step * elementCount(decayShape);
      for (let k = 0; k < size; k++) {
        const decayed = (state[k] as number) * (decay!.data[decayBase + (decayOffsets[k] as number)] as number);
        before[step * size + k] = decayed;
        state[k] = decayed + (values!.data[step * size + k] as number);
      }
    }
    return [before, state];
  },
  differentiate: ({ inputs, outputs, gradients, attributes: { reverse } }) => {
    const [initial, decay, values] = inputs as readonly [Tensor, Tensor, Tensor];
    const zero = (like: Tensor) => broadcastTo(scalar(0), like.shape);
    const gBefore = gradients[0] ?? zero(values);
    const gFinal = gradients[1] ?? zero(initial);
    // wᵢ = gBeforeᵢ + decayᵢ₊₁·wᵢ₊₁ runs the other way; what stands before it is the gradient of valuesᵢ.
    const one = reshape(
      scalar(1),
      decay.shape.map(() => 1),
    );
    const edge = broadcastTo(one, [1, ...decay.shape.slice(1)]);
    const steps = decay.dim(0);
    const shifted = reverse
      ? concatenate([edge, slice(decay, 0, 0, subtractOne(steps))], 0)
      : concatenate([slice(decay, 0, 1, steps), edge], 0);
    const [gValues, first] = linearRecurrence(gFinal, shifted, gBefore, { reverse: !reverse });
    const edgeDecay = reverse ? slice(decay, 0, subtractOne(steps), steps) : slice(decay, 0, 0, 1);
    const gInitial = multiply(reshape(edgeDecay, decay.shape.slice(1)), first);
    const after = add(outputs[0]!, values);
    const start = reshape(initial, [1, ...initial.shape]);
    const states = reverse
      ? concatenate([slice(after, 0, 1, steps), start], 0)
      : concatenate([start, slice(after, 0, 0, subtractOne(steps))], 0);
    const gDecay = sumTo(multiply(states, add(gBefore, gValues)), decay.shape);
    return [gInitial, gDecay, gValues];
  },
  lower: (emitter, inputs, { reverse }, { inputs: types }) => {
    const [final, before] = emitScan(emitter, inputs, types, reverse, (body, state, [decay, value]) => {
      const decayed = body.emit('Mul', [state, decay!]);
      // A Scan needs its outputs to be distinct from each other, which these are: the sum and the term before it.
      return [body.emit('Add', [decayed, value!]), decayed];
    });
    return [before, final];
  },
};

function subtractOne(steps: Shape[number]): Shape[number] {
  return subtractDims(steps, 1);
}

/**
 * initial [...state], decay [steps, ...] broadcasting to the state, values [steps, ...state] → before [steps, ...state]
 * and final [...state]. With `reverse` the steps run from the last to the first.
 */
export function linearRecurrence(
  initial: Tensor,
  decay: Tensor,
  values: Tensor,
  { reverse = false }: Partial<RecurrenceAttributes> = {},
): readonly [before: Tensor, final: Tensor] {
  const [before, final] = applyMany(linearRecurrenceOp, [initial, decay, values], { reverse });
  return [before!, final!];
}

const runningMaxOp: Op<null> = {
  name: 'runningMax',
  infer: ([initial, values]) => {
    expectDtype('runningMax', [initial!, values!], 'float32');
    if (!sameShape(initial!.shape, values!.shape.slice(1))) {
      throw shapeError('runningMax', 'initial [state] and values [steps, state]', initial!, values!);
    }
    return [values!];
  },
  evaluate: ([initial, values]) => {
    const state = initial!.data.slice();
    return [
      values!.data.map((value, at) => {
        const k = at % state.length;
        state[k] = Math.max(state[k] as number, value);
        return state[k] as number;
      }),
    ];
  },
  differentiate: zeroGradient,
  lower: (emitter, inputs, _, { inputs: types }) => {
    const [, items] = emitScan(emitter, inputs, types, false, (body, state, [value]) => {
      const top = body.emit('Max', [state, value!]);
      return [top, body.emit('Identity', [top])];
    });
    return [items];
  },
};

/** The maximum of `initial` [...state] and values[0..i] at each i: [steps, ...state]. Meant for stabilisers: no gradient. */
export function runningMax(initial: Tensor, values: Tensor): Tensor {
  return apply(runningMaxOp, [initial, values], null);
}
