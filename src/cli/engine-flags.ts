/** The flags that choose the engine, and the engine they choose. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { Engine } from '../engine/index.js';
import { productDtypes } from '../onnx/index.js';
import { flagsOf } from './flags.js';

export const engineSchema = z.strictObject({
  threads: option(z.int().min(1).max(1024).optional(), 'threads of ONNX Runtime', { fallback: 'one per core' }),
  provider: option(
    z.enum(['cpu', 'cuda', 'webgpu']).default('cpu'),
    "ONNX Runtime's execution provider; cuda needs its files installed",
  ),
});

export type EngineOptions = z.output<typeof engineSchema>;

/** Of commands that only run a model. */
export const inferenceSchema = engineSchema.extend({
  dtype: option(
    z.enum(productDtypes).default('float32'),
    'how dense layers are computed: with weights of 8 bits and rows rounded as they come, or of 4 bits in blocks of 32',
  ),
});
export type InferenceOptions = z.output<typeof inferenceSchema>;

export const engineFlags = flagsOf('Engine:', engineSchema);
export const inferenceFlags = flagsOf('Engine:', inferenceSchema);

/** Loads ONNX Runtime, which takes a moment: only when an engine is needed. Its sessions are profiled for a prefix. */
export async function chooseEngine(
  { threads, provider, dtype }: EngineOptions & Partial<InferenceOptions>,
  profilePrefix?: string,
): Promise<Engine> {
  const { nodeEngine } = await import('../engine/node.js');
  return nodeEngine({ provider, threads, dtype, profilePrefix });
}
