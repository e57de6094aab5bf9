/** What the tasks on labelled texts and on images have in common: batches in buckets of length, and what is held out in order. */
import { type AnyHostTensor, type Dtype, float32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import {
  batchesByLength,
  type LabelledData,
  type LabelledTokens,
  readTexts,
  type Target,
  type TextBatches,
  textBatches,
} from '../data/index.js';
import { spec, type Tensor, type TensorSpec } from '../graph/index.js';
import { type Model, rowInputs, rowSpecs } from '../models/index.js';
import type { Batch, BatchSize, Task } from './task.js';

/** The targets of a batch, as the loss takes them. */
export interface TargetArrays {
  readonly spec: TensorSpec<Dtype>;
  of(targets: readonly Target[]): AnyHostTensor;
}

/** The tensors of a batch whose targets are of type D, beside what the model reads. */
export type LabelledTensors<D extends Dtype = 'float32'> = {
  /** [batch, length], of texts. */
  readonly tokens?: Tensor<'int32'>;
  /** [batch] */
  readonly lengths?: Tensor<'int32'>;
  /** [batch, height, width, channels], of images. */
  readonly images?: Tensor;
  readonly targets: Tensor<D>;
  /** 0 for rows that only fill the batch, [batch]. */
  readonly weights: Tensor;
};

/** All of a task but its loss, its measures and its name. */
export function labelledBatches(
  model: Model,
  size: BatchSize,
  { train, heldOut }: LabelledData,
  arrays?: TargetArrays,
): Pick<Task, 'size' | 'tokensPerStep' | 'specs' | 'step' | 'evaluations'> {
  const { batch, window, accumulation, carryState, seed } = size;
  if (carryState) throw new PerformerError('CONFIG', 'labelled texts: expected texts on their own, got carryState.');
  const random = Random.fromSeed(seed).split('batches');
  const specs = {
    ...rowSpecs(model, batch),
    ...(arrays && { targets: arrays.spec }),
    weights: spec('float32', [batch]),
  } as Batch<TensorSpec<Dtype>>;
  let batches: TextBatches | undefined;
  const read = (texts: LabelledTokens, indices: readonly number[]) => batchOf(model, texts, indices, size, arrays);
  return {
    size,
    specs,
    tokensPerStep: Math.round(batch * accumulation * (model.image ? window : meanLength(train, window))),
    async step(step) {
      batches ??= textBatches(train, { batch, window, random });
      const { of } = batches;
      const numbers = Array.from({ length: accumulation }, (_, index) => step * accumulation + index);
      return { batches: await Promise.all(numbers.map((number) => read(train, of(number)))), isStart: true };
    },
    evaluations: [
      {
        ...{ name: 'texts', batch, carriesState: false, specs },
        async *batches() {
          for (const indices of batchesByLength(heldOut.sizes, batch)) yield await read(heldOut, indices);
        },
      },
    ],
  };
}

/** The mean length of texts that are cut at the window. */
function meanLength({ length, sizes }: LabelledTokens, window: number): number {
  return sizes.reduce((total, size) => total + Math.min(size, window), 0) / Math.max(1, length);
}

/** A batch of some texts; where they are fewer than its rows, it is filled with the first of them, which counts nothing there. */
async function batchOf(
  model: Model,
  texts: LabelledTokens,
  indices: readonly number[],
  { batch, window }: BatchSize,
  arrays: TargetArrays | undefined,
): Promise<Batch> {
  const filled = Array.from({ length: batch }, (_, row) => indices[row] ?? (indices[0] as number));
  const { targets, ...rows } = await readTexts(texts, filled, model.image ? Number.POSITIVE_INFINITY : window);
  const weights = float32(
    [batch],
    filled.map((_, row) => (row < indices.length ? 1 : 0)),
  );
  return {
    ...rowInputs('labelled texts', model, rows),
    ...(arrays && { targets: arrays.of(targets) }),
    weights,
  } as Batch;
}
