/** For every engine but Node's: what of the suite is not run again, and why. */
import { beforeEach } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';

const isGpu = nodeEngine().name === 'web-webgpu';

/**
 * What SwiftShader, which computes on the processor, would take minutes for. It compiles the kernels of each graph for seconds,
 * and small numbers or another mask run the same kernels as the large numbers and the masks that stay.
 */
const slowOnGpu = [
  /^65,536 tokens/,
  /std (0\.5|1)\b/,
  /^gradients .* 'with (padding on the right|a row that has no key)'/,
  /' (ragged padding on the right|one row without any key), std/,
  /stay right on ONNX Runtime at std 8 and dim 256/,
];

beforeEach(({ task, skip }) => {
  if (/on '?the oracle/.test(task.name)) skip('the oracle is tested in Node');
  const name = `${task.suite?.name ?? ''} ${task.name}`;
  if (isGpu && slowOnGpu.some((each) => each.test(name))) skip('SwiftShader computes on the processor: minutes');
});
