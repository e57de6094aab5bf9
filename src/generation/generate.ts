/** Generation: a prompt is read, and text comes out as the model says it, token by token. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { type ByteSource, bytesSource, framedTokens, tokenSource, Utf8Stream } from '../data/index.js';
import { contextWarning, textFrameOf, tokenizerOf } from '../models/index.js';
import { checkOptions, chooseToken, type SamplingOptions, samplingSchema } from './sampling.js';
import { GenerationSession } from './session.js';
import { StopStrings } from './stop-strings.js';
import { nameOfValue } from './value-name.js';

export interface GenerateOptions extends SamplingOptions {
  /** Tokens to generate at most, from 1. */
  readonly maxTokens: number;
  /** An integer from 0 to 2⁵³−1: the same seed, session and prompt give the same text. */
  readonly seed: number;
  /** Texts, or bytes, that end the generation; they are not part of it. */
  readonly stop?: readonly (string | Uint8Array)[] | undefined;
  /** Tokens that end the generation; they are not part of it. Those of the model, or the tokenizer's own end, unless given. */
  readonly endTokens?: readonly number[] | undefined;
  /** The text that the model writes from, which is read first; what was read before is forgotten. Of models that read one. */
  readonly source?: string | Uint8Array | undefined;
  /** Ends the generation between two tokens, or two pieces of the prompt, by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told before the first token where prompt and maxTokens go beyond the length that the model's evaluation shows to be good. */
  readonly onNote?: ((note: string) => void) | undefined;
}

export interface GeneratedPiece {
  /** The text that this token completes; often empty, since a character may take several tokens. What is no UTF-8 is U+FFFD. */
  readonly text: string;
  /** The bytes that this token sets free: all bytes of the pieces together are the text, whatever its encoding. */
  readonly bytes: Uint8Array;
  readonly token: number;
}

const generateSchema = z.strictObject({
  ...samplingSchema.shape,
  maxTokens: z.int().min(1),
  seed: z.int().min(0),
  stop: z.array(z.union([z.string().min(1), z.instanceof(Uint8Array).refine(({ length }) => length > 0)])).optional(),
  endTokens: z.array(z.int().min(0)).optional(),
  source: z.union([z.string(), z.instanceof(Uint8Array)]).optional(),
  signal: z.instanceof(AbortSignal).optional(),
  onNote: z.custom<(note: string) => void>((value) => typeof value === 'function', 'expected a function').optional(),
});

/**
 * Reads the prompt after what the session has read already, then yields one piece for each token. An empty prompt goes
 * on where the session stands; a session that has read nothing begins after what begins a text, a newline of bytes.
 *
 * Every token that was yielded has been read by the session, so that a later call goes on from there; as each draw is
 * keyed by the seed and the position, going on, even after saving and loading, equals not having stopped. Bytes of an
 * unfinished character are held back from `text` until it is whole. What might begin a stop string is held back until that
 * is known. Where maxTokens ends before, it stays with the session, as `session.withheld` and in a saved state: a call
 * without a prompt goes on with it, and ends where it becomes a stop string; a prompt says that it was none.
 *
 * @param prompt text, or bytes of UTF-8; those of a source are read piece by piece where the tokenizer can.
 * @throws CONFIG for options out of range, a prompt of another kind, a session of several rows, and a model that does not
 *   have the tokens of its tokenizer; DATA when the prompt and maxTokens exceed the session's room; the signal's reason;
 *   what the source and the engine throw.
 */
