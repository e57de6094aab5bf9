/** A pretrained folder behind a URL: the files that its index names, its tokenizer and its settings are fetched. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/index.js';
import { wordPieceFile } from '../support/tokenizer-files.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const asked: string[] = [];
let server: Server;
let address = '';
beforeAll(async () => {
  server = createServer(({ url = '' }, response) => {
    asked.push(url);
    const isTokenizer = url.endsWith('/llama3-bf16-sharded/tokenizer.json');
    const [, manner, rest] = /^\/(plain|page|broken)(\/.*)$/.exec(url) ?? [undefined, undefined, url];
    const path = join(golden, rest);
    if (!isTokenizer && !existsSync(path)) {
      if (manner === 'page') return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      return void response.writeHead(404).end('<html>not found</html>');
    }
    if (isTokenizer && manner === 'broken') return void response.writeHead(503).end();
    const json = manner === 'plain' ? 'text/plain; charset=utf-8' : 'application/json';
    const type = url.endsWith('json') ? json : 'application/octet-stream';
    response.writeHead(200, { 'content-type': type });
    response.end(isTokenizer ? JSON.stringify(wordPieceFile()) : readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

test('shards are fetched, each once, and the model is that of the folder', async () => {
  const name = 'llama3-bf16-sharded';
  const model = await loadModel(`${address}/${name}`, { kind: 'language-model' });
  const local = await loadModel(join(golden, name), { kind: 'language-model' });
  expect(await model.logits([1, 2, 3])).toEqual(await local.logits([1, 2, 3]));
  expect(model.config.tokenizer).toMatch(/^tokenizer\.json:/);
  expect(model.config.endTokens).toEqual(local.config.endTokens);
  const shards = asked.filter((url) => url.endsWith('.safetensors')).sort();
  expect(shards).toEqual([1, 2].map((number) => `/${name}/model-0000${number}-of-00002.safetensors`));
});

test('one file of weights is fetched where there is no index', async () => {
  const model = await loadModel(`${address}/gpt2`, { kind: 'language-model' });
  expect(model.config).toMatchObject({ tokenizer: 'none', endTokens: [62] });
  await expect(loadModel(`${address}/none`)).rejects.toThrow(/none\/config\.json, got the status 404/);
});

test('a server may call JSON plain text, and have a page in place of each file that it does not have', async () => {
  const { config } = await loadModel(join(golden, 'llama3-bf16-sharded'));
  const plain = await loadModel(`${address}/plain/llama3-bf16-sharded`);
  expect(plain.config).toMatchObject({ endTokens: config.endTokens });
  expect(plain.config.tokenizer).toMatch(/^tokenizer\.json:/);
  expect((await loadModel(`${address}/page/gpt2`)).config).toMatchObject({ tokenizer: 'none', endTokens: [62] });
});

test('a file that may be missing is not taken for missing where the server fails', async () => {
  await expect(loadModel(`${address}/broken/llama3-bf16-sharded`)).rejects.toThrow(
    /tokenizer\.json, got the status 503/,
  );
});
