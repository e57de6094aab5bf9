/** The flags that choose the engine, and the engine they choose. */
import * as z from 'zod';
import type { Engine } from '../engine/index.js';
import { type FlagValues, flagsOf } from './flags.js';

export const engineSchema = z.strictObject({
  threads: z.int().min(1).max(1024).optional(),
  provider: z.enum(['cpu', 'cuda', 'webgpu']).default('cpu'),
});

export const engineFlags = flagsOf('Engine:', engineSchema.shape, {
  threads: { text: 'threads of ONNX Runtime', fallback: 'one per core' },
  provider: { text: "ONNX Runtime's execution provider; cuda needs its files installed" },
});

/** Loads ONNX Runtime, which takes a moment: only when an engine is needed. Its sessions are profiled for a prefix. */
export async function chooseEngine({ threads, provider }: FlagValues, profilePrefix?: string): Promise<Engine> {
  const options = engineSchema.parse({ threads, provider });
  const { nodeEngine } = await import('../engine/node.js');
  return nodeEngine({
    provider: options.provider,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(profilePrefix === undefined ? {} : { profilePrefix }),
  });
}
