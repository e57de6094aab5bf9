/** For every engine but Node's: what of the suite is not run again, and why. */
import { beforeEach } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';

const isGpu = nodeEngine().name === 'web-webgpu';

beforeEach(({ task, skip }) => {
  if (/on '?the oracle/.test(task.name)) skip('the oracle is tested in Node');
  if (isGpu && /^65,536 tokens/.test(task.suite?.name ?? '')) skip('SwiftShader computes on the processor: minutes');
});
