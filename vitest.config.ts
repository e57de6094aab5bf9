import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vitest/config';

const common = { testTimeout: 60_000, hookTimeout: 60_000 };

/** The tests that hold an engine against the oracle, train and generate: they run on every engine. */
const engineSuite = [
  'test/attention/{conformance,gradients,leak}.test.ts',
  'test/graph/ops.test.ts',
  'test/features/positive.test.ts',
  'test/blocks/blocks.test.ts',
];

/** Puts another engine in the place of Node's: `test/engines/<name>.ts`. */
function engineOf(name: string): Plugin {
  const stand = fileURLToPath(new URL(`test/engines/${name}.ts`, import.meta.url));
  return {
    name: 'engine',
    enforce: 'pre',
    resolveId: (source) => (/\/src\/engine\/node\.js$/.test(source) ? stand : undefined),
  };
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: 'node', include: ['test/**/*.test.ts'] } },
      {
        plugins: [engineOf('web-wasm-node')],
        test: { ...common, name: 'web-wasm', include: engineSuite },
      },
    ],
  },
});
