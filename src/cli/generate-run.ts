/** `performer generate` at work. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { messageOf, PerformerError } from '../base/errors.js';
import { type ByteSource, bytesSource, Utf8Stream } from '../data/index.js';
import { openFiles } from '../data/node.js';
import { type GenerateOptions, GenerationSession, generate } from '../generation/index.js';
import { readJson, readSafetensors, writeSafetensors } from '../interop/node.js';
import { describeIssues } from '../models/index.js';
import { type LoadedModel, loadModel } from '../training/node.js';
import { usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import type { FlagValues } from './flags.js';
import { formatCount } from './format.js';
import { type Io, writeAll } from './io.js';
import { expectFile } from './output-file.js';

/** What counts of generation_config.json, in Hugging Face's words. */
const generationConfigSchema = z.object({
  temperature: z.number().min(0).default(0.8),
  top_p: z.number().gt(0).max(1).default(0.95),
  top_k: z.int().min(0).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
});

export async function runGenerate(folder: string, flags: FlagValues, io: Io): Promise<void> {
  if (flags.prompt !== undefined && flags.promptFile !== undefined) {
    throw usageError('generate: expected --prompt or --prompt-file, got both. Leave one out.');
  }
  if (flags.saveState !== undefined) await expectFile('--save-state', flags.saveState as string);
  const model = await loadModel(folder);
  const options = await generateOptions(folder, flags);
  const prompt = await openPrompt(flags, io);
  try {
    await goOn(model, prompt, options, flags, io);
  } finally {
    await prompt.close();
  }
}

async function goOn(
  { config, params, projections }: LoadedModel,
  prompt: ByteSource,
  options: GenerateOptions,
  flags: FlagValues,
  io: Io,
): Promise<void> {
  const session = await GenerationSession.create(await chooseEngine(flags), config, params, projections);
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  try {
    if (flags.loadState !== undefined) {
      const path = flags.loadState as string;
      session.loadState(await readSafetensors(path, (layout) => session.checkState(layout, path)), path);
    }
    await stream(session, prompt, { ...options, signal: stop.signal }, { io, isEchoed: flags.echo !== false });
    if (flags.saveState !== undefined) {
      const { tensors, metadata } = await session.saveState();
      await writeSafetensors(flags.saveState as string, tensors, metadata);
    }
  } finally {
    release();
    await session.dispose();
  }
}

async function stream(
  session: GenerationSession,
  prompt: ByteSource,
  options: GenerateOptions,
  { io, isEchoed }: { readonly io: Io; readonly isEchoed: boolean },
): Promise<void> {
  let count = 0;
  let last = '';
  let first = performance.now();
  const write = async (text: string) => {
    if (text === '') return;
    await writeAll(io.stdout, text);
    last = text;
  };
  try {
    for await (const { text } of generate(session, prompt, options)) {
      if (count === 0) {
        // The prompt has been read, and nothing was wrong with it.
        if (isEchoed) for await (const piece of textOf(prompt)) await write(piece);
        first = performance.now();
      }
      count++;
      await write(text);
    }
  } catch (cause) {
    if (!options.signal?.aborted || cause !== options.signal.reason) throw cause;
  }
  if (!last.endsWith('\n')) io.stdout.write('\n');
  const seconds = (performance.now() - first) / 1000;
  const speed = count > 1 ? `, ${formatCount((count - 1) / seconds)} tokens per second` : '';
  io.stderr.write(`${count} tokens${speed}, seed ${options.seed}\n`);
}

/** Flags before the model's own settings before ours. */
async function generateOptions(folder: string, flags: FlagValues): Promise<GenerateOptions> {
  const own = await readGenerationConfig(folder);
  const topK = flags.topK ?? (own.top_k || undefined); // 0 is Hugging Face's word for all
  const repetitionPenalty = flags.repetitionPenalty ?? own.repetition_penalty ?? undefined;
  return {
    maxTokens: (flags.maxTokens as number | undefined) ?? 200,
    seed: (flags.seed as number | undefined) ?? Math.floor(Math.random() * 2 ** 32),
    temperature: (flags.temperature as number | undefined) ?? own.temperature,
    topP: (flags.topP as number | undefined) ?? own.top_p,
    ...(topK === undefined ? {} : { topK: topK as number }),
    ...(repetitionPenalty === undefined ? {} : { repetitionPenalty: repetitionPenalty as number }),
    ...(flags.stop === undefined ? {} : { stop: flags.stop as string[] }),
  };
}

async function readGenerationConfig(folder: string): Promise<z.output<typeof generationConfigSchema>> {
  const path = join(folder, 'generation_config.json');
  const isThere = (await stat(path).catch(() => undefined)) !== undefined;
  const parsed = generationConfigSchema.safeParse(isThere ? await readJson(path) : {});
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error);
  throw new PerformerError('CHECKPOINT', `${path}: expected settings of generation, got ${problems}.`);
}

/** Bytes of a prompt that are echoed at once. */
const pieceBytes = 2 ** 16;

/** The text of a prompt up to its last whole character: the model finishes what is left. */
async function* textOf(prompt: ByteSource): AsyncGenerator<string> {
  const characters = new Utf8Stream();
  for (let start = 0; start < prompt.length; start += pieceBytes) {
    yield characters.push(await prompt.read(start, Math.min(pieceBytes, prompt.length - start)));
  }
}

/** The bytes of the prompt; none where none was given. A file is read in pieces; a pipe has no length, and is read whole. */
async function openPrompt(
  { prompt, promptFile }: FlagValues,
  io: Io,
): Promise<ByteSource & { close(): Promise<void> }> {
  const inMemory = (bytes: Uint8Array) => ({ ...bytesSource(bytes), close: async () => undefined });
  if (prompt === '-' || promptFile === '-') return inMemory(await readWhole(io.stdin));
  if (promptFile === undefined) return inMemory(Buffer.from((prompt as string | undefined) ?? ''));
  const path = promptFile as string;
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() && found.size > 0) return openFiles([path]);
  return readWhole(createReadStream(path)).then(inMemory, (cause: unknown) => {
    throw new PerformerError('DATA', `--prompt-file: expected a file to read, got ${messageOf(cause)}.`, { cause });
  });
}

async function readWhole(stream: Io['stdin']): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(typeof piece === 'string' ? Buffer.from(piece) : piece);
  return Buffer.concat(pieces);
}
