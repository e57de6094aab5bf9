/** The matrix product, with either side transposed and a scale folded in. */
import { type Dim, formatDim, sameDim } from '../../base/dimension.js';
import { broadcastShapes, elementCount, type Shape } from '../../base/shape.js';
import { apply, expectDtype, here, type Op, shapeError, type Tensor, type TensorType } from '../tensor.js';
import { broadcastOffsets } from './broadcast.js';
import { sumTo } from './expand-and-sum.js';
import { reshape } from './layout.js';

/** Which sides are transposed in their last two axes, and what the product is multiplied by. */
export interface MatmulAttributes {
  readonly transposeLeft: boolean;
  readonly transposeRight: boolean;
  readonly scale: number;
  /** Whether the right side is the weight of a dense layer, which may be kept with fewer bits; not unless given. */
  readonly isDense?: boolean | undefined;
}

/** The two trailing dimensions as the product sees them. */
function trailing({ shape }: TensorType, transposed: boolean): readonly [Dim, Dim] {
  const [rows, columns] = shape.slice(-2) as [Dim, Dim];
  return transposed ? [columns, rows] : [rows, columns];
}

const matmulOp: Op<MatmulAttributes> = {
  name: 'matmul',
  infer: ([left, right], { transposeLeft, transposeRight }) => {
    expectDtype('matmul', [left!, right!], 'float32');
    if (left!.shape.length < 2 || right!.shape.length < 2) {
      throw shapeError('matmul', 'at least two axes on each side', left!, right!);
    }
    const [rows, inner] = trailing(left!, transposeLeft);
    const [otherInner, columns] = trailing(right!, transposeRight);
    if (!sameDim(inner, otherInner)) {
      const sizes = `${formatDim(inner)} on the left, ${formatDim(otherInner)} on the right`;
      throw shapeError('matmul', `equal inner dimensions instead of ${sizes}`, left!, right!);
    }
    const batch = broadcastShapes(here('matmul'), left!.shape.slice(0, -2), right!.shape.slice(0, -2));
    return [{ dtype: 'float32', shape: [...batch, rows, columns] }];
  },
  evaluate: ([left, right], { transposeLeft, transposeRight, scale }, { outputShapes }) => {
    const shape = outputShapes[0]!;
    const [rows, columns] = shape.slice(-2) as [number, number];
    const inner = left!.shape.at(transposeLeft ? -2 : -1) as number;
    const batch = shape.slice(0, -2);
    const leftBatches = broadcastOffsets(left!.shape.slice(0, -2), batch);
    const rightBatches = broadcastOffsets(right!.shape.slice(0, -2), batch);
    const [leftRow, leftStep] = transposeLeft ? [1, rows] : [inner, 1];
    const [rightStep, rightColumn] = transposeRight ? [1, inner] : [columns, 1];
    const out = new Float64Array(elementCount(shape));
    let position = 0;
    for (let item = 0; item < leftBatches.length; item++) {
      const leftBase = (leftBatches[item] as number) * rows * inner;
      const rightBase = (rightBatches[item] as number) * inner * columns;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let total = 0;
          for (let k = 0; k < inner; k++) {
            const a = left!.data[leftBase + row * leftRow + k * leftStep] as number;
            total += a * (right!.data[rightBase + k * rightStep + column * rightColumn] as number);
          }
          out[position++] = scale * total;
        }
      }
    }
    return [out];
  },
  differentiate: ({ inputs: [left, right], gradients: [g], attributes }) => {
    const { transposeLeft, transposeRight, scale } = attributes;
    // y = s·L R  ⇒  dL = s·g Rᵀ and dR = s·Lᵀ g, each transposed where its side was.
    const dLeft = transposeLeft
      ? matmul(right!, g!, { transposeLeft: transposeRight, transposeRight: true, scale })
      : matmul(g!, right!, { transposeRight: !transposeRight, scale });
    const dRight = transposeRight
      ? matmul(g!, left!, { transposeLeft: true, transposeRight: transposeLeft, scale })
      : matmul(left!, g!, { transposeLeft: !transposeLeft, scale });
    return [sumTo(dLeft, left!.shape), sumTo(dRight, right!.shape)];
  },
  lower: (emitter, [left, right], attributes, { inputs: [leftType, rightType] }) => {
    const { transposeLeft, transposeRight, scale, isDense } = attributes;
    const dense = isDense === true ? emitter.denseProduct(left!, right!, transposeRight) : undefined;
    if (dense !== undefined) return [dense];
    const plain = !transposeLeft && !transposeRight && scale === 1;
    if (plain) return [emitter.emit('MatMul', [left!, right!])];
    if (leftType!.shape.length === 2 && rightType!.shape.length === 2) {
      const attributes = { transA: Number(transposeLeft), transB: Number(transposeRight), alpha: { float: scale } };
      return [emitter.emit('Gemm', [left!, right!], attributes)];
    }
    if (emitter.target === 'native' || emitter.target === 'web') {
      const attributes = { transA: Number(transposeLeft), transB: Number(transposeRight), alpha: { float: scale } };
      return [emitter.emit('FusedMatMul', [left!, right!], attributes, { domain: 'com.microsoft' })];
    }
    const turned = (name: string, rank: number, transposed: boolean) => {
      if (!transposed) return name;
      const perm = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
      return emitter.emit('Transpose', [name], { perm });
    };
    const product = emitter.emit('MatMul', [
      turned(left!, leftType!.shape.length, transposeLeft),
      turned(right!, rightType!.shape.length, transposeRight),
    ]);
    if (scale === 1) return [product];
    return [emitter.emit('Mul', [product, emitter.constant('float32', [], [scale])])];
  },
};

/** scale · left · right over the two trailing axes; the leading ones broadcast. */
export function matmul(
  left: Tensor,
  right: Tensor,
  { transposeLeft = false, transposeRight = false, scale = 1, isDense }: Partial<MatmulAttributes> = {},
): Tensor {
  // A matrix on the right takes all rows of the left at once: one large product instead of a batch.
  if (right.rank === 2 && left.rank > 2 && !transposeLeft) {
    const rows = left.shape.slice(0, -1);
    const flat = reshape(left, [elementCount(rows as Shape), left.dim(-1)]);
    const product = matmul(flat, right, { transposeRight, scale, isDense });
    return reshape(product, [...rows, product.dim(-1)]);
  }
  return apply(matmulOp, [left, right], { transposeLeft, transposeRight, scale, ...(isDense === true && { isDense }) });
}
