/** `performer generate` at work. */
import { stat } from 'node:fs/promises';
import { withArticle } from '../base/article.js';
import { flagName } from '../base/options.js';
import { type ByteSource, bytesSource, Utf8Stream } from '../data/index.js';
import { type OpenSource, openFiles } from '../data/node.js';
import { type GenerateOptions, GenerationSession, generate } from '../generation/index.js';
import { readSafetensors, writeSafetensors } from '../interop/node.js';
import { type LoadedModel, tokenizerOf } from '../models/index.js';
import { type Given, usageError } from './command.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount } from './format.js';
import { type GenerateFlags, imageFlags, textFlags } from './generate.js';
import { readGenerationConfig } from './generation-config.js';
import { type Io, writeAll } from './io.js';
import { expectFile } from './output-file.js';
import { readModel } from './read-model.js';
import { readPipe, readStream, standardInput } from './standard-input.js';

export async function runGenerate(
  { arguments: [folder], options: flags, flags: typed }: Given<GenerateFlags>,
  io: Io,
): Promise<void> {
  if (flags.prompt !== undefined && flags.promptFile !== undefined) {
    throw usageError('generate: expected --prompt or --prompt-file, got both. Leave one out.');
  }
  if (flags.saveState !== undefined) await expectFile('--save-state', flags.saveState);
  const model = await readModel(folder as string, io);
  const { image, boundary } = model.model;
  const paints = image !== undefined && boundary !== undefined;
  const foreign = (paints ? textFlags : imageFlags).find((key) => key in typed);
  if (foreign !== undefined) {
    throw usageError(`--${flagName(foreign)}: ${withArticle(model.model.config.model)} does not have it.`);
  }
  if (paints) {
    const { generateImages } = await import('./generate-images.js');
    return generateImages(folder as string, model, flags, io);
  }
  const readsSource = model.model.readSource !== undefined;
  if (!readsSource && flags.source !== undefined) {
    throw usageError(`--source: expected a model that reads a source, got ${withArticle(model.model.config.model)}.`);
  }
  const options = await generateOptions(folder as string, model, flags, io);
  const prompt = await openPrompt(flags, io);
  try {
    const isWhole = !readsSource || flags.source !== undefined || flags.loadState !== undefined;
    if (isWhole) await goOn(model, prompt, { ...options, source: flags.source }, flags, io);
    else {
      const source = await prompt.read(0, prompt.length);
      if (source.length === 0)
        throw usageError('generate: expected a text to answer, got an empty one. Give --source.');
      await goOn(model, bytesSource(new Uint8Array(0)), { ...options, source }, flags, io);
    }
  } finally {
    await prompt.close();
  }
}

async function goOn(
  model: LoadedModel,
  prompt: ByteSource,
  options: GenerateOptions,
  flags: GenerateFlags,
  io: Io,
): Promise<void> {
  const session = await GenerationSession.create(await chooseEngine(flags), model);
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  const { loadState: path, saveState } = flags;
  try {
    if (path !== undefined) {
      const check: Parameters<typeof readSafetensors>[1] = (layout, metadata) =>
        session.checkState(layout, path, metadata);
      session.loadState(await readSafetensors(path, check), path);
    }
    const manner = { io, isEchoed: flags.echo, isSaved: saveState !== undefined };
    const onNote = (note: string) => void io.stderr.write(`note: ${note}\n`);
    await stream(session, prompt, { ...options, signal: stop.signal, onNote }, manner);
    if (saveState !== undefined) {
      const { tensors, metadata } = await session.saveState();
      await writeSafetensors(saveState, tensors, metadata);
    }
  } finally {
    release();
    await session.dispose();
  }
}

interface Manner {
  readonly io: Io;
  readonly isEchoed: boolean;
  /** Whether the session is saved, and with it what might begin a stop string. */
  readonly isSaved: boolean;
}

