import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { modelNames } from '../../../src/models/index.js';

test.each(modelNames())('%s has its tests with every mixer beside this one', (family) => {
  expect(existsSync(new URL(`${family}.test.ts`, import.meta.url))).toBe(true);
});
