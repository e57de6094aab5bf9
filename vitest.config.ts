/**
 * The tests run in Node. Those that hold an engine against the oracle, train or generate run again on each engine of
 * browsers: in Node, and in headless Chromium where it is installed.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type Plugin } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const common = { testTimeout: 60_000, hookTimeout: 60_000 };

/** What package.json chooses for built code. */
const alias = { '#platform': fileURLToPath(new URL('src/door/node-platform.ts', import.meta.url)) };

const engineSuite = [
  'test/attention/{conformance,extremes,gradients,hidden-keys,large-norms,leak}.test.ts',
  'test/blocks/blocks.test.ts',
  'test/engine/{arithmetic,placing,training,generation}.test.ts',
  'test/features/positive.test.ts',
  'test/graph/{bodies,ops}.test.ts',
];

/** All pairs of options, families and mixers: in WebAssembly too, and not once more in Chromium, where it would be the same code. */
const familySuite = ['test/families/covering/*.test.ts', 'test/families/options.test.ts'];

/** About the engine and the package themselves: they have the runtime as it is. */
const ownSuite = ['test/{engine,package,types,bench}/**/*.test.ts', 'test/*.test.ts'];

/**
 * Files that have the modules for themselves, too: they register something by a name, or stand in for a module. The others register
 * nothing and change nothing that another sees, so that the files of a worker share the modules and the sessions, which saves half
 * of the time.
 */
const aloneSuite = [
  'test/{cli,families,generation}/tokenizer.test.ts',
  'test/cli/bench.test.ts',
  'test/data/tokenizer.test.ts',
  'test/families/tokenizer-file.test.ts',
  'test/door/{register,remote}.test.ts',
  'test/models/registered.test.ts',
  'test/interop/killed.test.ts',
  'test/machines/node-place.test.ts',
  'test/training/lock.test.ts',
];

/** Pages that Vite builds, in Chromium. */
const pagesSuite = 'test/package/vite-build.test.ts';

/** On SwiftShader these take minutes: what they show is shown on the other engines. */
const slowOnGpu = ['test/attention/{extremes,hidden-keys,large-norms,leak}.test.ts'];

const setupFiles = ['test/engines/skips.ts'];

/** Tests of WebGPU alone. */
const gpuSuite = 'test/webgpu/*.test.ts';

/** Puts another engine in the place of Node's: `test/engines/<name>.ts`. */
function engineOf(name: string): Plugin {
  const stand = fileURLToPath(new URL(`test/engines/${name}.ts`, import.meta.url));
  return {
    name: 'engine',
    enforce: 'pre',
    resolveId: (source) => (/\/src\/engine\/node\.js$/.test(source) ? stand : undefined),
  };
}

/** Keeps the sessions of equal models in Node's engine. */
const keptSessions: Plugin = {
  name: 'kept-sessions',
  enforce: 'pre',
  resolveId(source, importer) {
    const stand = fileURLToPath(new URL('test/engines/kept-sessions.ts', import.meta.url));
    return /\/node-runtime\.js$/.test(source) && importer !== stand ? stand : undefined;
  },
};

/** Debian's. */
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

/** In the order of `groupOrder`, after the tests in Node: each has the machine for itself. */
function inChromium(
  engine: string,
  groupOrder: number,
  include: readonly string[],
  flags: readonly string[],
  exclude: readonly string[] = [],
) {
  const name = `chromium-${engine}`;
  return {
    plugins: [engineOf(engine), isolation],
    cacheDir: `node_modules/.vite/${name}`,
    // The runtime loads its own files; the others are bundled before the tests, since a page that is reloaded loses them.
    optimizeDeps: { include: ['@bufbuild/protobuf', 'ml-matrix', 'onnx-buf', 'zod'], exclude: ['onnxruntime-web'] },
    test: {
      ...common,
      name,
      include: [...include],
      exclude: [...exclude],
      setupFiles,
      sequence: { groupOrder },
      fileParallelism: false,
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

const swiftShader = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const browsers = [
  inChromium('web-wasm', 1, engineSuite, ['--disable-gpu']),
  inChromium('web-webgpu', 2, [...engineSuite, gpuSuite], swiftShader, slowOnGpu),
];

/** Begins with the files that take longest, so that no worker waits for another at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => moduleId.includes('/covering/');
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig(({ mode }) => ({
  test: {
    maxWorkers: 2,
    provide: { hasAllCases: mode === 'all' }, // test/support/product.ts
    globalSetup: 'test/support/temporary.ts', // once for all projects: a socket's path has at most 107 bytes
    sequence: { sequencer: LongestFirst },
    projects: [
      { resolve: { alias }, test: { ...common, name: 'node-alone', include: aloneSuite } },
      {
        resolve: { alias },
        test: { ...common, name: 'node', include: ownSuite, exclude: [pagesSuite], isolate: false },
      },
      {
        plugins: [keptSessions],
        resolve: { alias },
        test: {
          ...common,
          name: 'node-pure',
          include: ['test/**/*.test.ts'],
          exclude: [gpuSuite, ...ownSuite, ...aloneSuite],
          isolate: false,
        },
      },
      { resolve: { alias }, test: { ...common, name: 'pages', include: [pagesSuite], sequence: { groupOrder: 3 } } },
      {
        plugins: [engineOf('web-wasm-node')],
        test: { ...common, name: 'web-wasm', include: [...engineSuite, ...familySuite], setupFiles },
      },
      ...(existsSync(chromium) ? browsers : []),
    ],
  },
}));