export async function* generate(
  session: GenerationSession,
  prompt: string | Uint8Array | ByteSource,
  options: GenerateOptions,
): AsyncGenerator<GeneratedPiece, void, void> {
  checkOptions('generate', generateSchema, options);
  const { maxTokens, seed, stop = [], source: written, signal, onNote, endTokens: _, ...sampling } = options;
  if (!(session instanceof GenerationSession)) {
    throw new PerformerError('CONFIG', `generate: expected a GenerationSession, got ${nameOfValue(session)}.`);
  }
  const text = sourceOf(prompt);
  expectOneRow(session);
  const tokenizer = tokenizerOf(session.config);
  const { boundary } = session;
  const { end } = tokenizer.special ?? {};
  const { endTokens = session.config.endTokens ?? (end === undefined ? [] : [end]) } = options;
  const frame = textFrameOf(session.config);
  if (written !== undefined) await session.readSource(framedTokens(tokenizer.encode(written), frame));
  const source = await tokenSource(tokenizer, text);
  // A text that has a beginning always begins with it; others where there is nothing else to begin with.
  const own = boundary === undefined ? (frame?.before ?? []) : [boundary];
  const begin = own.length > 0 || source.length > 0 ? own : [tokenizer.documentStart];
  const missing = session.position[0] === 0 ? begin : [];
  const length = missing.length + source.length;
  expectRoom(session, length + maxTokens);
  const note = session.context && contextWarning(session.context, (session.position[0] as number) + length + maxTokens);
  if (note !== undefined) onNote?.(note);
  for (let start = 0; start < length; start += session.readChunk) {
    signal?.throwIfAborted();
    const end = Math.min(start + session.readChunk, length);
    const before = missing.slice(start, end);
    const after = await source.read(Math.max(0, start - missing.length), end - start - before.length);
    await session.read(Int32Array.of(...before, ...after));
  }
  // A character that was left unfinished, by the tokens before or by the prompt, is finished by the model.
  const { withheld } = session;
  const characters = new Utf8Stream();
  const decoder = tokenizer.decoder();
  const recent = decoder.push(session.recentTokens().filter((token) => token < tokenizer.vocabularySize));
  characters.push(recent.subarray(0, Math.max(0, recent.length - withheld.length)));
  const random = Random.fromSeed(seed);
  const stops = new StopStrings(stop.map(binaryOf), binaryOf(withheld));
  for (let count = 1; count <= maxTokens; count++) {
    signal?.throwIfAborted();
    const seen = sampling.repetitionPenalty === undefined ? [] : session.seenTokens();
    const token = chooseToken(session.logits, sampling, seen, random.split(session.position[0] as number));
    await session.step(Int32Array.of(token));
    const isEnd = endTokens.includes(token) || token >= tokenizer.vocabularySize;
    const { text: freed, isStopped } = isEnd ? stops.end() : stops.push(binaryOf(decoder.push([token])));
    session.withhold(bytesOf(stops.held));
    const bytes = bytesOf(freed);
    yield { text: characters.push(bytes), bytes, token };
    if (isStopped) return;
  }
}

function sourceOf(prompt: string | Uint8Array | ByteSource): ByteSource {
  if (typeof prompt === 'string') return bytesSource(new TextEncoder().encode(prompt));
  if (prompt instanceof Uint8Array) return bytesSource(prompt);
  if (typeof prompt?.read === 'function' && Number.isSafeInteger(prompt.length)) return prompt;
  const got = nameOfValue(prompt);
  throw new PerformerError('CONFIG', `generate: expected a prompt of text, bytes or a byte source, got ${got}.`);
}

/** Bytes, or those of a text in UTF-8, with one character for each. */
function binaryOf(text: string | Uint8Array): string {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

function bytesOf(binary: string): Uint8Array {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function expectOneRow({ batch, config: { tokenizer } }: GenerationSession): void {
  if (batch === 1) return;
  throw new PerformerError('CONFIG', `generate: expected a session of one row of ${tokenizer}, got ${batch} rows.`);
}

function expectRoom({ room }: GenerationSession, count: number): void {
  if (count <= room) return;
  const advice = 'Use a shorter prompt or a smaller maxTokens.';
  throw new PerformerError(
    'DATA',
    `generate: expected room for a prompt and maxTokens of ${count} together, got ${room}. ${advice}`,
  );
}
