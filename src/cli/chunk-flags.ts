/** How long texts are cut, as flags and the model say. */
import { type LoadedModel, textFrameOf, tokenizerOf, type VectorManner } from '../models/index.js';
import { type Chunk, textChunks } from '../search/index.js';
import { usageError } from './command.js';
import type { EmbedOptions } from './embed.js';

/** What cuts texts. */
export interface Cutter {
  readonly sizes: { readonly tokens: number; readonly overlap: number };
  cut(text: string): readonly Chunk[];
}

/**
 * What cuts texts; undefined where they stay whole. Texts of an index are cut where the model would leave out their ends. Throws
 * USAGE for chunks of which the model would.
 */
export function cutter(
  { model }: LoadedModel,
  { window }: VectorManner,
  { index, chunkTokens, chunkOverlap }: Pick<EmbedOptions, 'index' | 'chunkTokens' | 'chunkOverlap'>,
): Cutter | undefined {
  const longest = Math.min(window ?? Number.POSITIVE_INFINITY, model.maxLength ?? Number.POSITIVE_INFINITY);
  const tokens = chunkTokens ?? (index !== undefined && longest < Number.POSITIVE_INFINITY ? longest : undefined);
  if (tokens === undefined) {
    if (chunkOverlap === undefined) return undefined;
    throw usageError('--chunk-overlap: expected --chunk-tokens beside it, got none.');
  }
  if (tokens > longest) {
    throw usageError(`--chunk-tokens: expected at most ${longest}, where the model cuts texts, got ${tokens}.`);
  }
  const sizes = { tokens, overlap: chunkOverlap ?? Math.floor(tokens / 8) };
  const tokenizer = tokenizerOf(model.config);
  const frame = textFrameOf(model.config);
  return { sizes, cut: (text) => textChunks(text, tokenizer, { ...sizes, frame }) };
}
