import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import config from '../../vitest.config.js';

it.skipIf(!existsSync('/usr/bin/chromium'))(
  'the suite of engines runs in Chromium (skipped where it is not installed: apt-get install chromium)',
  () => {
    const names = (config({ command: 'serve', mode: 'test' }).test?.projects ?? []).map(
      (project) => (project as { test?: { name?: string } }).test?.name,
    );
    expect(names).toEqual(expect.arrayContaining(['chromium-web-wasm', 'chromium-web-webgpu']));
  },
);
