/** Pages that Vite builds from the package as it is published, and what Chromium shows of them. */
import { readdirSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright';
import { build } from 'vite';
import { temporaryFolder } from '../cli/support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Debian's. */
export const executablePath = '/usr/bin/chromium';

export interface Built {
  readonly folder: string;
  readonly files: readonly string[];
}

/** Builds a page out of the sources of its modules, of which `page.js` is the first, with the defaults of Vite. */
export async function buildPage(sources: Readonly<Record<string, string>>): Promise<Built> {
  const app = await temporaryFolder();
  await mkdir(join(app, 'node_modules'));
  await symlink(root, join(app, 'node_modules/performer-ts'));
  const html = '<!doctype html><title>waiting</title><script type="module" src="./page.js"></script>';
  const all = { 'index.html': html, ...sources };
  for (const [name, source] of Object.entries(all)) await writeFile(join(app, name), source);
  await build({ root: app, configFile: false, logLevel: 'error' });
  const folder = join(app, 'dist');
  return { folder, files: readdirSync(join(folder, 'assets')) };
}

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Serves a built folder on an origin of its own. Pages are isolated; files whose names `isBare` has come without headers. */
async function serve(folder: string, isBare: (path: string) => boolean) {
  const server = createServer(async ({ url = '/' }, response) => {
    const path = url === '/' ? '/index.html' : url;
    const body = await readFile(join(folder, path)).catch(() => undefined);
    const type = contentTypes[extname(path)] ?? 'text/plain';
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': type, ...(isBare(path) ? {} : isolation) });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, close: () => server.close() };
}

export interface Shown {
  readonly title: string;
  readonly isIsolated: boolean;
  readonly origin: string;
  /** Everything that the page and its workers asked for. */
  readonly requests: readonly string[];
}

/** WebGPU on an adapter that computes on the processor. */
export const gpuFlags = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Opens a built page and waits for its title. */
export async function show(
  { folder }: Built,
  isBare: (path: string) => boolean = () => false,
  flags: readonly string[] = ['--disable-gpu'],
): Promise<Shown> {
  const { origin, close } = await serve(folder, isBare);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', ...flags] });
  try {
    const page = await browser.newPage();
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('websocket', (socket) => requests.push(socket.url()));
    await page.goto(origin);
    await page.waitForFunction('document.title !== "waiting"', undefined, { timeout: 50_000 });
    const isIsolated = (await page.evaluate('crossOriginIsolated')) as boolean;
    return { title: await page.title(), isIsolated, origin, requests };
  } finally {
    await browser.close();
    close();
  }
}
