/**
 * Rows in chunks: what computes each row of its result from the same row of its argument alone does so for some rows at a
 * time, so that its intermediate values are as large as a chunk, whatever the number of rows (for feed-forward layers:
 * Reformer, Kitaev et al. 2020, section 3). The gradient is such a loop too. It computes the intermediate values of a chunk
 * again, and keeps nothing but the argument.
 */
import { elementCount } from '../base/shape.js';
import { pullback } from './gradient.js';
import { add, broadcastTo, pad, reshape, scalar, scan, slice, withGradient } from './ops/index.js';
import { differentiable } from './recompute.js';
import type { Tensor } from './tensor.js';

/**
 * `build(params, x)` of x [...rows, ·], in chunks of at most `size` rows: [...rows, ·]. `build` is called with [some rows, ·],
 * or with x itself where that is no larger or its rows are as many as a run says. The last chunk has rows of zeros where the
 * chunks, of one size, have more rows than x. What `build` uses beside x and `params` gets no gradient.
 */
export function inChunks<P>(size: number, params: P, x: Tensor, build: (params: P, x: Tensor) => Tensor): Tensor {
  const rowShape = x.shape.slice(0, -1);
  const rows = elementCount(rowShape);
  if (typeof rows !== 'number' || rows <= size) return build(params, x);
  const count = Math.ceil(rows / size);
  const own = Math.ceil(rows / count);
  const split = (all: Tensor) => {
    const flat = reshape(all, [rows, all.dim(-1)]);
    return reshape(pad(flat, 0, 0, count * own - rows), [count, own, all.dim(-1)]);
  };
  const join = (chunks: Tensor) => {
    const flat = reshape(chunks, [count * own, chunks.dim(-1)]);
    return reshape(slice(flat, 0, 0, rows), [...rowShape, chunks.dim(-1)]);
  };
  const { items } = scan([], [split(x)], (_, [chunk]) => ({ states: [], items: [build(params, chunk!)] }));
  const learned = differentiable(params);
  const [output] = withGradient([x, ...learned], [join(items[0]!)], ([g]) => {
    const zeros = learned.map(({ shape }) => broadcastTo(scalar(0), shape));
    const backward = scan(zeros, [split(x), split(g!)], (sums, [chunk, given]) => {
      const [ofChunk, ...parts] = pullback([[build(params, chunk!), given!]], [chunk!, ...learned]);
      return { states: sums.map((sum, at) => addPart(sum, parts[at])), items: [ofChunk!] };
    });
    return [join(backward.items[0]!), ...backward.states];
  });
  return output!;
}

function addPart(sum: Tensor, part: Tensor | undefined): Tensor {
  return part === undefined ? sum : add(sum, part);
}
