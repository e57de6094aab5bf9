import { fileURLToPath } from 'node:url';
import { defineConfig } from 'tsdown';

const root = fileURLToPath(new URL('..', import.meta.url));

export default defineConfig({
  cwd: root,
  entry: [
    'bench/run.ts',
    'bench/encoder-memory.ts',
    'bench/memory-step.ts',
    'bench/step-session.ts',
    'bench/peers/tensorflow-js.ts',
  ],
  deps: { neverBundle: ['#onnxruntime-web', /^@tensorflow\//] },
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  fixedExtension: false,
  outDir: 'dist-bench',
  dts: false,
});