/** A pipe or a file gets the bytes as they are, and nothing else; a terminal gets text that ends its line. */
async function stream(
  session: GenerationSession,
  prompt: ByteSource,
  options: GenerateOptions,
  { io, isEchoed, isSaved }: Manner,
): Promise<void> {
  const isText = io.stdout.isTTY === true;
  let count = 0;
  let last = '';
  let first = performance.now();
  const write = async (bytes: Uint8Array, text = new TextDecoder().decode(bytes)) => {
    if (bytes.length > 0 && !isText) await writeAll(io.stdout, bytes);
    if (text === '' || !isText) return;
    await writeAll(io.stdout, text);
    last = text;
  };
  const before = prompt.length > 0 ? session.withheld : new Uint8Array(0); // the prompt says that it began no stop string
  try {
    for await (const { text, bytes } of generate(session, prompt, options)) {
      if (count === 0) {
        // The prompt has been read, and nothing was wrong with it.
        await write(before);
        if (isEchoed) for await (const piece of piecesOf(prompt)) await write(piece.bytes, piece.text);
        first = performance.now();
      }
      count++;
      await write(bytes, text);
    }
  } catch (cause) {
    if (!options.signal?.aborted || cause !== options.signal.reason) throw cause;
  }
  if (!isSaved && count > 0) await write(session.withheld);
  if (isText && !last.endsWith('\n')) io.stdout.write('\n');
  const seconds = (performance.now() - first) / 1000;
  const speed = count > 1 ? `, ${formatCount((count - 1) / seconds)} tokens per second` : '';
  io.stderr.write(`${count} tokens${speed}, seed ${options.seed}\n`);
}

/** Flags before the model's own settings before ours. */
async function generateOptions(
  folder: string,
  { model }: LoadedModel,
  flags: GenerateFlags,
  io: Io,
): Promise<GenerateOptions> {
  const own = await readGenerationConfig(folder, tokenizerOf(model.config));
  if (own.unknown.length > 0) {
    io.stderr.write(`note: generation_config.json has ${own.unknown.join(', ')}, which generate leaves out.\n`);
  }
  return {
    maxTokens: flags.maxTokens ?? own.maxTokens ?? 200,
    seed: flags.seed ?? Math.floor(Math.random() * 2 ** 32),
    temperature: flags.temperature ?? own.temperature ?? 0.8,
    topP: flags.topP ?? own.topP ?? 0.95,
    topK: flags.topK ?? own.topK,
    repetitionPenalty: flags.repetitionPenalty ?? own.repetitionPenalty,
    stop: flags.stop ?? own.stop,
    endTokens: own.endTokens,
  };
}

/** Bytes of a prompt that are echoed at once. */
const pieceBytes = 2 ** 16;

/** The bytes of a prompt, and its text up to the last whole character: the model finishes what is left. */
async function* piecesOf(prompt: ByteSource): AsyncGenerator<{ readonly bytes: Uint8Array; readonly text: string }> {
  const characters = new Utf8Stream();
  for (let start = 0; start < prompt.length; start += pieceBytes) {
    const bytes = await prompt.read(start, Math.min(pieceBytes, prompt.length - start));
    yield { bytes, text: characters.push(bytes) };
  }
}

/**
 * The bytes of the prompt: those of the flags, or of standard input where it is piped; none else. A file is read in
 * pieces; a pipe has no length, and is read whole.
 */
async function openPrompt({ prompt, promptFile: path }: GenerateFlags, io: Io): Promise<OpenSource> {
  const inMemory = (bytes: Uint8Array) => ({ ...bytesSource(bytes), close: async () => undefined });
  const isAsked = prompt === standardInput || path === standardInput;
  if (isAsked || (prompt === undefined && path === undefined && io.isPiped)) {
    return inMemory(await readStream('standard input', io.stdin));
  }
  if (path === undefined) return inMemory(Buffer.from(prompt ?? ''));
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() && found.size > 0) return openFiles([path]);
  return inMemory(await readPipe('--prompt-file', path));
}
