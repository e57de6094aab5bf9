import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
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

const chromium = '/usr/bin/chromium';

const chromiumFlags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Threads need a page that shares memory with no other origin. */
const isolation: Plugin = {
  name: 'isolation',
  enforce: 'pre',
  configureServer: ({ middlewares }) => {
    middlewares.use((_, response, next) => {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
      response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
      next();
    });
  },
};

/** The suite in headless Chromium. */
function inChromium(name: string, flags: readonly string[]) {
  return {
    plugins: [engineOf(name), isolation],
    optimizeDeps: { exclude: ['onnxruntime-web'] },
    test: {
      ...common,
      name: `chromium-${name}`,
      include: engineSuite,
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: { executablePath: chromium, args: [...chromiumFlags, ...flags] } }),
        instances: [{ browser: 'chromium' as const }],
      },
    },
  };
}

const browsers = existsSync(chromium)
  ? [
      inChromium('web-wasm', ['--disable-gpu']),
      inChromium('web-webgpu', ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']),
    ]
  : [];

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: 'node', include: ['test/**/*.test.ts'] } },
      { plugins: [engineOf('web-wasm-node')], test: { ...common, name: 'web-wasm', include: engineSuite } },
      ...browsers,
    ],
  },
});
