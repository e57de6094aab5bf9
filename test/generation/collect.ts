/** Generations run to their end, and a model that says what it is told. */
import type { ByteSource } from '../../src/data/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type GenerateOptions, type GenerationSession, generate } from '../../src/generation/index.js';
import { scriptedModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });

export const bytesOf = (text: string) => new TextEncoder().encode(text);

/** All that a generation gives. */
export async function collect(
  session: GenerationSession,
  prompt: string | Uint8Array | ByteSource,
  options: GenerateOptions,
) {
  const texts: string[] = [];
  const tokens: number[] = [];
  const bytes: number[] = [];
  for await (const piece of generate(session, prompt, options)) {
    texts.push(piece.text);
    tokens.push(piece.token);
    bytes.push(...piece.bytes);
  }
  return { texts, tokens, bytes, text: texts.join('') };
}

/** What comes of a model that says `script`, the first `read` bytes of which are the prompt. */
export async function say(script: string, read: number, options: Partial<GenerateOptions> = {}) {
  const bytes = bytesOf(script);
  const session = await sessionOf(engine, scriptedModel(bytes));
  const defaults = { temperature: 0, seed: 0, maxTokens: bytes.length - read };
  const result = await collect(session, bytes.subarray(0, read), { ...defaults, ...options });
  await session.dispose();
  return result;
}
