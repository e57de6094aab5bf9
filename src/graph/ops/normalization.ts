/** Softmax, and normalisation by layer and by root mean square, each of which ONNX Runtime has as one fused op. */
import { sameDim } from '../../base/dimension.js';
import { apply, applyMany, expectDtype, type Op, shapeError, type Tensor } from '../tensor.js';
import { add, divide, multiply, sqrt, square, subtract } from './elementwise.js';
import { sum, sumTo } from './expand-and-sum.js';
import { inBlocks } from './in-blocks.js';
import { mean } from './reduce.js';

/** Calls `change` with each row of the last axis. */
function mapRows(data: Float64Array, rowLength: number, change: (row: Float64Array) => void): Float64Array {
  const out = data.slice();
  for (let start = 0; start < out.length; start += rowLength) change(out.subarray(start, start + rowLength));
  return out;
}

const softmaxOp: Op<null> = {
  name: 'softmax',
  infer: ([x]) => {
    expectDtype('softmax', [x!], 'float32');
    return [{ dtype: 'float32', shape: x!.shape }];
  },
  evaluate: ([x]) => [
    mapRows(x!.data, x!.shape.at(-1) as number, (row) => {
      const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
      let total = 0;
      for (let i = 0; i < row.length; i++) {
        row[i] = Math.exp((row[i] as number) - top);
        total += row[i] as number;
      }
      for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) / total;
    }),
  ],
  differentiate: ({ outputs: [y], gradients: [g] }) => {
    const weighted = multiply(g!, y!);
    return [subtract(weighted, multiply(y!, sum(weighted, -1, true)))];
  },
  lower: (emitter, inputs) => [emitter.emit('Softmax', inputs, { axis: -1 })],
};

/** eˣ / Σ eˣ over the last axis. */
export function softmax(x: Tensor): Tensor {
  return apply(softmaxOp, [x], null);
}

interface LayerNormAttributes {
  readonly epsilon: number;
}

/** Outputs: the normalised input, its mean, and one over its standard deviation. */
const layerNormOp: Op<LayerNormAttributes> = {
  name: 'layerNorm',
  infer: ([x, weight, bias]) => {
    expectDtype('layerNorm', [x!, weight!, bias!], 'float32');
    const dim = x!.shape.at(-1);
    for (const vector of [weight!, bias!]) {
      if (dim === undefined || vector.shape.length !== 1 || !sameDim(vector.shape[0]!, dim)) {
        throw shapeError('layerNorm', 'weight and bias [dim] for an input [..., dim]', x!, vector);
      }
    }
    const statistic = { dtype: 'float32' as const, shape: [...x!.shape.slice(0, -1), 1] };
    return [{ dtype: 'float32', shape: x!.shape }, statistic, statistic];
  },
  evaluate: ([x, weight, bias], { epsilon }) => {
    const dim = x!.shape.at(-1) as number;
    const means: number[] = [];
    const scales: number[] = [];
    const out = mapRows(x!.data, dim, (row) => {
      const average = row.reduce((a, b) => a + b, 0) / dim;
      const variance = row.reduce((a, b) => a + (b - average) ** 2, 0) / dim;
      const scale = 1 / Math.sqrt(variance + epsilon);
      means.push(average);
      scales.push(scale);
      for (let i = 0; i < dim; i++) {
        row[i] = ((row[i] as number) - average) * scale * (weight!.data[i] as number) + (bias!.data[i] as number);
      }
    });
    return [out, Float64Array.from(means), Float64Array.from(scales)];
  },
  differentiate: ({ inputs: [x, weight, bias], outputs: [, average, scale], gradients: [g] }) => {
    // With n = (x − mean)·scale and h = g·weight: dx = scale·(h − mean(h) − n·mean(h·n)).
    const [dx, products] = inBlocks([x!, g!, average!, scale!], (rows) => {
      const [input, given, center, factor] = rows;
      const normalized = multiply(subtract(input, center), factor);
      const weighted = multiply(given, normalized);
      const h = multiply(given, weight!);
      const inner = mean(multiply(weighted, weight!), -1, true);
      return [multiply(subtract(subtract(h, mean(h, -1, true)), multiply(normalized, inner)), factor), weighted];
    });
    return [dx, sumTo(products, weight!.shape), sumTo(g!, bias!.shape)];
  },
  lower: (emitter, inputs, { epsilon }) =>
    emitter.emitMany('LayerNormalization', inputs, { axis: -1, epsilon: { float: epsilon } }, { outputCount: 3 }),
};

/** Layer normalisation over the last axis (Ba et al. 2016): x [..., dim], weight and bias [dim]. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon = 1e-5): Tensor {
  return applyMany(layerNormOp, [x, weight, bias], { epsilon })[0] as Tensor;
}

const rmsNormOp: Op<LayerNormAttributes> = {
  name: 'rmsNorm',
  infer: ([x, weight]) => {
    expectDtype('rmsNorm', [x!, weight!], 'float32');
    const dim = x!.shape.at(-1);
    if (dim === undefined || weight!.shape.length !== 1 || !sameDim(weight!.shape[0]!, dim)) {
      throw shapeError('rmsNorm', 'a weight [dim] for an input [..., dim]', x!, weight!);
    }
    return [{ dtype: 'float32', shape: x!.shape }];
  },
  evaluate: ([x, weight], { epsilon }) => {
    const dim = x!.shape.at(-1) as number;
    return [
      mapRows(x!.data, dim, (row) => {
        const scale = 1 / Math.sqrt(row.reduce((a, b) => a + b * b, 0) / dim + epsilon);
        for (let i = 0; i < dim; i++) row[i] = (row[i] as number) * scale * (weight!.data[i] as number);
      }),
    ];
  },
  differentiate: ({ inputs: [x, weight], gradients: [g], attributes: { epsilon } }) => {
    // With n = x/r, r² = mean(x²) + ε, and h = g·weight: dx = (h − n·mean(h·n))/r. Recomputing r is cheaper than keeping it.
    const [dx, products] = inBlocks([x!, g!], ([input, given]) => {
      const root = sqrt(add(mean(square(input), -1, true), epsilon));
      const normalized = divide(input, root);
      const weighted = multiply(given, normalized);
      const inner = mean(multiply(weighted, weight!), -1, true);
      return [divide(subtract(multiply(given, weight!), multiply(normalized, inner)), root), weighted];
    });
    return [dx, sumTo(products, weight!.shape)];
  },
  lower: (emitter, [x, weight], { epsilon }, { inputs: [type] }) => {
    // The op came with opset 23, and WebGPU has no kernel for it.
    if (emitter.target === 'native' || emitter.target === 'web') {
      return [emitter.emit('RMSNormalization', [x!, weight!], { axis: -1, epsilon: { float: epsilon } })];
    }
    const squares = emitter.emit('Mul', [x!, x!]);
    const average = emitter.emit('ReduceMean', [squares, emitter.constant('int64', [1], [-1])], { keepdims: 1 });
    const added = emitter.withAxes(emitter.constant('float32', [], [epsilon]), type!.shape.length);
    const root = emitter.emit('Sqrt', [emitter.emit('Add', [average, added])]);
    return [emitter.emit('Mul', [emitter.emit('Div', [x!, root]), weight!])];
  },
};

/** x / √(mean(x²) + ε) · weight over the last axis (RMSNorm, Zhang & Sennrich 2019): x [..., dim], weight [dim]. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon = 1e-5): Tensor {
  return apply(rmsNormOp, [x, weight], { epsilon });
}
