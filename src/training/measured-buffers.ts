/**
 * Buffers that are measured, in training: the shapes of features that follow the moments of queries and keys (FAVOR++,
 * FAVOR#), and the centroids of keys (routing). What is measured is that of one batch, and stays as it is until it is measured
 * again, so that no token sees a later one through it.
 */
import type { Engine } from '../engine/index.js';
import { type AnyTensor, specsOf } from '../graph/index.js';
import { type Model, mapMixerBuffers } from '../models/index.js';
import type { Batch, Task } from '../tasks/index.js';

export interface CompiledMoments {
  /** The buffers with those parts that are measured taken from this batch. */
  run(args: { readonly params: object; readonly buffers: object; readonly batch: Batch }): Promise<object>;
  dispose(): Promise<void>;
}

/** Whether a layer has buffers that are measured. */
export function hasMeasuredBuffers({ mixers }: Model): boolean {
  return mixers.some(({ measured }) => measured !== undefined);
}

export async function compileMoments(engine: Engine, task: Task): Promise<CompiledMoments> {
  const { model } = task;
  const measure = await engine.compile(
    (params: object, buffers: object, { batch }: { batch: Batch<AnyTensor> }) => {
      const { attended, mask } = task.loss({ params, buffers }, batch, {}).result;
      return {
        layers: model.mixers.map(({ measured }, layer) => {
          const rows = attended[layer];
          return rows === undefined ? undefined : measured?.moments(rows, mask);
        }),
      };
    },
    [specsOf(model.params) as object, specsOf(model.buffers) as object, { batch: task.specs }],
  );
  return {
    async run({ params, buffers, batch }) {
      const { layers } = await measure.run([params, buffers, { batch }]);
      const moments = layers as readonly (object | undefined)[];
      return mapMixerBuffers(model, buffers, (own, mixer, layer) => {
        const found = moments[layer];
        return found === undefined ? own : { ...own, ...mixer.measured?.buffers(found) };
      });
    },
    dispose: () => measure.dispose(),
  };
}

/** Whether moments are measured after so many steps even without a redraw: at 0, 1, 2, 4, …, while they change most. */
export function isEarly(step: number): boolean {
  return Number.isInteger(Math.log2(step)) || step === 0;
}

/** Drawn buffers with the measured parts of others, until those are measured again with the model that they belong to. */
export function withMeasured(model: Model, drawn: object, before: object): object {
  const kept: object[] = [];
  mapMixerBuffers(model, before, (own, mixer, layer) => {
    const names: readonly string[] = mixer.measured?.names ?? [];
    kept[layer] = Object.fromEntries(Object.entries(own).filter(([name]) => names.includes(name)));
    return own;
  });
  return mapMixerBuffers(model, drawn, (own, _, layer) => ({ ...own, ...kept[layer] }));
}
