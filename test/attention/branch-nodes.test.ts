/** The branch of attention that is not taken costs nothing: seen in ONNX Runtime's profile, which it writes in Node. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type AttentionInputs, bidirectionalAttention, causalAttention } from '../../src/attention/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import { gradient, square, sum, type Tensor } from '../../src/graph/index.js';
import { drawAttention, projectionOf } from '../support/attention-inputs.js';
import { runOnce } from '../support/attention-run.js';

type Arguments = AttentionInputs & { readonly projection: Tensor };
const forms: readonly [string, (given: Arguments) => Tensor][] = [
  ['causal', ({ projection, ...tokens }) => causalAttention(tokens, positiveFeatures(projection)).output],
  ['bidirectional', ({ projection, ...tokens }) => bidirectionalAttention(tokens, positiveFeatures(projection))],
];

/** The names of the nodes that ran, from the profile of a session. */
function nodesInProfile(folder: string): string[] {
  const [file] = readdirSync(folder);
  const events = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as { cat: string; name: string }[];
  return events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .map(({ name }) => name.replace('_kernel_time', ''));
}

it.each(forms)(
  '%s attention runs no node of the branch that it does not take, forward and backward',
  async (_, attend) => {
    const step = (inputs: Arguments) => {
      const output = attend(inputs);
      const { query, key, value } = inputs;
      return { output, gradients: gradient(sum(square(output)), { query, key, value }) };
    };
    const nodesAt = async (dim: number, std: number) => {
      const folder = mkdtempSync(join(tmpdir(), 'profile-'));
      const tokens = drawAttention({ batch: 1, heads: 1, length: 300, dim, std });
      const engine = nodeEngine({ threads: 1, profilePrefix: join(folder, 'run') });
      await runOnce(engine, step as never, { ...tokens, projection: projectionOf(64, dim) });
      const nodes = nodesInProfile(folder);
      rmSync(folder, { recursive: true });
      return nodes;
    };
    const inLogSpace = (nodes: string[]) => nodes.filter((name) => name.includes('logSpace'));
    const [fast, slow] = [await nodesAt(64, 1), await nodesAt(256, 8)];
    expect(inLogSpace(fast)).toEqual([]);
    expect(inLogSpace(slow).some((name) => name.startsWith('gradient.logSpace'))).toBe(true);
    expect(inLogSpace(slow).some((name) => name.startsWith('logSpace'))).toBe(true);
    // What is not in log space is the same, without the gradient's products in the branch that was not taken.
    expect(slow.length - inLogSpace(slow).length).toBeLessThan(fast.length);
  },
);
