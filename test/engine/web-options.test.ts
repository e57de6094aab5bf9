import { expect, it } from 'vitest';
import { webEngine } from '../../src/engine/web.js';
import { webGpuEngine } from '../../src/engine/web-gpu.js';

it('an engine of browsers refuses threads that are no positive integer', async () => {
  await expect(webEngine({ threads: 0 })).rejects.toMatchObject({ code: 'CONFIG' });
  await expect(webEngine({ threads: 1.5 })).rejects.toThrow(/expected a positive integer as threads, got 1\.5/);
});

it('refuses WebGPU where there is none', async () => {
  await expect(webGpuEngine()).rejects.toMatchObject({ code: 'DEVICE' });
});

it('refuses settings other than those that its runtime was started with', async () => {
  expect((await webEngine({ threads: 1 })).name).toBe('web-wasm');
  expect((await webEngine({ threads: 1 })).name).toBe('web-wasm');
  await expect(webEngine({ threads: 2 })).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(/"threads":1/),
  });
});
