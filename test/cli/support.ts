/** A command line in this process: what it wrote, and how it ended. */
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { beforeAll, expect } from 'vitest';
import type { Io, Output } from '../../src/cli/io.js';
import { run } from '../../src/cli/run.js';

class Collector extends Writable {
  bytes = Buffer.alloc(0);
  readonly columns = 100;
  constructor(
    readonly isTTY: boolean,
    private readonly onText: (text: string) => void,
  ) {
    super();
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    this.onText(this.text);
    done();
  }
  get text(): string {
    return this.bytes.toString('utf8');
  }
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  /** What stands in `out` as text. */
  readonly bytes: Buffer;
  readonly err: string;
}

export interface Circumstances {
  readonly stdin?: string | Buffer;
  readonly isPiped?: boolean;
  readonly isTTY?: boolean;
  /** Interrupts, as Ctrl-C does, as soon as this stands in the output. */
  readonly stopAt?: RegExp;
  /** Sees all output so far. */
  readonly onText?: (text: string) => void;
}

/** Runs a command line with streams in memory. */
export async function performer(words: readonly string[], around: Circumstances = {}): Promise<Ran> {
  let stop: () => void = () => undefined;
  let isAsked = false;
  const watch = (text: string) => {
    around.onText?.(text);
    if (isAsked || !around.stopAt?.test(text)) return;
    isAsked = true; // the answer is written to the same output
    stop();
  };
  const out = new Collector(around.isTTY ?? false, watch);
  const err = new Collector(around.isTTY ?? false, watch);
  const io: Io = {
    stdin: Readable.from([Buffer.from(around.stdin ?? '')]),
    isPiped: around.isPiped ?? false,
    stdout: out as unknown as Output,
    stderr: err as unknown as Output,
    command: 'performer',
    flush: async () => undefined,
    stoppedBy: () => (isAsked ? 2 : undefined),
    onStop(listener) {
      stop = listener;
      return () => {
        stop = () => undefined;
      };
    },
  };
  const code = await run(words, io);
  return { code, out: out.text, bytes: out.bytes, err: err.text };
}

/** A new folder, which is gone after the tests. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'performer-cli-'));
}

const sentence = 'The whale swam on, and the ship after it; nobody spoke. ';

/** A file of a few kilobytes of text. */
export async function textFile(folder: string, name = 'text.txt', repeat = 40): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, sentence.repeat(repeat));
  return path;
}

/** The smallest model and run. */
export const small = [
  ...['--dim', '32', '--depth', '1', '--heads', '2', '--head-dim', '8', '--feature-count', '8'],
  ...['--window', '16', '--batch', '2', '--steps', '6', '--threads', '1'],
  ...['--token-shift', '1', '--embedding-deviation', '0.02'], // by which it writes whole characters
];

/** Trains a model once for the tests of a file, and returns what makes a folder of its own for each of them. */
export function trainedModel(): () => Promise<string> {
  let files: ReadonlyMap<string, Buffer>;
  beforeAll(async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    expect(await performer(['train', await textFile(folder), '--out', out, ...small])).toMatchObject({ code: 0 });
    // Without what its evaluation has shown of long texts, which is nothing, as little is held out: commands would note it.
    const names = (await readdir(out)).filter((name) => /json$|safetensors$/.test(name) && name !== 'context.json');
    files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(out, name))] as const)));
  });
  return async () => {
    const folder = await temporaryFolder();
    for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
    return folder;
  };
}
