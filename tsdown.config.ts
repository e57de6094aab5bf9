import { fileURLToPath } from 'node:url';
import { defineConfig } from 'tsdown';

const rooms = [
  ...['base', 'graph', 'onnx', 'engine', 'measure', 'kernels', 'features', 'attention', 'blocks', 'mixers', 'models'],
  ...['data', 'tasks', 'training', 'generation', 'interop', 'machines', 'search', 'export'],
].map((room) => `src/${room}/index.ts`);

/**
 * Packages of many files, or of which a small part is used: that part is copied into what is built, so that a program starts sooner.
 * They stay dependencies, by which their licences are installed and audits see them; types are theirs.
 */
const copied = /^(zod|ml-matrix|onnx-buf|@bufbuild\/protobuf(\/.*)?)$/;
const isCopied = (name: string, importer?: string) => copied.test(name) && importer?.endsWith('.d.ts') !== true;

export default defineConfig({
  entry: [
    'src/index.ts',
    'src/door/node-platform.ts',
    'src/door/web-platform.ts',
    'src/door/worker.ts',
    'src/door/worker-thread.ts',
    'src/door/web-gpu-worker.ts',
    'src/door/web-gpu-worker-thread.ts',
    ...rooms,
    'src/engine/node.ts',
    'src/engine/web.ts',
    'src/engine/web-gpu.ts',
    'src/measure/node.ts',
    'src/models/node.ts',
    'src/data/node.ts',
    'src/training/node.ts',
    'src/interop/node.ts',
    'src/machines/node.ts',
    'src/search/node.ts',
    'src/cli/main.ts',
  ],
  format: 'esm',
  platform: 'neutral',
  deps: { neverBundle: [/^node:/, '#onnxruntime-web', '#platform'], alwaysBundle: isCopied },
  // The form of ml-matrix that is modules, of which what is unused is left out.
  alias: { 'ml-matrix': fileURLToPath(new URL('node_modules/ml-matrix/src/index.js', import.meta.url)) },
  inputOptions: { resolve: { mainFields: ['module', 'main'] } },
  target: 'node20.19',
  fixedExtension: false,
  dts: true,
  clean: true,
});
