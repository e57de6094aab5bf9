/** The peak of memory: of this process, and not of the one that started it. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { peakBytes } from '../../src/measure/node.js';

test('grows with what is held, and is not handed to a process that is started', () => {
  const before = peakBytes();
  const held = Buffer.alloc(2 ** 29, 1);
  expect(peakBytes()).toBeGreaterThan(Math.max(before, held.length));
  const module = new URL('../../dist/measure/node.js', import.meta.url).href;
  const script = `import { peakBytes } from ${JSON.stringify(module)}; console.log(peakBytes());`;
  const ofChild = Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
  expect(ofChild).toBeGreaterThan(2 ** 24);
  if (process.platform === 'linux') expect(ofChild).toBeLessThan(held.length);
});
