/**
 * Features that are shaped by the moments of queries and keys (FAVOR++, FAVOR#), in training: the moments are those of
 * one batch, and stay as they are (frozen) until they are measured again, so that no token sees a later one through them.
 */
import type { HostTensor } from '../base/array.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { type FeatureMoments, type FeatureShape, rowMoments } from '../features/index.js';
import { slice, spec, specsOf } from '../graph/index.js';
import {
  type LanguageModelConfig,
  type LanguageModelParams,
  languageModelLayout,
  type Projections,
  projectionLayout,
  readTokens,
} from '../models/index.js';
import type { TrainingConfig } from './config.js';

export interface CompiledMoments {
  /** The moments of each block. */
  run(args: {
    readonly params: LanguageModelParams<EngineTensor>;
    readonly projections: Projections<EngineTensor>;
    /** [batch, window + 1] int32, of which the last is not read. */
    readonly tokens: HostTensor;
  }): Promise<readonly FeatureMoments<HostTensor>[]>;
  dispose(): Promise<void>;
}

export async function compileMoments(
  engine: Engine,
  model: LanguageModelConfig,
  { batch, window }: Pick<TrainingConfig, 'batch' | 'window'>,
): Promise<CompiledMoments> {
  const measure = await engine.compile(
    (params, projections, { tokens }) => {
      const { attended, mask } = readTokens(model, params, { tokens: slice(tokens, 1, 0, window), projections });
      return {
        blocks: attended.map(({ query, key }) => ({ query: rowMoments(query, mask), key: rowMoments(key, mask) })),
      };
    },
    [specsOf(languageModelLayout(model)), projectionLayout(model), { tokens: spec('int32', [batch, window + 1]) }],
  );
  return {
    run: async ({ params, projections, tokens }) => (await measure.run([params, projections, { tokens }])).blocks,
    dispose: () => measure.dispose(),
  };
}

/** Whether moments are measured after so many steps even without a redraw: at 0, 1, 2, 4, …, while they change most. */
export function isEarly(step: number): boolean {
  return Number.isInteger(Math.log2(step)) || step === 0;
}

type Shapes = readonly (FeatureShape<HostTensor<'float32'>> | undefined)[];

export function shapesOf({ blocks }: Projections<HostTensor<'float32'>>): Shapes {
  return blocks.map(({ attention }) => attention.shape);
}

/** The projections with these shapes, one for each block. */
export function withShapes(
  { blocks }: Projections<HostTensor<'float32'>>,
  shapes: Shapes,
): Projections<HostTensor<'float32'>> {
  return {
    blocks: blocks.map(({ attention }, layer) => {
      const shape = shapes[layer];
      return { attention: shape === undefined ? attention : { ...attention, shape } };
    }),
  };
}
