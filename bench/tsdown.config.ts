import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['bench/run.ts'],
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  fixedExtension: false,
  outDir: 'dist-bench',
  dts: false,
});
